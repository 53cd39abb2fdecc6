//! What sidecars tell of the time in which nobody judged: when walks began to find what is not expected, and when that
//! was over. Kept for each check, for its status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerwalk_api::ConnectivityCheck;
use peerwalk_api::status::{Outcome, TargetStatus};
use peerwalk_model::report::Transition;
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{PodRef, Stage, Timestamp};

use super::Engine;
use crate::cluster::record::ObjectKey;

/// Outages that are remembered of one check; the status has fewer.
const REMEMBERED: usize = 64;

/// What sidecars told of the gaps in which nobody listened to them.
#[derive(Debug, Default)]
pub struct Gaps {
    pairs: BTreeMap<(PodRef, String), PairGap>,
    over: Vec<ToldOutage>,
    /// Targets that have been as expected since this replica leads.
    pub met: BTreeSet<String>,
}

/// Of one pair.
#[derive(Clone, Copy, Debug, Default)]
struct PairGap {
    /// Since when it has not been as expected, and where its walks ended.
    broken: Option<(Timestamp, Stage)>,
    /// When it was as expected again for the last time.
    back: Option<Timestamp>,
}

/// An outage that began while nobody listened, and is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldOutage {
    /// The name of the target.
    pub target: String,
    /// When the first walk ended that found it.
    pub start: Timestamp,
    /// When the first walk ended that found it over.
    pub end: Timestamp,
    /// Where its walks ended.
    pub stage: Stage,
}

impl Gaps {
    /// A walk of a pair found something else than the one before. `listened` is since when the pod is listened to: what
    /// comes later is judged as it comes, and begins nothing here.
    fn take(
        &mut self,
        pod: &PodRef,
        violates: bool,
        transition: &Transition,
        listened: Timestamp,
        least: Duration,
    ) {
        let target = transition.target.target.clone();
        let pair = self.pairs.entry((pod.clone(), target.clone())).or_default();
        if violates {
            if pair.broken.is_none() && transition.at < listened {
                pair.broken = Some((transition.at, transition.stage));
            }
            return;
        }
        pair.back = Some(transition.at);
        if let Some((start, stage)) = pair.broken.take()
            && transition.at.since(start) >= least
        {
            let told = ToldOutage { target, start, end: transition.at, stage };
            if !self.over.contains(&told) {
                self.over.push(told);
            }
            let surplus = self.over.len().saturating_sub(REMEMBERED);
            self.over.drain(..surplus);
        }
    }

    /// Outages that are over.
    pub fn over(&self) -> impl Iterator<Item = &ToldOutage> {
        self.over.iter()
    }

    /// Since when a target that is not as expected has not been, where that began while nobody listened.
    pub fn broken_since(&self, target: &str) -> Option<Timestamp> {
        self.of(target).filter_map(|pair| pair.broken).map(|(start, _)| start).min()
    }

    /// When a target was as expected again, by the pod that was the last to find so.
    pub fn back_at(&self, target: &str) -> Option<Timestamp> {
        self.of(target).filter_map(|pair| pair.back).max()
    }

    /// Learns from rows which targets are as expected.
    pub fn learn(&mut self, rows: &[TargetStatus]) {
        for row in rows {
            if row.outcome == Outcome::AsExpected {
                self.met.insert(row.name.clone());
            }
        }
    }

    /// Forgets pods and targets that the check does not have.
    pub fn retain(&mut self, pods: &BTreeSet<&PodRef>, targets: &BTreeSet<&str>) {
        self.pairs.retain(|(pod, target), _| pods.contains(pod) && targets.contains(target.as_str()));
        self.over.retain(|told| targets.contains(told.target.as_str()));
        self.met.retain(|target| targets.contains(target.as_str()));
    }

    fn of(&self, target: &str) -> impl Iterator<Item = PairGap> {
        self.pairs.iter().filter(move |((_, name), _)| name == target).map(|(_, pair)| *pair)
    }
}

impl Engine {
    /// Takes what a sidecar tells of walks that found something else than the ones before. It can make up as many as it
    /// likes, of its own check: they are bounded, and of the time since the check is there.
    pub(super) fn take_transitions(&mut self, pod: &PodRef, transitions: &[Transition], now: Timestamp) {
        for transition in transitions {
            tracing::debug!(
                %pod, walked = %transition.target, passed = transition.passed,
                stage = %transition.stage, at = %transition.at, "transition"
            );
            let key = ObjectKey::new(&pod.namespace, &transition.target.check);
            // Who does not lead judges nothing as it comes.
            let listened = match self.evidence.pod(pod).and_then(|told| told.attached) {
                Some(attached) if self.leads() => attached.max(self.seen.since()),
                _ => now.plus(Duration::from_millis(1)),
            };
            let (Some(check), Some(state)) = (self.index.check(&key), self.checks.get_mut(&key)) else {
                self.metrics.evidence_lost();
                continue;
            };
            let target = check.spec.targets.iter().find(|target| target.name == transition.target.target);
            let planned = state.selection.sampled.binary_search(pod).is_ok();
            let Some(target) = target.filter(|_| planned) else {
                self.metrics.evidence_lost();
                continue;
            };
            if transition.at > now || transition.at < made(check) {
                self.metrics.evidence_lost();
                continue;
            }
            let expect: Expectation = target.expect.into();
            let violates = transition.passed == (expect == Expectation::Denied);
            // One walk may fail for any reason: as many have to as count otherwise.
            let walks = check.spec.failure_threshold.saturating_sub(1);
            let least = check.spec.interval.get().saturating_mul(walks);
            state.gaps.take(pod, violates, transition, listened, least);
            self.touched.waiting.insert(key);
        }
    }
}

/// When a check was made.
fn made(check: &ConnectivityCheck) -> Timestamp {
    let created = check.metadata.creation_timestamp.as_ref();
    created.map_or_else(Timestamp::default, |time| Timestamp::from_millis(time.0.as_millisecond()))
}

#[cfg(test)]
mod tests;
