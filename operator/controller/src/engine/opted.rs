//! Pods that opted in and were made without a sidecar, and without the webhook saying why: nobody called it, or
//! nothing came of the call. Each template is told once.

use std::collections::BTreeMap;
use std::time::Duration;

use peerwalk_model::Timestamp;

use super::{Engine, Output};
use crate::INJECT_LABEL;
use crate::cluster::Index;
use crate::cluster::record::{ObjectKey, Pod};
use crate::publish::{EventRecord, Regarding};

/// Pods that are seen within this time after their namespace opted in may be older than that: the two are
/// watched apart.
const APART: Duration = Duration::from_secs(10);
/// A standby remembers pods for this long: longer than it takes until it leads, when the leader has died.
const TAKE_OVER: Duration = Duration::from_secs(30);
/// A template of which nothing new was missed for so long is told again.
const FORGET: Duration = Duration::from_hours(1);
/// Templates that are remembered; pods of others are counted, and not told.
const TEMPLATES: usize = 1024;

/// Who opted in, and who was told that nothing came of it.
#[derive(Debug, Default)]
pub(super) struct OptedIn {
    /// Since when a namespace is known to have its label, where that is since the operator listed them.
    namespaces: BTreeMap<String, (Option<String>, Timestamp)>,
    /// Templates by namespace, with the last pod that was missed.
    told: BTreeMap<(String, String), Timestamp>,
    /// Pods that have come since everything was listed and are yet to be looked at, and when they came.
    pub(super) new: Vec<(ObjectKey, Timestamp)>,
}

impl OptedIn {
    /// A namespace came, changed or went.
    pub(super) fn namespace(&mut self, index: &Index, name: &str, now: Timestamp) {
        let Some(namespace) = index.namespace(name) else {
            self.namespaces.remove(name);
            return;
        };
        let label = namespace.labels.get(INJECT_LABEL).cloned();
        // What was there when the operator began may have opted in at any time before.
        let since = if index.complete() { now } else { Timestamp::default() };
        let known = self.namespaces.entry(name.to_owned()).or_insert_with(|| (label.clone(), since));
        if known.0 != label {
            *known = (label, now);
        }
    }

    /// Whether a pod that was seen first at `now` should have a sidecar, by the selectors of the webhook.
    fn wants(&self, pod: &Pod, operator: &str, now: Timestamp) -> bool {
        let namespace = pod.id.namespace.as_str();
        if ["kube-system", "kube-node-lease", operator].contains(&namespace) {
            return false;
        }
        let Some((label, since)) = self.namespaces.get(namespace) else { return false };
        let own = pod.labels.get(INJECT_LABEL).map(String::as_str);
        let opted_in = match label.as_deref() {
            Some("enabled") => own != Some("disabled"),
            Some("disabled") => false,
            _ => own == Some("enabled"),
        };
        opted_in && now.since(*since) >= APART
    }

    /// Whether a template is to be told of a pod that was missed.
    fn tell(&mut self, pod: &Pod, now: Timestamp) -> bool {
        let key = (pod.id.namespace.clone(), pod.template.clone());
        let room = self.told.len() < TEMPLATES;
        match self.told.get_mut(&key) {
            Some(last) => {
                *last = now;
                false
            }
            None if room => self.told.insert(key, now).is_none(),
            None => false,
        }
    }

    /// The clock was set: what came or changed lately did so now, and what was so from the beginning still is.
    pub(super) fn clock_set(&mut self, now: Timestamp) {
        let lately = self.namespaces.values_mut().map(|(_, since)| since);
        lately.filter(|since| **since != Timestamp::default()).for_each(|since| *since = now);
        self.told.values_mut().for_each(|last| *last = now);
        self.new.iter_mut().for_each(|(_, came)| *came = now);
    }

    /// Forgets whom nothing was missed of for long.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.told.retain(|_, last| now.since(*last) < FORGET);
    }
}

impl Engine {
    /// Of pods that were not there before, whether the webhook should have been called for them, and was not. A standby
    /// leaves that to the leader, and remembers those for which there may be none.
    pub(super) fn look_for_sidecars(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        if !self.leads() {
            self.opted_in.new.retain(|(_, came)| now.since(*came) < TAKE_OVER);
            return;
        }
        for (key, came) in std::mem::take(&mut self.opted_in.new) {
            outputs.extend(self.missed(&key, came));
        }
    }

    fn missed(&mut self, key: &ObjectKey, now: Timestamp) -> Option<Output> {
        let pod = self.index.pod(key)?;
        // The API's image of a static pod belongs to its node, and its kubelet runs the file.
        let mirror = pod.owner.as_deref().is_some_and(|owner| owner.starts_with("Node "));
        let lacks = !pod.injected && pod.skipped.is_none() && pod.injectable() && !mirror;
        if !lacks || !self.opted_in.wants(pod, &self.settings.hub.namespace, now) {
            return None;
        }
        self.metrics.injection_missed();
        let told = self.opted_in.tell(pod, now);
        let remedy = match pod.owner.as_deref().map(|owner| owner.split_once(' ').unwrap_or((owner, ""))) {
            Some((kind @ ("Deployment" | "StatefulSet" | "DaemonSet"), name)) => {
                format!("kubectl rollout restart {} {name}", kind.to_lowercase())
            }
            _ => "delete the pod and have it made again".to_owned(),
        };
        let note = format!(
            "the pod opted in and was made without the sidecar: the API server did not reach the webhook, or had \
             no answer from it in time (see its metric apiserver_admission_webhook_fail_open_count). Once it does: \
             {remedy}"
        );
        told.then(|| {
            Output::Event(EventRecord {
                regarding: Regarding::Pod(pod.id.clone()),
                warning: true,
                reason: "InjectionMissed".into(),
                note,
            })
        })
    }
}
