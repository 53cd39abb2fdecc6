//! What sidecars tell, on its way into the evidence.

use peerwalk_model::report::Heartbeat;
use peerwalk_model::{PodRef, Timestamp, Walk};

use super::{Engine, Output, SidecarEvent, plans};

impl Engine {
    /// Takes in what a sidecar did.
    pub(super) fn take_sidecar(&mut self, event: SidecarEvent, at: Timestamp, now: Timestamp) -> Vec<Output> {
        match event {
            // What a pod said before it was forgotten must not bring it back.
            SidecarEvent::Attached(pod) | SidecarEvent::Heartbeat(pod, _)
                if !self.plans.contains_key(&pod) =>
            {
                self.metrics.evidence_lost();
            }
            SidecarEvent::Attached(pod) => {
                self.evidence.attached(&pod, at);
                self.touched.news(pod).reports = true;
            }
            SidecarEvent::Detached(pod) => {
                self.evidence.detached(&pod, at);
                self.metrics.sockets(self.evidence.sockets());
                self.touched.news(pod).reports = true;
            }
            SidecarEvent::Contested(pod) => return self.tell_contested(pod, now).into_iter().collect(),
            SidecarEvent::Heartbeat(pod, heartbeat) => {
                self.see_again(&pod, &heartbeat);
                self.count_lost_transitions(&pod, heartbeat.transitions_lost);
                let reported = self.evidence.pod(&pod).is_some_and(|t| t.reports(at, self.settings.silence));
                self.evidence.heartbeat(&pod, at, &heartbeat);
                let plan = self.plans.get(&pod);
                self.evidence.learn_times(&pod, &heartbeat, |key| plan?.asked_since(key));
                self.metrics.sockets(self.evidence.sockets());
                let missing = self.ask_for_missing(&pod, &heartbeat, now);
                self.touched.news(pod.clone()).reports |= !reported;
                let of_round = self.ask_for_round(&pod, &heartbeat).filter(|_| missing.is_none());
                return missing.into_iter().chain(of_round).collect();
            }
            SidecarEvent::Walk(pod, walk) => return self.take_walk(pod, *walk, at, now),
            SidecarEvent::Saw(pod, number, saw) => self.take_saw(&pod, number, saw, at, now),
            SidecarEvent::Transitions(pod, transitions) => self.take_transitions(&pod, &transitions, now),
        }
        Vec::new()
    }

    /// A sidecar tells how many transitions have found no room in its ring since it started.
    fn count_lost_transitions(&mut self, pod: &PodRef, lost: u64) {
        let before = self.transitions_lost.insert(pod.clone(), lost).unwrap_or_default();
        // One that was started again begins at none.
        self.metrics.transitions_lost(if lost < before { lost } else { lost - before });
    }

    fn take_walk(&mut self, pod: PodRef, mut walk: Walk, at: Timestamp, now: Timestamp) -> Vec<Output> {
        if self.plans.get(&pod).is_none_or(|plan| !plan.plan.targets.contains_key(&walk.target)) {
            // The plan changed while the walk was under way.
            self.metrics.evidence_lost();
            return Vec::new();
        }
        tracing::debug!(
            %pod, walked = %walk.target, interim = walk.interim,
            started_ms = walk.started.as_millis(), ended_ms = walk.ended.as_millis(), "walk"
        );
        self.follow_walk(&pod, &walk, now);
        let witness = plans::witness(&self.plans, &self.index, &self.decisions, &pod, &walk.target);
        if let Some(witness) = witness {
            self.sightings.learn(&witness, &walk);
        }
        let target = walk.target.clone();
        if self.keeps_dials(&pod, &walk)
            && let Some(known) = self.evidence_of(&pod, &target)
        {
            walk.connect.clone_from(&known.walk.connect);
        }
        self.evidence.walk(&pod, at, walk);
        // A sidecar that walks a URL does not know a Service's address from another.
        self.evidence.name_service_addresses(&pod, &target, |ip| self.index.service_by_ip(ip).is_some());
        let outputs = self.ask_peers(&pod, &target, now);
        self.touched.news(pod).walked.insert(target);
        outputs
    }

    /// A heartbeat tells of walks that found the same as the one that was sent.
    fn see_again(&mut self, pod: &PodRef, heartbeat: &Heartbeat) {
        let Some(told) = self.evidence.pod(pod) else { return };
        for fresh in &heartbeat.targets {
            let known = told.target(&fresh.target).filter(|known| known.signature == fresh.signature);
            let Some(known) = known.filter(|known| fresh.started > known.started) else { continue };
            let witness = plans::witness(&self.plans, &self.index, &self.decisions, pod, &fresh.target);
            if let Some(witness) = witness {
                self.sightings.learn_again(&witness, &known.walk, fresh);
            }
        }
    }
}
