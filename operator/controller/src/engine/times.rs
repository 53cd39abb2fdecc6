//! How long targets take to answer, over all pods of a check, for the metrics.

use std::collections::BTreeMap;

use super::Engine;
use super::checks::CheckState;
use crate::cluster::record::ObjectKey;
use crate::latency::Distribution;

impl Engine {
    /// Shows the times of a check's targets, and no longer those of targets that it does not have.
    pub(super) fn show_times(&self, key: &ObjectKey, state: &mut CheckState) {
        let mut times: BTreeMap<String, Distribution> = BTreeMap::new();
        for pod in state.pairs.keys() {
            let (Some(told), Some(plan)) = (self.evidence.pod(pod), self.plans.get(pod)) else { continue };
            for planned in plan.plan.targets.keys().filter(|planned| planned.check == key.name) {
                let latency = plan.asked_since(planned).and_then(|asked| told.latency(planned, asked));
                if let Some(latency) = latency {
                    times.entry(planned.target.clone()).or_default().merge(latency.whole());
                }
            }
        }
        let (namespace, name) = (&key.namespace, &key.name);
        for gone in state.timed.iter().filter(|target| !times.contains_key(*target)) {
            self.metrics.latency(namespace, name, gone, None);
        }
        for (target, distribution) in &times {
            let quantiles = distribution.quantiles();
            self.metrics.latency(namespace, name, target, Some((quantiles.p50, quantiles.p99)));
        }
        state.timed = times.into_keys().collect();
    }

    /// The check is gone, and with it what was shown of it.
    pub(super) fn hide_times(&self, key: &ObjectKey, state: &CheckState) {
        for target in &state.timed {
            self.metrics.latency(&key.namespace, &key.name, target, None);
        }
    }
}
