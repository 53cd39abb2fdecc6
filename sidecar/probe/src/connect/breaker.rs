//! A circuit breaker for each address: what failed walk after walk is dialled less often, and reported as it was found
//! last. It costs the application's access less, and no finding its age.
//!
//! [`Breaker`] is pure (`now` and the jitter are arguments); [`Breakers`] holds one for each address with what it
//! remembers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::evidence::{self, Dial};
use tokio::time::Instant;

/// Failures of whole walks in a row that open a breaker: more than a restart of the target takes.
const FAILURES: u32 = 5;
/// How long it stays open, at most, the first time, the second, and from then on. What is reported meanwhile is a
/// minute old at most, which is as long as evidence stands: the last 10 s are for the walk that found it.
const BACK_OFFS: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(20), Duration::from_secs(50)];
/// Walks that begin to dial within this find one failure together. Twenty targets may share an address, and after an
/// event all of them dial it, and once more two seconds later.
const ONE_FAILURE: Duration = Duration::from_secs(3);
/// An open breaker that nobody dialled for so long after its back-off is that of an address which is gone.
const GONE: Duration = Duration::from_mins(10);
/// Addresses that are remembered. Those that never failed are not.
const REMEMBERED: usize = 1024;

/// The state of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Every walk dials it.
    #[default]
    Closed,
    /// None does, until then.
    Open(Instant),
    /// One does; the others wait for what it finds.
    HalfOpen,
}

/// What decides whether an address is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    state: State,
    /// Failures in a row.
    failures: u32,
    /// When the walk began to dial whose failure was counted last.
    counted: Option<Instant>,
    /// Which back-off was the last.
    step: usize,
}

impl Breaker {
    /// Whether a walk that wants to dial now has to do without. One that is ahead does not wait for the back-off to end:
    /// an event asked for it, or the back-off of another address of its target is over.
    pub(super) fn waits(&self, now: Instant, ahead: bool) -> bool {
        match self.state {
            State::Closed => false,
            State::Open(until) => !ahead && now < until,
            State::HalfOpen => true,
        }
    }

    /// A walk is about to dial; `false` where it has to do without.
    pub(super) fn begin(&mut self, now: Instant, ahead: bool) -> bool {
        if self.waits(now, ahead) {
            return false;
        }
        if self.state != State::Closed {
            self.state = State::HalfOpen;
        }
        true
    }

    /// It was answered by a connection.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A whole walk that began to dial at `began` failed. What is not `lasting` would prove less than what it stands for,
    /// if it was reported for the whole of a back-off: the next walk dials again.
    pub(super) fn failed(
        &mut self,
        (began, now): (Instant, Instant),
        lasting: bool,
        jitter: impl FnOnce(Duration) -> Duration,
    ) {
        if self.is_open() {
            // It began before the breaker opened, beside the walk that opened it.
            return;
        }
        let another = self.counted.is_none_or(|last| began >= last + ONE_FAILURE);
        if another {
            self.counted = Some(began);
            self.failures = self.failures.saturating_add(1);
        }
        match self.state {
            _ if self.failures < FAILURES => {}
            State::Closed if !lasting => {}
            _ if !lasting => self.state = State::Open(now),
            state => {
                let last = BACK_OFFS.len() - 1;
                self.step =
                    if state == State::Closed { 0 } else { (self.step + usize::from(another)).min(last) };
                self.state = State::Open(now + jitter(BACK_OFFS[self.step]));
            }
        }
    }

    /// The walk that dialled has no finding: it was stopped, or is void.
    pub(super) fn abandoned(&mut self, now: Instant) {
        if self.state == State::HalfOpen {
            self.state = State::Open(now);
        }
    }

