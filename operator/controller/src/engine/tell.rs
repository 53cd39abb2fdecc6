//! What is told of what was judged, and when: statuses on change, events on transitions, and for a while
//! after a start nothing that sidecars have yet to report.

use std::time::Duration;

use peerwalk_api::condition::{ConditionStatus, READY};
use peerwalk_api::{CheckResult, ConnectivityCheck, ConnectivityCheckStatus};
use peerwalk_model::{PodRef, Timestamp, Verdict};

use super::outgoing::Outgoing;
use super::status::{self, Round};
use super::{Engine, Output};
use crate::cluster::record::ObjectKey;
use crate::metrics::WriteResult;
use crate::publish::{EventRecord, Regarding, StatusWrite, Written};

/// Events on one source pod are at least this far apart.
const POD_EVENTS: Duration = Duration::from_mins(5);
/// The reason of the event on a pod of which two processes report.
const CONTESTED: &str = "StreamContested";

/// A pair that has just failed.
#[derive(Debug)]
pub(super) struct Fallen {
    pub pod: PodRef,
    pub target: String,
    /// Nothing certain was known of it before.
    pub first: bool,
    /// Since when the pod may have walked.
    pub since: Timestamp,
    pub verdict: Verdict,
}

/// What has been told of a check that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Its uid.
    uid: String,
    since: Timestamp,
    outgoing: Outgoing,
    /// The error that the last event told.
    told: Option<String>,
}

impl Engine {
    /// Whether a check rests as it is stored, for a while after a start of the operator: sidecars need time
    /// to come back, and proof rests on what others report too. A failure is news at once, and so is a
    /// rollout, as the pods before it say nothing of the ones after it.
    pub(super) fn holds_back(
        &self,
        check: &ConnectivityCheck,
        base: &ConnectivityCheckStatus,
        round: &Round<'_>,
        said: &ConnectivityCheckStatus,
        now: Timestamp,
    ) -> bool {
        let starting = now.since(self.seen.since()) <= self.settings.attach_within;
        let (Some(old), Some(new)) = (base.condition(READY), said.condition(READY)) else { return false };
        if !starting
            || base.observed_generation != check.metadata.generation
            || status::rolls_out(round, base)
        {
            return false;
        }
        match new.status {
            ConditionStatus::Unknown => said.result != CheckResult::Suspended,
            ConditionStatus::False if old.status != ConditionStatus::False => false,
            ConditionStatus::True | ConditionStatus::False => round.pairs.iter().any(|pair| !pair.complete),
        }
    }

    /// Shows the Ready condition of a check in the metrics.
    pub(super) fn show(&self, key: &ObjectKey, status: &ConnectivityCheckStatus) {
        if let Some(ready) = status.condition(READY) {
            self.metrics.ready(&key.namespace, &key.name, Some(ready.status.as_str()));
        }
    }

    /// An event on each source pod that has just failed. After a start of the operator every pair is judged
    /// for the first time; what the stored status says already is no news then.
    pub(super) fn tell_pods(
        &mut self,
        fallen: Vec<Fallen>,
        base: &ConnectivityCheckStatus,
        now: Timestamp,
        outputs: &mut Vec<Output>,
    ) {
        let failed = peerwalk_api::status::Outcome::Failed;
        for Fallen { pod, target, first, since, verdict } in fallen {
            let stored = base.targets.iter().any(|row| row.name == target && row.outcome == failed);
            if (stored && first && since < self.seen.since()) || !self.may_tell(&pod, now) {
                continue;
            }
            outputs.push(Output::Event(EventRecord {
                regarding: Regarding::Pod(pod),
                warning: true,
                reason: verdict.reason.map_or_else(String::new, |reason| reason.code().into()),
                note: format!("{target}: {}", status::headline(&verdict)),
            }));
        }
    }

    /// An event on a pod of which two processes report, now and then. A pod that is not planned is none of ours.
    pub(super) fn tell_contested(&mut self, pod: PodRef, now: Timestamp) -> Option<Output> {
        if !self.plans.contains_key(&pod) || !self.may_tell(&pod, now) {
            return None;
        }
        let note = "two processes hold tokens of this pod, and their streams to the hub displace each other: one of \
                    them may be a stranger with a stolen token. What is reported of this pod is not certain until it \
                    is deleted, which ends all of its tokens";
        Some(Output::Event(EventRecord {
            regarding: Regarding::Pod(pod),
            warning: true,
            reason: CONTESTED.into(),
            note: note.into(),
        }))
    }

