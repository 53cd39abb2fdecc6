//! The explained walks of a check, for people.

use std::fmt::Write as _;

use peerwalk_model::plan::{PlannedTarget, TargetKind};
use peerwalk_model::{PodRef, TargetKey};

use super::Engine;
use crate::cluster::record::ObjectKey;

impl Engine {
    /// Every pair of a check as a walk that a person can read; `None` when there is no such check.
    pub fn explain(&self, check: &ObjectKey) -> Option<String> {
        let (state, spec) = (self.checks.get(check)?, &self.index.check(check)?.spec);
        let mut text = String::new();
        let pairs = state.pairs.iter().flat_map(|(pod, pairs)| pairs.iter().map(move |pair| (pod, pair)));
        for (pod, (target, pair)) in pairs {
            let key = TargetKey { check: check.name.clone(), target: target.clone() };
            let url = spec.targets.iter().find(|of_spec| of_spec.name == *target).and_then(|t| t.url.clone());
            let aim = url.or_else(|| self.aim(pod, &key)).unwrap_or_else(|| target.clone());
            let walk = self.evidence_of(pod, &key).map(|evidence| &evidence.walk);
            let _ = writeln!(
                text,
                "{}",
                peerwalk_diagnosis::explain(&pod.to_string(), &aim, &pair.verdict, walk)
            );
        }
        if text.is_empty() {
            text.push_str("no pod has been asked to walk yet\n");
        }
        Some(text)
    }

    fn aim(&self, pod: &PodRef, key: &TargetKey) -> Option<String> {
        let planned: &PlannedTarget = self.plans.get(pod)?.plan.targets.get(key)?;
        Some(match &planned.kind {
            TargetKind::Service(service) => format!("{}:{}", service.hostname, service.port),
            TargetKind::Url(url) => url.url.clone(),
            TargetKind::Dns(dns) => dns.name.clone(),
        })
    }
}
