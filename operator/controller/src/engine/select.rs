//! Which pods a check is tried from.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_api::ConnectivityCheck;
use peerwalk_model::{PodRef, Timestamp};

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
    /// How many of those could not have it.
    pub not_injectable: usize,
    /// The first of those that was told why it has none, and what it was told.
    pub skipped: Option<(PodRef, String)>,
    /// Those that take part: injected, at most `maxPods`, at least one of each template as far as
    /// there is room.
    pub sampled: Vec<PodRef>,
    /// The templates of all matching pods that are not terminating and not finished; pending ones too, so
    /// that a rollout is seen before its first pod runs.
    pub templates: BTreeMap<String, Template>,
}

/// The source pods of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// How many of them run.
    pub running: usize,
    /// Of those, how many have our sidecar.
    pub injected: usize,
    /// Whether one that runs could have it.
    pub injectable: bool,
    /// Whether one of them takes part.
    pub sampled: bool,
    /// When the oldest of them was created.
    pub born: Timestamp,
}

impl Template {
    /// Whether Ready waits for a round of it. Where there are more templates than `maxPods`, it does not
    /// wait for those that could take part and are left out.
    pub fn counts(&self) -> bool {
        self.sampled || self.injected == 0
    }
}

impl Selection {
    /// The templates that Ready waits for, by name.
    pub fn counting(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().filter(|(_, template)| template.counts()).map(|(name, _)| name.as_str())
    }
}

/// Selects the source pods of a check.
pub fn select(index: &Index, key: &ObjectKey, check: &ConnectivityCheck) -> Selection {
    let source = &check.spec.source;
    let matching: Vec<&Pod> = index
        .pods_of(&key.namespace)
        .filter(|pod| !pod.terminating && !pod.finished && source.pod_selector.matches(&pod.labels))
        .collect();
    let mut templates = templates(&matching);
    let running: Vec<&Pod> = matching.into_iter().filter(|pod| pod.running).collect();
    let (injected, not_injected): (Vec<&Pod>, Vec<&Pod>) = running.iter().partition(|pod| pod.injected);
    let most = usize::try_from(source.max_pods).unwrap_or(usize::MAX);
    let sampled = sampled(&injected, &templates, &key.to_string(), most);
    for pod in injected.iter().filter(|pod| sampled.contains(&pod.id)) {
        if let Some(template) = templates.get_mut(&pod.template) {
            template.sampled = true;
        }
    }
    // That injection was paused tells nothing of the pod: Covered tells it while it is so.
    let told = |pod: &&Pod| pod.skipped.clone().filter(|why| !why.starts_with("paused, "));
    Selection {
        running: running.len(),
        not_injected: not_injected.iter().map(|pod| pod.id.clone()).collect(),
        not_injectable: not_injected.iter().filter(|pod| !pod.injectable()).count(),
        skipped: not_injected.iter().find_map(|pod| Some((pod.id.clone(), told(pod)?))),
        sampled: sampled.into_iter().collect(),
        templates,
    }
}

fn templates(pods: &[&Pod]) -> BTreeMap<String, Template> {
    let mut templates: BTreeMap<String, Template> = BTreeMap::new();
    for pod in pods {
        let template = templates.entry(pod.template.clone()).or_insert(Template {
            running: 0,
            injected: 0,
            injectable: false,
            sampled: false,
            born: pod.created,
        });
        template.running += usize::from(pod.running);
        template.injected += usize::from(pod.running && pod.injected);
        template.injectable |= pod.running && pod.injectable();
        template.born = template.born.min(pod.created);
    }
    templates
}

/// First the best of each template, so that every template is tried, the newest where there are too many;
/// then the best of the rest.
fn sampled(
    pods: &[&Pod],
    templates: &BTreeMap<String, Template>,
    seed: &str,
    most: usize,
) -> BTreeSet<PodRef> {
    let mut by_template: BTreeMap<&str, Vec<&PodRef>> = BTreeMap::new();
    for pod in pods {
        by_template.entry(&pod.template).or_default().push(&pod.id);
    }
    let mut newest_first: Vec<(&str, Vec<&PodRef>)> = by_template.into_iter().collect();
    newest_first.sort_by_key(|(name, _)| std::cmp::Reverse(templates.get(*name).map(|t| t.born)));
    let mut chosen: BTreeSet<&PodRef> =
        newest_first.into_iter().take(most).flat_map(|(_, pods)| sample::stable(pods, seed, 1)).collect();
    let rest = pods.iter().map(|pod| &pod.id).filter(|id| !chosen.contains(id));
    let more = sample::stable(rest, seed, most - chosen.len());
    chosen.extend(more);
    chosen.into_iter().cloned().collect()
}
