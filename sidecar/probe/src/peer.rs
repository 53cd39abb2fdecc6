//! The view of the other side: what this pod's kernel holds of dials that somebody else made to it.
//!
//! Nothing is told but what is asked for by its ends, and only of addresses of the pod itself. Everything is
//! bounded: how often it may be asked, how much one question may cost, for how long connections that close are
//! remembered, and how many of them.

mod closed;
mod counters;
mod namespace;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlink_packet_sock_diag::constants::TCP_TIME_WAIT;
use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use tokio::time::Instant;

use crate::budget::TokenBucket;
use crate::socket::diag::canonical;
use closed::Closed;
use namespace::Namespace;

/// Questions that may come at once, and per second.
const LOOK_BURST: u32 = 16;
const LOOKS_PER_SECOND: u32 = 4;

/// This pod, as a peer of others.
#[derive(Debug)]
pub struct Peer {
    addresses: Vec<IpAddr>,
    closed: Closed,
    looks: TokenBucket,
}

impl Peer {
    /// A pod with at least these addresses; whether others are its own, the kernel is asked.
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, closed: Closed::default(), looks: TokenBucket::new(LOOKS_PER_SECOND, LOOK_BURST) }
    }

    /// Remembers for so long, and 10 s at most, which connections of the namespace are closed; not at once again where
    /// that are too many. Needs a runtime with I/O and time, and [`Peer::remember`] to be polled.
    pub fn watch(&mut self, window: Duration) {
        self.closed.open(window);
    }

    /// Takes in what is closed, to the end of the window; for ever while nothing is watched. May be dropped at
    /// any time.
    pub async fn remember(&mut self) {
        self.closed.take_in_all().await;
    }

    /// Whether closed connections are remembered now.
    pub fn is_watching(&self) -> bool {
        self.closed.is_open()
    }

    /// What the kernel holds of these dials, in their order; `None` where it is asked too often. Does not wait: an
    /// exact lookup costs a few microseconds, and there are at most some hundred.
    pub fn look(&mut self, tuples: &[Tuple]) -> Option<Saw> {
        let now = Instant::now();
        self.looks.take(now.into_std()).ok()?;
        self.closed.take_in();
        let mut namespace = Namespace::open(&self.addresses)
            .inspect_err(|error| tracing::debug!(%error, "the kernel cannot be asked for sockets"))
            .ok();
        let seen = tuples.iter().map(|tuple| self.seen(namespace.as_mut(), *tuple, now)).collect();
        Some(Saw { seen, ..counters::read() })
    }

    fn seen(&self, namespace: Option<&mut Namespace<'_>>, tuple: Tuple, now: Instant) -> Seen {
        let mut seen = Seen { tuple, socket: None, listener: Listener::Unknown };
        let (source, end) = (canonical(tuple.source), End(canonical(tuple.destination)));
        let Some(namespace) = namespace.filter(|_| source.is_ipv4() == end.0.is_ipv4()) else { return seen };
        // Connections within the pod are nobody else's business.
        if source.ip().is_loopback() && !self.addresses.contains(&source.ip()) {
            return seen;
        }
        if !end.0.ip().is_unspecified() && !namespace.is_own(end.0.ip()) {
            return seen;
        }
        let answered = namespace.look(source, end, tuple.mss).unwrap_or_else(|error| {
            tracing::debug!(%error, "the kernel does not answer for a socket");
            (None, Listener::Unknown)
        });
        seen.socket = match answered.0 {
            None => self.closed.find(source, end, tuple.mss, now),
            // It may be of a connection before; one that was closed in the window is not.
            Some(rest) if rest.state == TCP_TIME_WAIT => {
                self.closed.find(source, end, None, now).or(Some(rest))
            }
            live => live,
        };
        // It may have been closed and forgotten.
        let lost = seen.socket.is_none() && self.closed.has_lost();
        seen.listener = if lost { Listener::Unknown } else { answered.1 };
        seen
    }
}

/// The end at this pod that is asked for. Unspecified, its address stands for any of the pod, and its port, 0, for
/// any: who dialled a service address does not know where it led.
#[derive(Clone, Copy, Debug)]
struct End(SocketAddr);

impl End {
    fn is_one(self) -> bool {
        !self.0.ip().is_unspecified() && self.0.port() > 0
    }

    fn is(self, local: SocketAddr) -> bool {
        let ip = self.0.ip().is_unspecified() || self.0.ip() == local.ip();
        ip && self.is_port(local.port()) && self.0.is_ipv4() == local.is_ipv4()
    }

    fn is_port(self, port: u16) -> bool {
        self.0.port() == 0 || self.0.port() == port
    }
}

/// A socket of ours as others are told of it. `quiet` is since anything was received on it.
fn told(held: &crate::socket::diag::Held, quiet: Duration, closed: bool) -> PeerSocket {
    PeerSocket {
        source: held.remote,
        state: held.state,
        closed,
        unread: held.received,
        retransmits: held.retransmits,
        quiet,
    }
}

#[cfg(test)]
mod tests;
