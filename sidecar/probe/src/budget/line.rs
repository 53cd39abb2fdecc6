//! Who is next: walks that wait for a budget, in an order that spends it on walks that come to their end and gives
//! every target its turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::allowance::{Allowance, Rank};

/// Those that wait for one budget.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    /// Walks that may wait before they have got anything.
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiter>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    /// Of walks that ask for several things at once, the first one goes first.
    place: (Rank, u64),
    wake: Arc<Notify>,
}

impl Line {
    /// One in which at most so many walks wait that have not got anything: those of the lowest rank are sent away.
    pub(super) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Waits until the walk is the first and there is something to take. `take` says whether it got what it came for,
    /// or how long until it may ask again. None when the walk's patience ends first, or others have to go first.
    pub(super) async fn pass(
        &self,
        allowance: &Allowance,
        mut take: impl FnMut() -> Result<bool, Duration>,
    ) -> Option<bool> {
        let _waiting = allowance.wait();
        let place = self.join(allowance);
        loop {
            let (first, left) = (place.is_first()?, allowance.patience());
            let wait = if first {
                match take() {
                    Ok(got) => {
                        if got {
                            allowance.begin();
                            self.lock().begun(allowance.rank());
                        }
                        return Some(got);
                    }
                    Err(wait) if wait > left => return None,
                    Err(wait) => wait,
                }
            } else if left.is_zero() {
                return None;
            } else {
                left
            };
            // Late is no error: the time has come to look again.
            let _ = timeout(wait, place.wake.notified()).await;
        }
    }

    fn join(&self, allowance: &Allowance) -> Place<'_> {
        let mut state = self.lock();
        state.next += 1;
        let (number, wake) = (state.next, Arc::new(Notify::new()));
        state.waiting.push(Waiter { place: (allowance.rank(), number), wake: Arc::clone(&wake) });
        state.bound(self.most);
        drop(state);
        Place { line: self, number, wake }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn first(&self) -> Option<&Waiter> {
        self.waiting.iter().min_by_key(|waiter| waiter.place)
    }

    /// Sends away who could not be served in time by those that go first.
    fn bound(&mut self, most: usize) {
        let mut new: Vec<Rank> = self.waiting.iter().map(|w| w.place.0).filter(|rank| rank.fresh).collect();
        new.sort_unstable();
        new.dedup();
        let Some(last) = most.checked_sub(1).and_then(|last| new.get(last)) else { return };
        self.waiting.retain(|waiter| {
            let stays = waiter.place.0 <= *last;
            if !stays {
                waiter.wake.notify_one();
            }
            stays
        });
    }

    /// A walk has got something: whatever else it waits for goes first now.
    fn begun(&mut self, rank: Rank) {
        let others = self.waiting.iter_mut().filter(|waiter| waiter.place.0.walk == rank.walk);
        others.for_each(|waiter| waiter.place.0 = rank);
    }
}

/// Kept while waiting; given up, the next one is first.
struct Place<'a> {
    line: &'a Line,
    number: u64,
    wake: Arc<Notify>,
}

impl Place<'_> {
    /// None where it was sent away.
    fn is_first(&self) -> Option<bool> {
        let state = self.line.lock();
        let mine = |waiter: &Waiter| waiter.place.1 == self.number;
        state.waiting.iter().any(mine).then(|| state.first().is_some_and(mine))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.waiting.retain(|waiter| waiter.place.1 != self.number);
        if let Some(first) = state.first() {
            first.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
