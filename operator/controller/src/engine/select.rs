//! Which pods a check is tried from.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_api::ConnectivityCheck;
use peerwalk_model::PodRef;

use crate::cluster::Index;
use crate::cluster::record::{ObjectKey, Pod};
use crate::sample;

/// The source pods of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Running pods that the selector matches, not terminating.
    pub running: usize,
    /// Of them, those without our sidecar.
    pub not_injected: Vec<PodRef>,
    /// Those that take part: injected, at most `maxPods`, at least one of each template.
    pub sampled: Vec<PodRef>,
    /// The templates of all matching pods that are not terminating and not finished; pending ones too, so
    /// that a rollout is seen before its first pod runs. The value tells whether a running pod has it.
    pub templates: BTreeMap<String, bool>,
}

/// Selects the source pods of a check.
pub fn select(index: &Index, key: &ObjectKey, check: &ConnectivityCheck) -> Selection {
    let source = &check.spec.source;
    let matching = || {
        index
            .pods_of(&key.namespace)
            .filter(|pod| !pod.terminating && !pod.finished && source.pod_selector.matches(&pod.labels))
    };
    let mut templates = BTreeMap::new();
    for pod in matching() {
        *templates.entry(pod.template.clone()).or_insert(false) |= pod.running;
    }
    let running: Vec<&Pod> = matching().filter(|pod| pod.running).collect();
    let (injected, not_injected): (Vec<&Pod>, Vec<&Pod>) = running.iter().partition(|pod| pod.injected);
    let most = usize::try_from(source.max_pods).unwrap_or(usize::MAX);
    Selection {
        running: running.len(),
        not_injected: not_injected.iter().map(|pod| pod.id.clone()).collect(),
        sampled: sampled(&injected, &key.to_string(), most),
        templates,
    }
}

/// First the best of each template, so that every template is tried, then the best of the rest.
fn sampled(pods: &[&Pod], seed: &str, most: usize) -> Vec<PodRef> {
    let mut by_template: BTreeMap<&str, Vec<&PodRef>> = BTreeMap::new();
    for pod in pods {
        by_template.entry(&pod.template).or_default().push(&pod.id);
    }
    let firsts: BTreeSet<&PodRef> =
        by_template.into_values().flat_map(|pods| sample::stable(pods, seed, 1)).collect();
    let chosen = sample::stable(firsts.iter().copied(), seed, most);
    let rest = pods.iter().map(|pod| &pod.id).filter(|id| !firsts.contains(id));
    let more = sample::stable(rest, seed, most - chosen.len());
    chosen.into_iter().chain(more).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
