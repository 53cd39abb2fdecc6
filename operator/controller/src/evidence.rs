//! What sidecars have told, by source pod: whether they are attached, and the evidence of each target.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::evidence::{DialPurpose, Strain, finding, signature};
use peerwalk_model::report::{Heartbeat, Sockets};
use peerwalk_model::{PodRef, TargetKey, Timestamp, Walk};

use crate::latency::Latency;

/// Everything that sidecars have told.
#[derive(Debug, Default)]
pub struct EvidenceStore {
    pods: BTreeMap<PodRef, PodEvidence>,
    /// Sums over the pods.
    sockets: Sockets,
}

/// What one sidecar has told.
#[derive(Debug, Default)]
pub struct PodEvidence {
    /// Since when its stream is up; `None` when it is not attached.
    pub attached: Option<Timestamp>,
    /// The last message of any kind.
    pub last_heard: Option<Timestamp>,
    /// When its last stream ended.
    pub detached: Option<Timestamp>,
    /// The sidecar's own sockets, by its last heartbeat.
    sockets: Sockets,
    targets: BTreeMap<TargetKey, TargetEvidence>,
    latencies: BTreeMap<TargetKey, Latency>,
}

/// The evidence of one pair.
#[derive(Clone, Debug)]
pub struct TargetEvidence {
    /// The latest walk that was sent.
    pub walk: Walk,
    /// Its signature.
    pub signature: u64,
    /// What it found, which walks of one run share.
    pub finding: u64,
    /// Since when walks have found this.
    pub since: Timestamp,
    /// When the last completed walk began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How many walks in a row found this.
    pub consecutive: u32,
    /// The generation of the plan it was gathered under.
    pub plan_generation: u64,
    /// What was found before, where the prober has been kept from running since: what such walks did not get says nothing.
    pub undisturbed: Option<Arc<TargetEvidence>>,
}

impl EvidenceStore {
    /// A sidecar attached.
    pub fn attached(&mut self, pod: &PodRef, at: Timestamp) {
        let entry = self.pods.entry(pod.clone()).or_default();
        entry.attached = Some(at);
        entry.last_heard = Some(at);
    }

    /// Its stream ended.
    pub fn detached(&mut self, pod: &PodRef, at: Timestamp) {
        if let Some(entry) = self.pods.get_mut(pod) {
            entry.attached = None;
            entry.detached = Some(at);
            let before = std::mem::take(&mut entry.sockets);
            self.count(before, Sockets::default());
        }
    }

    /// The pod is gone.
    pub fn remove(&mut self, pod: &PodRef) {
        if let Some(entry) = self.pods.remove(pod) {
            self.count(entry.sockets, Sockets::default());
        }
    }

    /// A message of any other kind arrived.
    pub fn heard(&mut self, pod: &PodRef, at: Timestamp) {
        if let Some(entry) = self.pods.get_mut(pod) {
            entry.last_heard = entry.last_heard.max(Some(at));
        }
    }

    /// A walk arrived.
    pub fn walk(&mut self, pod: &PodRef, at: Timestamp, walk: Walk) {
        let entry = self.pods.entry(pod.clone()).or_default();
        entry.last_heard = Some(at);
        let (signature, finding) = (signature(&walk), finding(&walk));
        let before = entry.targets.remove(&walk.target);
        let last = before.as_ref().filter(|last| last.finding == finding);
        let evidence = TargetEvidence {
            signature,
            finding,
            since: last.map_or(walk.started, |last| last.since),
            started: walk.started,
            ended: walk.ended,
            consecutive: last.map_or(1, |last| last.consecutive.max(1)),
            plan_generation: walk.plan_generation,
            undisturbed: before.filter(|_| is_starved(&walk)).and_then(TargetEvidence::before_strain),
            walk,
        };
        entry.targets.insert(evidence.walk.target.clone(), evidence);
    }

    /// Gives the dials of a target to addresses that are a Service's own their purpose. The signature stays: it
    /// is that of the walk as it was sent.
    pub fn name_service_addresses(
        &mut self,
        pod: &PodRef,
        target: &TargetKey,
        is_service: impl Fn(IpAddr) -> bool,
    ) {
        let Some(evidence) = self.pods.get_mut(pod).and_then(|pod| pod.targets.get_mut(target)) else {
            return;
        };
        for dial in evidence.walk.connect.iter_mut().flat_map(|connect| &mut connect.dials) {
            if dial.purpose == DialPurpose::Address && is_service(dial.remote.ip()) {
                dial.purpose = DialPurpose::ServiceAddress;
            }
        }
    }

    /// A heartbeat arrived: whoever sends one is attached. The hub sees to it that evidence it did not get is
    /// sent again.
    pub fn heartbeat(&mut self, pod: &PodRef, at: Timestamp, heartbeat: &Heartbeat) {
        let entry = self.pods.entry(pod.clone()).or_default();
        entry.attached.get_or_insert(at);
        entry.last_heard = Some(at);
        let before = std::mem::replace(&mut entry.sockets, heartbeat.sockets);
        for fresh in &heartbeat.targets {
            let Some(evidence) = entry.targets.get_mut(&fresh.target) else { continue };
            if evidence.signature == fresh.signature {
                evidence.since = fresh.since;
                evidence.started = fresh.started;
                evidence.ended = evidence.ended.max(fresh.ended);
                evidence.consecutive = fresh.consecutive;
            }
        }
        self.count(before, heartbeat.sockets);
    }

