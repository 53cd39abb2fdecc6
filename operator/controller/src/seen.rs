//! When the engine saw things come and change.
//!
//! The API tells what is so, not since when. Judging has to know: a decision that nobody could have made
//! before proves less than one that has stood for a while, and a pod is as young as its address, however
//! long it was pending. A pod that was there when the engine began is taken to be as old as the API says; a
//! decision is not, since nobody knows which policies there were before.

use std::collections::BTreeMap;
use std::time::Duration;

use peerwalk_diagnosis::GRACE_OF_YOUNG_PODS;
use peerwalk_model::Timestamp;

use crate::cluster::flow::{Destination, peer};
use crate::cluster::record::{ObjectKey, Pod};
use crate::cluster::{Index, PodChange};

/// A change of a Service explains nothing that is seen later than this.
const SERVICE_CHANGES: Duration = GRACE_OF_YOUNG_PODS.saturating_mul(2);

/// What came and changed since everything was listed.
#[derive(Debug, Default)]
pub struct Seen {
    /// When everything had been listed: no decision could be made before.
    complete: Option<Timestamp>,
    /// When this replica began to lead, or to lead again.
    leads: Option<Timestamp>,
    pods: BTreeMap<ObjectKey, PodSeen>,
    /// When the policies or labels of a namespace last changed.
    namespaces: BTreeMap<String, Timestamp>,
    /// When a Service or its endpoints last changed.
    services: BTreeMap<ObjectKey, Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PodSeen {
    /// When it got the addresses it has.
    addressed: Option<Timestamp>,
    /// When it got the labels and ports that policies select it by.
    selected_by: Option<Timestamp>,
}

impl Seen {
    /// Everything has been listed. What comes before this moment is no change.
    pub fn completed(&mut self, now: Timestamp) {
        self.complete.get_or_insert(now);
    }

    /// This replica leads from now on.
    pub fn leads(&mut self, now: Timestamp) {
        self.leads = Some(now);
    }

    /// Since when the engine judges: everything had been listed, and this replica led. Before that it sent no plan and
    /// took no heartbeat of a pod, or for a while it did not.
    pub fn since(&self) -> Timestamp {
        self.complete.max(self.leads).unwrap_or_default()
    }

    /// A pod came, changed or went.
    pub fn pod(&mut self, index: &Index, change: &PodChange, now: Timestamp) {
        if index.pod(&change.key).is_none() {
            self.pods.remove(&change.key);
        } else if self.complete.is_some() && (change.addresses || change.selected_by) {
            let seen = self.pods.entry(change.key.clone()).or_default();
            if change.addresses {
                seen.addressed = Some(now);
            }
            if change.selected_by {
                seen.selected_by = Some(now);
            }
        }
    }

    /// The policies or labels of a namespace changed.
    pub fn namespace(&mut self, name: &str, now: Timestamp) {
        if self.complete.is_some() {
            self.namespaces.insert(name.to_owned(), now);
        }
    }

    /// A Service or its endpoints changed.
    pub fn service(&mut self, key: &ObjectKey, now: Timestamp) {
        if self.complete.is_some() {
            self.services.insert(key.clone(), now);
        }
    }

    /// When a Service or its endpoints last changed; `None` when that was before the engine began, or so
    /// long ago that it explains nothing.
    pub fn service_changed(&self, key: &ObjectKey) -> Option<Timestamp> {
        self.services.get(key).copied()
    }

    /// From when on a pod could be reached: since it has its address. A pod may be pending for minutes
    /// before, and a data plane learns of it by its address.
    pub fn started(&self, pod: &Pod) -> Timestamp {
        let told = pod.started.unwrap_or(pod.created);
        self.of(pod).addressed.map_or(told, |seen| seen.max(told))
    }

    /// Since when a decision that is made for the first time is known to be in force: since everything that
    /// it rests on is known to be as it is. What held before is not known.
    pub fn first_in_force(&self, index: &Index, source: &Pod, to: Destination) -> Timestamp {
        let destination = peer(index, to.address, to.protocol);
        let destination = destination.as_pod().and_then(|pod| {
            let key = ObjectKey::new(&pod.namespace, &pod.name);
            index.pod(&key)
        });
        let ends = [Some(source), destination];
        let changes = ends.into_iter().flatten().flat_map(|pod| {
            let PodSeen { addressed, selected_by } = self.of(pod);
            [addressed, selected_by, self.namespaces.get(&pod.id.namespace).copied()]
        });
        changes.chain([self.complete]).flatten().max().unwrap_or_default()
    }

    /// Forgets what explains nothing any more.
    pub fn forget(&mut self, index: &Index, now: Timestamp) {
        self.services.retain(|_, at| now.since(*at) < SERVICE_CHANGES);
        self.namespaces.retain(|name, _| index.namespace(name).is_some());
    }

    fn of(&self, pod: &Pod) -> PodSeen {
        let key = ObjectKey::new(&pod.id.namespace, &pod.id.name);
        self.pods.get(&key).copied().unwrap_or_default()
    }
}
