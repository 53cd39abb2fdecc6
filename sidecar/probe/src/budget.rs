//! What a sidecar may spend, whatever its plan says: everything it does is done from the application's
//! address and must never cost the application its access.
//!
//! [`Budget`] is pure (`now` is an argument); [`Gate`] makes walks wait for it.

mod allowance;
mod census;
mod gate;
mod line;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) use allowance::Allowance;
pub(crate) use census::{Census, Held};
pub(crate) use gate::Gate;

/// Connects per second, sustained.
pub const CONNECTS_PER_SECOND: u32 = 4;
/// Connects that may come at once.
pub const CONNECT_BURST: u32 = 32;
/// Connects in flight: dialled, and neither answered nor found silent. One diagnosis of silence runs at a
/// time and adds its own sockets, bounded by [`CONNECT_BURST`] like all others.
pub const IN_FLIGHT: usize = 8;
/// Between two connects to the same address and port, outside a diagnosis.
pub const SPACING: Duration = Duration::from_secs(5);
/// DNS queries per second, sustained.
pub const QUERIES_PER_SECOND: u32 = 5;
/// DNS queries that may come at once. `catalog.shop.svc` costs six with the usual search list, and the first
/// round asks for every name of the plan.
pub const QUERY_BURST: u32 = 100;

/// Addresses whose last connect is remembered before old ones are dropped.
const REMEMBERED: usize = 1024;

/// A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): one moment is its state.
///
/// In any window of `t` seconds it grants at most `burst + t × per_second`.
#[derive(Debug)]
pub struct TokenBucket {
    interval: Duration,
    depth: Duration,
    /// When the bucket would be full again; `None` when it never was used.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket. `per_second` is at least 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, depth: interval * burst, full_at: None }
    }

    /// Takes a token, or says how long until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(now);
        if wait.is_zero() {
            self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + self.interval);
            return Ok(());
        }
        Err(wait)
    }

    fn wait(&self, now: Instant) -> Duration {
        let backlog = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        (backlog + self.interval).saturating_sub(self.depth)
    }
}

/// Whether a connect keeps its distance from the last one to the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A steady walk: at most one in [`SPACING`].
    Spaced,
    /// A diagnosis, a retry, a walk caused by an event, or a proxy, which stands for all targets behind it.
    Immediate,
}

/// What is left of the sidecar's budget.
#[derive(Debug)]
pub struct Budget {
    connects: TokenBucket,
    queries: TokenBucket,
    dialled: HashMap<SocketAddr, Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            connects: TokenBucket::new(CONNECTS_PER_SECOND, CONNECT_BURST),
            queries: TokenBucket::new(QUERIES_PER_SECOND, QUERY_BURST),
            dialled: HashMap::new(),
        }
    }
}

impl Budget {
    /// Grants one connect to `remote`, or says how long to wait before asking again.
    pub fn connect(&mut self, now: Instant, remote: SocketAddr, pace: Pace) -> Result<(), Duration> {
        let wait = self.wait(now, remote, pace);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.connects.take(now)?;
        if self.dialled.len() >= REMEMBERED {
            self.dialled.retain(|_, last| now.saturating_duration_since(*last) < SPACING);
        }
        self.dialled.insert(remote, now);
        Ok(())
    }

    /// How long until a connect to `remote` would be granted.
    pub fn wait(&self, now: Instant, remote: SocketAddr, pace: Pace) -> Duration {
        self.distance(now, remote, pace).max(self.connects.wait(now))
    }

    /// How long until `remote` itself may be dialled again.
    pub fn distance(&self, now: Instant, remote: SocketAddr, pace: Pace) -> Duration {
        let last = self.dialled.get(&remote).filter(|_| pace == Pace::Spaced);
        last.map(|last| SPACING.saturating_sub(now.saturating_duration_since(*last))).unwrap_or_default()
    }

    /// Whether a DNS query would be granted.
    pub fn may_query(&self, now: Instant) -> bool {
        self.queries.wait(now).is_zero()
    }

    /// Grants one DNS query, or says how long to wait before asking again.
    pub fn query(&mut self, now: Instant) -> Result<(), Duration> {
        self.queries.take(now)
    }
}

#[cfg(test)]
mod tests;