    /// Whether the next failure may leave it open, so that what it finds has to last.
    pub(super) fn may_open(&self) -> bool {
        self.failures + 1 >= FAILURES
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether no walk asks for the address any more.
    fn is_gone(&self, now: Instant) -> bool {
        matches!(self.state, State::Open(until) if now.saturating_duration_since(until) > GONE)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}

/// The breakers of all addresses that failed of late, and what was found there last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breakers(Arc<Mutex<HashMap<SocketAddr, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    breaker: Breaker,
    /// The dials of the last walk that found it so, with the controls that were asked beside them.
    dials: Vec<Dial>,
}

impl Breakers {
    /// What stands for a dial of the address; `None` means: dial.
    pub(super) fn stands(&self, remote: SocketAddr, now: Instant, ahead: bool) -> Option<Vec<Dial>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(&remote).filter(|entry| entry.breaker.waits(now, ahead))?;
        Some(entry.dials.clone())
    }

    /// A walk is about to dial the address. `None` where it has to do without after all, since another walk dials it
    /// just now.
    pub(super) fn begin(&self, remote: SocketAddr, now: Instant, ahead: bool) -> Option<Grant> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = entries.get_mut(&remote).is_none_or(|entry| entry.breaker.begin(now, ahead));
        let half_open = entries.get(&remote).is_some_and(|entry| !entry.breaker.is_closed());
        // A grant is made only where it is one: dropping it takes the lock.
        granted.then(|| Grant { breakers: self.clone(), remote, half_open })
    }

    /// Takes in that a whole walk connected to the address.
    pub(super) fn succeeded(&self, remote: SocketAddr) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&remote) {
            entry.breaker.succeeded();
            entry.dials.clear();
        }
    }

    /// Takes in that a whole walk, which began to dial the address at `began`, failed there, with these dials.
    pub(super) fn failed(
        &self,
        remote: SocketAddr,
        (began, now): (Instant, Instant),
        dials: Vec<Dial>,
        lasting: bool,
    ) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= REMEMBERED && !entries.contains_key(&remote) {
            entries.retain(|_, entry| !entry.breaker.is_closed() && !entry.breaker.is_gone(now));
            if entries.len() >= REMEMBERED {
                return;
            }
        }
        let entry = entries.entry(remote).or_default();
        if lasting && !entry.breaker.is_open() {
            entry.dials = dials;
        }
        entry.breaker.failed((began, now), lasting, crate::random::jitter);
    }

    /// Whether the back-off of any of these addresses is over. All of a target's are dialled then, since they are
    /// compared in one window.
    pub(super) fn is_due(&self, remotes: impl IntoIterator<Item = SocketAddr>, now: Instant) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |remote: SocketAddr| {
            entries
                .get(&remote)
                .is_some_and(|entry| !entry.breaker.is_closed() && !entry.breaker.waits(now, false))
        };
        remotes.into_iter().any(due)
    }

    /// Whether the next failure at any of these addresses may leave its breaker open.
    pub(super) fn may_open(&self, remotes: &[SocketAddr]) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remotes.iter().filter_map(|remote| entries.get(remote)).any(|entry| entry.breaker.may_open())
    }

    /// The breaker of an address as evidence, unless it is closed.
    pub(super) fn told(&self, remote: SocketAddr, dialled: bool) -> Option<evidence::Breaker> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = entries.get(&remote)?.breaker;
        (!breaker.is_closed()).then_some(evidence::Breaker {
            remote,
            open: !dialled,
            failures: breaker.failures,
        })
    }

    /// How many are not closed. Those of addresses that are gone are forgotten.
    pub(crate) fn count(&self, now: Instant) -> usize {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| !entry.breaker.is_gone(now));
        entries.values().filter(|entry| !entry.breaker.is_closed()).count()
    }
}

/// Leave to dial an address. Dropped without a finding, it makes room for the next.
#[derive(Debug)]
pub(super) struct Grant {
    breakers: Breakers,
    remote: SocketAddr,
    half_open: bool,
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.half_open {
            let mut entries = self.breakers.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get_mut(&self.remote) {
                entry.breaker.abandoned(Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests;
