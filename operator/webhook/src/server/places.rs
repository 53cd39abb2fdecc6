//! Who may hold how much of the server: connections, and bytes of bodies in memory. One address gets an eighth of
//! all, so that a few strangers in the pod network leave enough to the API server.
//!
//! An API server keeps one connection open, or a few at a busy time. So an eighth is enough for several of them, also
//! where all of them come from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Connections at one time.
const CONNECTIONS: usize = 256;
/// Bytes of bodies in memory at one time.
const BODIES: usize = 32 * 1024 * 1024;
/// How many addresses it takes to hold everything.
pub(super) const SHARES: usize = 8;
/// For the first request of a connection, from the end of the TLS handshake on.
const FIRST_REQUEST: Duration = Duration::from_secs(5);
/// From one request to the next. API servers dial anew at their next pod.
const NEXT_REQUEST: Duration = Duration::from_mins(1);

/// All places of a server.
#[derive(Debug)]
pub(super) struct Places {
    connections: usize,
    bodies: usize,
    all: Arc<Share>,
    of_address: Mutex<HashMap<IpAddr, Weak<Share>>>,
}

/// What is left of all, or of what one address may hold.
#[derive(Debug)]
struct Share {
    connections: Arc<Semaphore>,
    bodies: Semaphore,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    requests: Notify,
    /// The address's own, and all.
    shares: [Arc<Share>; 2],
    _connections: [OwnedSemaphorePermit; 2],
}

impl Default for Places {
    fn default() -> Self {
        Self::new(CONNECTIONS, BODIES)
    }
}

impl Places {
    fn new(connections: usize, bodies: usize) -> Self {
        let all = Arc::new(Share::new(connections, bodies));
        Self { connections, bodies, all, of_address: Mutex::default() }
    }

    /// A place for a new connection, unless its address, or all of them together, have too many.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut of_address = self.of_address.lock().unwrap_or_else(PoisonError::into_inner);
        of_address.retain(|_, share| share.strong_count() > 0);
        let address = address.to_canonical();
        let own = of_address.get(&address).and_then(Weak::upgrade).unwrap_or_else(|| {
            let share = Arc::new(Share::new(self.connections / SHARES, self.bodies / SHARES));
            of_address.insert(address, Arc::downgrade(&share));
            share
        });
        let shares = [own, Arc::clone(&self.all)];
        let connection = |share: &Arc<Share>| Arc::clone(&share.connections).try_acquire_owned().ok();
        let [Some(own), Some(all)] = shares.each_ref().map(connection) else { return None };
        Some(Place { requests: Notify::new(), shares, _connections: [own, all] })
    }
}

impl Share {
    fn new(connections: usize, bodies: usize) -> Self {
        Self { connections: Arc::new(Semaphore::new(connections)), bodies: Semaphore::new(bodies) }
    }
}

impl Place {
    /// Room for a body, once there is some. An address that waits for its own holds nothing of the others'.
    pub(super) async fn room(&self, bytes: u32) -> [Option<SemaphorePermit<'_>>; 2] {
        let [own, all] = self.shares.each_ref();
        // An error would say that a semaphore was closed, and none is.
        let own = own.bodies.acquire_many(bytes).await.ok();
        [own, all.bodies.acquire_many(bytes).await.ok()]
    }

    /// Notes a request.
    pub(super) fn requested(&self) {
        self.requests.notify_one();
    }

    /// Returns once no request has come for too long: soon for the first, later from then on.
    pub(super) async fn idle(&self) {
        let mut patience = FIRST_REQUEST;
        while timeout(patience, self.requests.notified()).await.is_ok() {
            patience = NEXT_REQUEST;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_gets_an_eighth_of_all_connections() {
        let places = Places::new(2 * SHARES, 0);
        let first = places.take(ip("10.0.0.1")).expect("a place");
        let _second = places.take(ip("::ffff:10.0.0.1")).expect("a place");
        assert!(places.take(ip("10.0.0.1")).is_none(), "the address has two already, in whatever form");
        let _others: Vec<Place> = (2..=8)
            .flat_map(|n| [n, n].map(|n| places.take(IpAddr::from([10, 0, 0, n])).expect("a place")))
            .collect();
        assert!(places.take(ip("10.0.0.9")).is_none(), "all are taken");
        drop(first);
        let ninth = places.take(ip("10.0.0.9")).expect("a place that became free");
        assert!(places.take(ip("10.0.0.1")).is_none(), "all are taken again");
        drop(ninth);
        let _third = places.take(ip("10.0.0.1")).expect("the address has one, and one is free");
        let known = places.of_address.lock().expect("not poisoned").len();
        assert_eq!(known, 8, "an address without connections is forgotten");
    }

    #[test]
    fn who_waits_for_room_of_its_own_address_takes_none_of_the_others() {
        let places = Places::new(8 * SHARES, 10 * SHARES);
        let [first, second] = [(); 2].map(|()| places.take(ip("10.0.0.1")).expect("a place"));
        let held = first.room(10).now_or_never().expect("room at once");
        assert!(second.room(1).now_or_never().is_none(), "both are of one address");
        let all = &places.all.bodies;
        assert_eq!(all.available_permits(), 10 * (SHARES - 1), "only what is held counts for all");
        let other = places.take(ip("10.0.0.2")).expect("a place");
        assert!(other.room(10).now_or_never().is_some(), "another address has room of its own");
        drop(held);
        assert!(second.room(10).now_or_never().is_some(), "what was given back is there again");
    }
}