    fn count(&mut self, before: Sockets, now: Sockets) {
        // A sidecar can say what it likes, and the sum must come back to what it was.
        let moved = |sum: u32, before: u32, now: u32| sum.wrapping_sub(before).wrapping_add(now);
        self.sockets = Sockets {
            active: moved(self.sockets.active, before.active, now.active),
            waiting: moved(self.sockets.waiting, before.waiting, now.waiting),
            leaked: moved(self.sockets.leaked, before.leaked, now.leaked),
            breakers: moved(self.sockets.breakers, before.breakers, now.breakers),
        };
    }

    /// The sockets of all attached sidecars together.
    pub fn sockets(&self) -> Sockets {
        self.sockets
    }

    /// Takes the times of walks that passed into account; `asked` gives the generation of the plan since which the
    /// same is asked of a target, where it is planned.
    pub fn learn_times(
        &mut self,
        pod: &PodRef,
        heartbeat: &Heartbeat,
        asked: impl Fn(&TargetKey) -> Option<u64>,
    ) {
        let Some(entry) = self.pods.get_mut(pod) else { return };
        for fresh in &heartbeat.targets {
            let (Some(took), Some(asked)) = (fresh.took, asked(&fresh.target)) else { continue };
            if heartbeat.plan_generation < asked {
                continue;
            }
            let latency = entry.latencies.entry(fresh.target.clone()).or_insert_with(|| Latency::new(asked));
            if !latency.is_of(asked) {
                *latency = Latency::new(asked);
            }
            latency.add((fresh.signature, fresh.consecutive), took);
        }
    }

    /// What one sidecar has told.
    pub fn pod(&self, pod: &PodRef) -> Option<&PodEvidence> {
        self.pods.get(pod)
    }

    /// Forgets targets that are no longer planned.
    pub fn retain(&mut self, pod: &PodRef, keep: impl Fn(&TargetKey) -> bool) {
        if let Some(entry) = self.pods.get_mut(pod) {
            entry.targets.retain(|key, _| keep(key));
            entry.latencies.retain(|key, _| keep(key));
        }
    }
}

fn is_starved(walk: &Walk) -> bool {
    walk.strain.as_ref().is_some_and(Strain::is_starved)
}

impl TargetEvidence {
    /// The walk that a verdict comes from which counts walks that found this.
    pub fn walk_of(&self, finding: u64) -> &Walk {
        let undisturbed = self.undisturbed.as_deref().filter(|before| before.finding == finding);
        &undisturbed.unwrap_or(self).walk
    }

    /// The last of it that is of a walk whose prober ran.
    fn before_strain(self) -> Option<Arc<Self>> {
        if is_starved(&self.walk) { self.undisturbed } else { Some(Arc::new(self)) }
    }
}

impl PodEvidence {
    /// The evidence of a target.
    pub fn target(&self, key: &TargetKey) -> Option<&TargetEvidence> {
        self.targets.get(key)
    }

    /// How long a target takes to answer, where it has been asked the same since `asked`.
    pub fn latency(&self, key: &TargetKey, asked: u64) -> Option<&Latency> {
        self.latencies.get(key).filter(|latency| latency.is_of(asked))
    }

    /// The evidence of every target.
    #[cfg(test)]
    pub fn targets(&self) -> impl Iterator<Item = &TargetEvidence> {
        self.targets.values()
    }

    /// Whether the stream is up and was heard from within `silence`.
    pub fn reports(&self, now: Timestamp, silence: Duration) -> bool {
        self.attached.is_some() && self.last_heard.is_some_and(|at| now.since(at) <= silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_summed_over_the_sidecars_that_are_attached() {
        let pod = |name: &str| PodRef { namespace: "shop".into(), name: name.into(), uid: name.into() };
        let sockets = |active, breakers| Sockets { active, waiting: 1, leaked: 0, breakers };
        let at = Timestamp::from_millis(1000);
        let mut store = EvidenceStore::default();
        let beat = |store: &mut EvidenceStore, name: &str, sockets| {
            store.heartbeat(&pod(name), at, &Heartbeat { sockets, ..Heartbeat::default() });
        };
        beat(&mut store, "a", sockets(3, 1));
        beat(&mut store, "b", sockets(4, 0));
        beat(&mut store, "a", sockets(1, 2));
        assert_eq!(store.sockets(), Sockets { active: 5, waiting: 2, leaked: 0, breakers: 2 });
        store.detached(&pod("a"), at);
        store.remove(&pod("a"));
        assert_eq!(store.sockets(), sockets(4, 0));
        store.remove(&pod("b"));
        assert_eq!(store.sockets(), Sockets::default(), "nobody is left");
    }

    #[test]
    fn who_sends_heartbeats_is_attached() {
        let pod = PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "uid-1".into() };
        let (at, silence) = (Timestamp::from_millis, Duration::from_secs(15));
        let mut store = EvidenceStore::default();
        store.heartbeat(&pod, at(1000), &Heartbeat::default());
        store.heartbeat(&pod, at(3000), &Heartbeat::default());
        let told = store.pod(&pod).unwrap();
        assert_eq!((told.attached, told.last_heard), (Some(at(1000)), Some(at(3000))), "since the first");
        assert!(told.reports(at(18_000), silence) && !told.reports(at(18_001), silence));
        store.detached(&pod, at(4000));
        assert!(!store.pod(&pod).unwrap().reports(at(4000), silence), "until its stream ends");
    }
}
