//! What a walk leaves behind for those after it: failures for the breakers, refusals, silences, and how long connects take.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Duration;

use peerwalk_model::TargetKey;
use peerwalk_model::evidence::{Breaker, Dial, DialOutcome, DialPurpose};
use tokio::time::Instant;

use super::{Choice, Connector, Dialling, KEPT_DIALS, REMEMBERED, Series};
use crate::socket::Attempt;
use crate::strain::Watch;

impl Dialling<'_> {
    /// Tells the breakers what the whole walk found at each address that it dialled itself.
    pub(super) fn learn_failures(&self, series: &Series, dials: &[Dial]) {
        let (now, breakers) = (Instant::now(), &self.connector.breakers);
        let mut seen = HashSet::new();
        for attempt in series.attempts().filter(|attempt| attempt.purpose() != DialPurpose::Control) {
            let remote = attempt.remote();
            if !seen.insert(remote) {
                continue;
            }
            let of_it = || series.attempts().filter(|attempt| attempt.remote() == remote);
            let outcomes: Vec<_> = of_it().map(|attempt| attempt.dial().outcome).collect();
            if outcomes.iter().any(|outcome| matches!(outcome, DialOutcome::Connected { .. })) {
                breakers.succeeded(remote);
                continue;
            }
            let silent = outcomes.contains(&DialOutcome::Silent);
            // What costs no packet is not worth a breaker.
            let immediate =
                |outcome: &DialOutcome| matches!(outcome, DialOutcome::Failed { immediate: true, .. });
            if outcomes.iter().any(immediate) || (silent && self.watch.is_starved()) {
                continue;
            }
            let began = of_it().map(Attempt::dial).map(|dial| dial.started).min();
            let found: Vec<Dial> = dials
                .iter()
                .filter(|dial| dial.remote == remote || (silent && dial.purpose == DialPurpose::Control))
                .cloned()
                .collect();
            // Older dials among them would be too old before the back-off is over.
            let fresh = found.iter().all(|dial| Some(dial.started) >= began);
            let when = (of_it().map(Attempt::begun).min().unwrap_or(now), now);
            breakers.failed(remote, when, found, fresh && (!silent || series.diagnosed));
        }
    }

    /// The breakers of the target's addresses that are not closed after this walk.
    pub(super) fn breakers(&self, choice: &Choice, series: &Series) -> Vec<Breaker> {
        let dialled = |remote| series.attempts().any(|attempt| attempt.remote() == remote);
        let wanted: Vec<SocketAddr> =
            choice.first.iter().chain(&choice.rest).map(|want| want.remote).collect();
        let told = |remote: SocketAddr| self.connector.breakers.told(remote, dialled(remote));
        let mut told: Vec<Breaker> = wanted.into_iter().filter_map(told).collect();
        told.dedup_by_key(|breaker| breaker.remote);
        told.truncate(KEPT_DIALS);
        told
    }
}

impl Connector {
    /// Circuit breakers that are not closed.
    pub(crate) fn breakers(&self) -> usize {
        self.breakers.count(Instant::now())
    }

    pub(super) fn learn(&self, target: &TargetKey, dials: &mut [Dial], watch: &Watch<'_>) {
        let now = Instant::now();
        let silent = |dials: &[Dial]| dials.iter().any(|dial| dial.outcome == DialOutcome::Silent);
        let starved = silent(dials) && watch.is_starved();
        self.refusals.learn(dials, now, starved);
        self.silences.learn(dials);
        if !(starved && silent(dials)) {
            self.recent.learn(target, dials, now);
        }
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() >= REMEMBERED {
            times.clear();
        }
        for dial in dials.iter().filter(|dial| {
            matches!(dial.outcome, DialOutcome::Connected { .. } | DialOutcome::Answered { .. })
        }) {
            // The slower of the two, so that one lucky packet does not make the usual look silent.
            let usual = times.get(&dial.remote).map_or(Duration::ZERO, |time| *time / 2);
            times.insert(dial.remote, dial.elapsed.max(usual));
        }
    }
}
