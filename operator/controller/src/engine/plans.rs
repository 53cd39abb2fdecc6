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
    /// From when on evidence of a target counts.
    meant_since: BTreeMap<TargetKey, Meant>,
    /// When each target last changed in any way.
    changed: BTreeMap<TargetKey, Timestamp>,
    /// Targets that it has no room for.
    pub surplus: BTreeSet<TargetKey>,
}

/// Since when a target is meant as it is.
#[derive(Clone, Copy, Debug)]
struct Meant {
    /// The generation of its last change of meaning.
    generation: u64,
    /// When its check was made anew. The sidecar is not told: to it nothing has changed.
    renewed: Option<Timestamp>,
    /// The generation of the last change of what is asked, whatever time it may take.
    asked: u64,
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
                let same = old.is_some_and(|old| asks_the_same(old, target));
                let asked =
                    self.meant_since.get(key).filter(|_| same).map_or(generation, |meant| meant.asked);
                self.meant_since.insert(key.clone(), Meant { generation, renewed: None, asked });
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

    /// Whether evidence gathered under `generation`, the last walk of which began at `began`, is about the
    /// target as it is now.
    pub fn counts(&self, key: &TargetKey, generation: u64, began: Timestamp) -> bool {
        self.meant_since.get(key).is_some_and(|meant| {
            generation >= meant.generation && meant.renewed.is_none_or(|renewed| began >= renewed)
        })
    }

    /// Since which generation a target is asked the same, under whatever limits of time: how long its answers take
    /// does not depend on how long they may.
    pub fn asked_since(&self, key: &TargetKey) -> Option<u64> {
        self.meant_since.get(key).map(|meant| meant.asked)
    }

    /// A check of that name was made anew: earlier walks say nothing of it. Returns its targets.
    pub fn renew(&mut self, check: &str, now: Timestamp) -> Vec<TargetKey> {
        let mut targets = Vec::new();
        for (key, meant) in self.meant_since.iter_mut().filter(|(key, _)| key.check == check) {
            meant.renewed = Some(now);
            self.changed.insert(key.clone(), now);
            targets.push(key.clone());
        }
        targets
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

/// Whether a target still is what it was, but for how long and how often it is walked.
fn asks_the_same(old: &PlannedTarget, new: &PlannedTarget) -> bool {
    let mut other_limits = old.clone();
    other_limits.connect_timeout = new.connect_timeout;
    other_limits.total_timeout = new.total_timeout;
    other_limits.interval = new.interval;
    other_limits.retries = new.retries;
    means_the_same(&other_limits, new)
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
            tls: None,
        }))
    }

    #[test]
    fn endpoints_come_and_go_without_voiding_evidence() {
        let key = TargetKey { check: "c".into(), target: "t".into() };
        let mut plan = PodPlan::default();
        plan.replace(BTreeMap::from([(key.clone(), service(80, "10.0.0.1:80"))]), NOW);
        let moved = plan.replace(BTreeMap::from([(key.clone(), service(80, "10.0.0.2:80"))]), NOW);
        assert_eq!(moved, Some(vec![key.clone()]), "the pod is told of the new endpoint");
        assert!(plan.counts(&key, 1, NOW), "evidence of the same target under the old plan still counts");
        plan.replace(BTreeMap::from([(key.clone(), service(81, "10.0.0.2:80"))]), NOW);
        assert!(!plan.counts(&key, 2, NOW), "evidence of another port does not");
        assert!(plan.counts(&key, 3, NOW), "evidence of the new one does");
    }

    #[test]
    fn other_limits_of_time_ask_the_same() {
        let key = TargetKey { check: "c".into(), target: "t".into() };
        let mut plan = PodPlan::default();
        let slower =
            |target: PlannedTarget| PlannedTarget { total_timeout: Duration::from_secs(30), ..target };
        for (target, asked) in [
            (service(80, "10.0.0.1:80"), 1),
            (slower(service(80, "10.0.0.1:80")), 1),
            (slower(service(80, "10.0.0.2:80")), 1),
            (slower(service(81, "10.0.0.2:80")), 4),
            (service(81, "10.0.0.2:80"), 4),
        ] {
            plan.replace(BTreeMap::from([(key.clone(), target.clone())]), NOW);
            assert_eq!(plan.asked_since(&key), Some(asked), "{target:?}");
        }
        assert!(!plan.counts(&key, 4, NOW), "a verdict under the old limits does not count all the same");
    }

    #[test]
    fn walks_from_before_a_check_was_made_anew_do_not_count() {
        let key = TargetKey { check: "c".into(), target: "t".into() };
        let other = TargetKey { check: "d".into(), target: "t".into() };
        let mut plan = PodPlan::default();
        let targets = [&key, &other].map(|key| (key.clone(), service(80, "10.0.0.1:80")));
        plan.replace(BTreeMap::from(targets), NOW);
        let later = NOW.plus(Duration::from_secs(1));
        assert_eq!(plan.renew("c", later), std::slice::from_ref(&key));
        assert!(!plan.counts(&key, 1, NOW), "a walk from before");
        assert!(plan.counts(&key, 1, later), "a walk from after");
        assert!(plan.counts(&other, 1, NOW), "a walk for another check");
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
