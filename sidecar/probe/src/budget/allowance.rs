//! What one walk may take of the time, and its place among those that wait for the budget.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a walk may wait in all until it gets anything of the budget, and from then on for what else it needs:
/// what it got is lost otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A change in the cluster is worth so much waiting. It bounds how long targets that change all the time can go ahead
/// of all others.
const CHANGE_AHEAD: Duration = Duration::from_mins(5);

/// The time of one walk: its deadline, and how long it may still wait for budget.
///
/// Waiting is no attempt, so the deadline moves by the time waited.
#[derive(Debug)]
pub(crate) struct Allowance(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    deadline: Instant,
    patience: Duration,
    rank: Rank,
    /// What is waited for at this moment: a walk asks for several things at once, and waits but once for all.
    waits: u32,
    /// Since when.
    since: Instant,
}

/// Who goes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// It has got nothing yet. Those that have go first: what they got is lost if they do not come to their end.
    pub(super) fresh: bool,
    /// Since when the target is without a whole walk.
    without: Instant,
    /// Which walk.
    pub(super) walk: u64,
}

impl Allowance {
    /// For a walk of a target that has been without for no time.
    pub(crate) fn new(total: Duration) -> Self {
        static WALKS: AtomicU64 = AtomicU64::new(0);
        let now = Instant::now();
        let rank = Rank { fresh: true, without: now, walk: WALKS.fetch_add(1, Ordering::Relaxed) };
        let (deadline, patience) = (now + total, PATIENCE);
        Self(Mutex::new(Inner { deadline, patience, rank, waits: 0, since: now }))
    }

    /// Its target has been without a whole walk since then; a change in the cluster goes ahead.
    #[must_use]
    pub(crate) fn without_since(self, without: Instant, change: bool) -> Self {
        let ahead = if change { CHANGE_AHEAD } else { Duration::ZERO };
        self.lock().rank.without = without.checked_sub(ahead).unwrap_or(without);
        self
    }

    /// When the attempts of the walk must be over.
    pub(crate) fn deadline(&self) -> Instant {
        let inner = self.lock();
        inner.deadline + inner.waiting()
    }

    /// What is left until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Moves the deadline so that at least so much is left until it.
    pub(crate) fn keep(&self, left: Duration) {
        let mut inner = self.lock();
        inner.deadline = inner.deadline.max(Instant::now() + left);
    }

    /// How long it may still wait.
    pub(super) fn patience(&self) -> Duration {
        let inner = self.lock();
        inner.patience.saturating_sub(inner.waiting())
    }

    pub(super) fn rank(&self) -> Rank {
        self.lock().rank
    }

    /// It has got something.
    pub(super) fn begin(&self) {
        let mut inner = self.lock();
        if inner.rank.fresh {
            inner.rank.fresh = false;
            inner.settle();
            inner.patience = PATIENCE;
        }
    }

    /// Counts as waiting until it is dropped.
    pub(super) fn wait(&self) -> Wait<'_> {
        let mut inner = self.lock();
        if inner.waits == 0 {
            inner.since = Instant::now();
        }
        inner.waits += 1;
        Wait(self)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// How long it has been waiting, not yet counted.
    fn waiting(&self) -> Duration {
        if self.waits == 0 { Duration::ZERO } else { self.since.elapsed() }
    }

    fn settle(&mut self) {
        let waited = self.waiting();
        self.since += waited;
        self.deadline += waited;
        self.patience = self.patience.saturating_sub(waited);
    }
}

/// Kept while a walk waits.
#[derive(Debug)]
pub(super) struct Wait<'a>(&'a Allowance);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.settle();
        inner.waits = inner.waits.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_left_is_kept_at_no_cost_of_patience() {
        let allowance = Allowance::new(Duration::from_secs(3));
        let left = allowance.left();
        sleep(Duration::from_secs(2)).await;
        allowance.keep(left);
        assert_eq!((allowance.left(), allowance.patience()), (left, PATIENCE));
        allowance.keep(Duration::from_secs(1));
        assert_eq!(allowance.left(), left, "it never takes away");
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn two_waits_at_once_are_one() {
        let allowance = Allowance::new(seconds(3));
        let first = allowance.wait();
        sleep(seconds(1)).await;
        let other = allowance.wait();
        sleep(seconds(1)).await;
        assert_eq!((allowance.left(), allowance.patience()), (seconds(3), seconds(3)), "two waited so far");
        drop(first);
        sleep(seconds(1)).await;
        drop(other);
        sleep(seconds(1)).await;
        assert_eq!((allowance.left(), allowance.patience()), (seconds(2), seconds(2)), "three in all");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_has_all_its_patience_once_more() {
        let allowance = Allowance::new(seconds(3));
        for expected in [PATIENCE, seconds(1)] {
            let waiting = allowance.wait();
            sleep(seconds(4)).await;
            allowance.begin();
            drop(waiting);
            assert_eq!((allowance.left(), allowance.patience()), (seconds(3), expected));
        }
    }
}
