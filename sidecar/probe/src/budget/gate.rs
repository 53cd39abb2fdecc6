//! Makes walks wait for the budget they share.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::{Budget, Census, IN_FLIGHT, Pace};

/// How long one walk may wait for budget in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time of one walk: its deadline, and how long it may still wait for budget.
///
/// Waiting is no attempt, so the deadline moves by the time waited.
#[derive(Debug)]
pub(crate) struct Allowance(Mutex<(Instant, Duration)>);

impl Allowance {
    pub(crate) fn new(total: Duration) -> Self {
        Self(Mutex::new((Instant::now() + total, PATIENCE)))
    }

    /// When the attempts of the walk must be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// What is left until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Moves the deadline so that at least so much is left until it.
    pub(crate) fn keep(&self, left: Duration) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 = inner.0.max(Instant::now() + left);
    }

    fn patience(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn waited(&self, time: Duration) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 += time;
        inner.1 = inner.1.saturating_sub(time);
    }
}

/// The budget, shared by all walks of the process.
#[derive(Debug)]
pub(crate) struct Gate {
    budget: Mutex<Budget>,
    in_flight: Semaphore,
    diagnosis: Semaphore,
    census: Census,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            budget: Mutex::default(),
            in_flight: Semaphore::new(IN_FLIGHT),
            diagnosis: Semaphore::new(1),
            census: Census::default(),
        }
    }
}

impl Gate {
    /// Takes a connect now, or says how long until there may be one.
    pub(crate) fn try_connect(&self, remote: SocketAddr, pace: Pace) -> Result<(), Duration> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.connect(Instant::now().into_std(), remote, pace)
    }

    /// Whether a connect would be granted now.
    pub(crate) fn may_connect(&self, remote: SocketAddr, pace: Pace) -> bool {
        let budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.wait(Instant::now().into_std(), remote, pace).is_zero()
    }

    /// Waits for a connect; `false` when the walk's patience ends first.
    pub(crate) async fn connect(&self, remote: SocketAddr, pace: Pace, allowance: &Allowance) -> bool {
        let _waiting = self.census.wait();
        wait_for(allowance, || self.try_connect(remote, pace)).await
    }

    /// Whether a DNS query would be granted now.
    pub(crate) fn may_query(&self) -> bool {
        let budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.may_query(Instant::now().into_std())
    }

    /// Waits for a DNS query; `false` when the walk's patience ends first.
    pub(crate) async fn query(&self, allowance: &Allowance) -> bool {
        wait_for(allowance, || {
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.query(Instant::now().into_std())
        })
        .await
    }

    /// Waits for so many places among the sockets in flight, all at once; at most [`IN_FLIGHT`].
    pub(crate) async fn in_flight(
        &self,
        places: usize,
        allowance: &Allowance,
    ) -> Option<SemaphorePermit<'_>> {
        let places = u32::try_from(places.min(IN_FLIGHT)).unwrap_or(u32::MAX);
        let _waiting = self.census.wait();
        permit(&self.in_flight, places, allowance).await
    }

    /// The sockets of the walks that wait here.
    pub(crate) fn census(&self) -> &Census {
        &self.census
    }

    /// Waits until no other diagnosis runs.
    pub(crate) async fn diagnosis(&self, allowance: &Allowance) -> Option<SemaphorePermit<'_>> {
        permit(&self.diagnosis, 1, allowance).await
    }
}

async fn permit<'a>(
    semaphore: &'a Semaphore,
    places: u32,
    allowance: &Allowance,
) -> Option<SemaphorePermit<'a>> {
    let begun = Instant::now();
    let permit = timeout(allowance.patience(), semaphore.acquire_many(places)).await;
    allowance.waited(begun.elapsed());
    permit.ok()?.ok()
}

async fn wait_for(allowance: &Allowance, mut take: impl FnMut() -> Result<(), Duration>) -> bool {
    loop {
        let Err(wait) = take() else { return true };
        if wait > allowance.patience() {
            return false;
        }
        sleep(wait).await;
        allowance.waited(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_moves_the_deadline_and_ends() {
        let (gate, remote) = (Gate::default(), SocketAddr::from(([10, 0, 0, 1], 80)));
        let allowance = Allowance::new(Duration::from_secs(3));
        assert!(gate.connect(remote, Pace::Spaced, &allowance).await, "the first needs no wait");
        let before = Instant::now();
        assert!(gate.connect(remote, Pace::Spaced, &allowance).await, "the second waits its distance");
        assert_eq!(before.elapsed(), Duration::from_secs(5), "the distance to the same address");
        assert_eq!(allowance.left(), Duration::from_secs(3), "waiting is no attempt");
        assert!(!gate.connect(remote, Pace::Spaced, &allowance).await, "patience is for the whole walk");
    }

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
}
