//! Makes walks wait for the budget they share.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::line::Line;
use super::{Allowance, Budget, Census, IN_FLIGHT, Pace};

/// Walks that may wait for their first DNS query, those that were without for longest; more could not be served
/// before their patience ends. Others end at once, and leave their place among the walks at one time to targets
/// that need no name.
const ASKING: usize = 8;

/// The budget, shared by all walks of the process.
#[derive(Debug)]
pub(crate) struct Gate {
    budget: Mutex<Budget>,
    /// Who waits for a connect, whatever the address.
    dialling: Line,
    /// Who waits for a DNS query.
    asking: Line,
    in_flight: Semaphore,
    diagnosis: Semaphore,
    census: Census,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            budget: Mutex::default(),
            dialling: Line::new(usize::MAX),
            asking: Line::new(ASKING),
            in_flight: Semaphore::new(IN_FLIGHT),
            diagnosis: Semaphore::new(1),
            census: Census::default(),
        }
    }
}

impl Gate {
    /// Takes a connect now, or says how long until there may be one.
    pub(crate) fn try_connect(&self, remote: SocketAddr, pace: Pace) -> Result<(), Duration> {
        self.budget().connect(Instant::now().into_std(), remote, pace)
    }

    /// Whether a connect would be granted now.
    pub(crate) fn may_connect(&self, remote: SocketAddr, pace: Pace) -> bool {
        self.budget().wait(Instant::now().into_std(), remote, pace).is_zero()
    }

    /// Waits for a connect; `false` when the walk's patience ends first.
    pub(crate) async fn connect(&self, remote: SocketAddr, pace: Pace, allowance: &Allowance) -> bool {
        let _waiting = self.census.wait();
        let distance = || self.budget().distance(Instant::now().into_std(), remote, pace);
        loop {
            // Before it stands in line: for this address others need not wait.
            let wait = distance();
            if wait > allowance.patience() {
                return false;
            }
            if !wait.is_zero() {
                let _waits = allowance.wait();
                sleep(wait).await;
            }
            let take = || match self.try_connect(remote, pace) {
                // Another walk has dialled the address since.
                Err(_) if !distance().is_zero() => Ok(false),
                taken => taken.map(|()| true),
            };
            match self.dialling.pass(allowance, take).await {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
    }

    /// Whether a DNS query would be granted now: there is one, and nobody waits for it.
    pub(crate) fn may_query(&self) -> bool {
        self.asking.is_empty() && self.budget().may_query(Instant::now().into_std())
    }

    /// Waits for a DNS query; `false` when the walk's patience ends first, or would.
    pub(crate) async fn query(&self, allowance: &Allowance) -> bool {
        let take = || self.budget().query(Instant::now().into_std()).map(|()| true);
        self.asking.pass(allowance, take).await.is_some()
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

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
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
    let _waiting = allowance.wait();
    let permit = timeout(allowance.patience(), semaphore.acquire_many(places)).await;
    permit.ok()?.ok()
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
}
