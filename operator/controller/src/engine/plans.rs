//! Plans, by source pod: what it is asked to walk, and since which generation each target is the one it is.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_model::plan::{Plan, PlannedTarget, TargetKind};
use peerwalk_model::{PodRef, TargetKey, Timestamp};

use super::sightings::Witness;
use crate::cluster::Index;
use crate::cluster::record::ObjectKey;
use crate::decisions::Decisions;

/// The plan of one pod.
#[derive(Clone, Debug, Default)]
pub struct PodPlan {
    /// As the pod has it.
    pub plan: Plan,
    /// The generation from which on evidence of a target counts: that of its last change of meaning.
    meant_since: BTreeMap<TargetKey, u64>,
    /// When each target last changed in any way.
    changed: BTreeMap<TargetKey, Timestamp>,
    /// Targets that it has no room for.
    pub surplus: BTreeSet<TargetKey>,
}

impl PodPlan {
    /// Takes over new targets. Returns those that changed in any way, or `None` when nothing did.
    pub fn replace(
        &mut self,
        targets: BTreeMap<TargetKey, PlannedTarget>,
        now: Timestamp,
    ) -> Option<Vec<TargetKey>> {
        if self.plan.targets == targets {
            return None;
        }
        let generation = self.plan.generation + 1;
        let mut changed = Vec::new();
        for (key, target) in &targets {
            let old = self.plan.targets.get(key);
            if old == Some(target) {
                continue;
            }
            changed.push(key.clone());
            self.changed.insert(key.clone(), now);
            if old.is_none_or(|old| !means_the_same(old, target)) {
                self.meant_since.insert(key.clone(), generation);
            }
        }
        self.meant_since.retain(|key, _| targets.contains_key(key));
        self.changed.retain(|key, _| targets.contains_key(key));
        self.plan = Plan { generation, targets };
        Some(changed)
    }

    /// A target, and since when it is planned as it is.
    pub fn target(&self, key: &TargetKey) -> Option<(&PlannedTarget, Timestamp)> {
        Some((self.plan.targets.get(key)?, self.changed.get(key).copied().unwrap_or_default()))
    }

    /// Whether evidence gathered under `generation` is about the target as it is now.
    pub fn counts(&self, key: &TargetKey, generation: u64) -> bool {
        self.meant_since.get(key).is_some_and(|since| generation >= *since)
    }
}

/// A pod as a witness of what it tells of a target; `None` when it is not planned to walk it.
pub fn witness<'a>(
    plans: &'a BTreeMap<PodRef, PodPlan>,
    index: &'a Index,
    decisions: &'a Decisions,
    pod: &PodRef,
    key: &TargetKey,
) -> Option<Witness<'a>> {
    let (planned, since) = plans.get(pod)?.target(key)?;
    let source = index.pod(&ObjectKey::new(&pod.namespace, &pod.name)).filter(|found| found.id == *pod)?;
    Some(Witness { index, decisions, source, planned, since })
}

/// Whether a target still is what it was: its endpoints and controls may come and go.
fn means_the_same(old: &PlannedTarget, new: &PlannedTarget) -> bool {
    let bare = |target: &PlannedTarget| {
        let mut bare = target.clone();
        bare.controls.clear();
        match &mut bare.kind {
            TargetKind::Service(service) => {
                service.addresses.clear();
                service.endpoints.clear();
            }
            TargetKind::Url(url) => url.scope = peerwalk_model::plan::DialScope::default(),
            TargetKind::Dns(_) => {}
        }
        bare
    };
    bare(old) == bare(new)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerwalk_model::plan::{DnsTarget, RecordType, Retries, ServiceTarget};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn planned(kind: TargetKind) -> PlannedTarget {
        PlannedTarget {
            kind,
            http: None,
            connect_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(3),
            interval: Duration::from_secs(10),
            retries: Retries { attempts: 2, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
            controls: Vec::new(),
        }
    }

    fn service(port: u16, endpoint: &str) -> PlannedTarget {
        planned(TargetKind::Service(ServiceTarget {
            hostname: "db.ledger.svc".into(),
            port,
            addresses: vec![],
            endpoints: vec![endpoint.parse().unwrap()],
        }))
    }

    #[test]
    fn endpoints_come_and_go_without_voiding_evidence() {
        let key = TargetKey { check: "c".into(), target: "t".into() };
        let mut plan = PodPlan::default();
        plan.replace(BTreeMap::from([(key.clone(), service(80, "10.0.0.1:80"))]), NOW);
        let moved = plan.replace(BTreeMap::from([(key.clone(), service(80, "10.0.0.2:80"))]), NOW);
        assert_eq!(moved, Some(vec![key.clone()]), "the pod is told of the new endpoint");
        assert!(plan.counts(&key, 1), "evidence of the same target under the old plan still counts");
        plan.replace(BTreeMap::from([(key.clone(), service(81, "10.0.0.2:80"))]), NOW);
        assert!(!plan.counts(&key, 2), "evidence of another port does not");
        assert!(plan.counts(&key, 3), "evidence of the new one does");
    }

    #[test]
    fn the_same_plan_is_no_change() {
        let key = TargetKey { check: "c".into(), target: "t".into() };
        let dns = planned(TargetKind::Dns(DnsTarget { name: "a".into(), record: RecordType::A }));
        let mut plan = PodPlan::default();
        assert!(plan.replace(BTreeMap::from([(key.clone(), dns.clone())]), NOW).is_some(), "first");
        assert_eq!(plan.replace(BTreeMap::from([(key, dns)]), NOW), None, "second");
        assert_eq!(plan.plan.generation, 1, "the generation stands");
    }
}