    /// Whether an event on this pod may be published, which is noted then.
    fn may_tell(&mut self, pod: &PodRef, now: Timestamp) -> bool {
        let recent = self.pod_events.get(pod).is_some_and(|at| now.since(*at) < POD_EVENTS);
        if !recent {
            self.pod_events.insert(pod.clone(), now);
        }
        !recent
    }

    /// Says of each check that cannot be read that it is not carried out.
    pub(super) fn tell_unreadable(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        let checks = self.index.unreadable_checks();
        let (metrics, index) = (&self.metrics, &self.index);
        self.unreadable.retain(|key, _| {
            let unreadable = checks.contains_key(key);
            if !unreadable && index.check(key).is_none() {
                metrics.ready(&key.namespace, &key.name, None);
            }
            unreadable
        });
        for (key, check) in checks {
            let new = || Unreadable {
                uid: check.uid.clone(),
                since: now,
                outgoing: Outgoing::default(),
                told: None,
            };
            let state = self.unreadable.entry(key.clone()).or_insert_with(new);
            if state.uid != check.uid {
                *state = new();
            }
            let base = status::ours((*check.status).clone());
            let said = status::not_readable(check, &base, state.since);
            metrics.ready(&key.namespace, &key.name, Some(ConditionStatus::False.as_str()));
            if said == base {
                state.outgoing.nothing_to_say(&base);
                continue;
            }
            // An operator before this one may have told.
            let news = state.told.as_ref() != Some(&check.error) && words(&base) != words(&said);
            let event = news.then(|| event(key, &check.uid, &said)).flatten();
            let resource_version = check.resource_version.clone();
            let write = StatusWrite { resource_version, status: said, event };
            if state.outgoing.take(&write, now) {
                outputs.push(Output::Status(key.clone(), Box::new(write)));
            }
        }
    }

    /// A write ended. The event of a stored one is published; what was not stored is judged again.
    pub(super) fn written(&mut self, written: Written, now: Timestamp) -> Option<Output> {
        let Written { check: key, write, result } = written;
        let stored = result == WriteResult::Stored;
        if let Some(state) = self.checks.get_mut(&key) {
            state.outgoing.ended(&write, result, now);
        }
        if let Some(state) = self.unreadable.get_mut(&key) {
            state.outgoing.ended(&write, result, now);
            if stored {
                state.told = self.index.unreadable_checks().get(&key).map(|check| check.error.clone());
            }
        }
        if !stored {
            self.touched.checks.insert(key);
            return None;
        }
        write.event.map(Output::Event)
    }
}

/// The write of a status that differs from the stored one, unless another one has to end first.
pub(super) fn tell(
    key: &ObjectKey,
    check: &ConnectivityCheck,
    base: &ConnectivityCheckStatus,
    said: ConnectivityCheckStatus,
    outgoing: &mut Outgoing,
    now: Timestamp,
) -> Option<Output> {
    let event = transition(check, base, &said)
        .then(|| event(key, check.metadata.uid.as_deref().unwrap_or_default(), &said));
    let resource_version = check.metadata.resource_version.clone().unwrap_or_default();
    let write = StatusWrite { resource_version, status: said, event: event.flatten() };
    outgoing.take(&write, now).then(|| Output::Status(key.clone(), Box::new(write)))
}

/// Whether Ready says something new of a check that stays.
fn transition(
    check: &ConnectivityCheck,
    base: &ConnectivityCheckStatus,
    said: &ConnectivityCheckStatus,
) -> bool {
    let words = |status: &ConnectivityCheckStatus| {
        status.condition(READY).map(|ready| (ready.status, ready.reason.clone()))
    };
    check.metadata.deletion_timestamp.is_none() && words(base) != words(said)
}

/// What Ready says, and all its words.
fn words(status: &ConnectivityCheckStatus) -> Option<(ConditionStatus, &str, &str)> {
    status.condition(READY).map(|ready| (ready.status, ready.reason.as_str(), ready.message.as_str()))
}

/// What Ready says, as an event on the check.
fn event(key: &ObjectKey, uid: &str, said: &ConnectivityCheckStatus) -> Option<EventRecord> {
    let ready = said.condition(READY)?;
    Some(EventRecord {
        regarding: Regarding::Check { key: key.clone(), uid: uid.to_owned() },
        warning: ready.status == ConditionStatus::False,
        reason: ready.reason.clone(),
        note: format!("Ready is {}: {}", ready.status.as_str(), ready.message),
    })
}
