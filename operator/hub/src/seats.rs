//! Places for connections: many for streams of pods that are known, few for whoever has not proved yet who
//! it is, and few of these for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::metrics::ConnectionFailure;

/// All places of a hub.
#[derive(Debug)]
pub(crate) struct Seats {
    streams: usize,
    arriving: usize,
    arriving_of_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    streams: usize,
    arriving: usize,
    of_address: HashMap<IpAddr, usize>,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
    attached: Mutex<bool>,
}

impl Seats {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            streams: config.max_streams,
            arriving: config.max_arriving,
            arriving_of_address: config.max_arriving_of_address,
            taken: Mutex::default(),
        }
    }

    /// A place for a new connection, or why there is none.
    pub(crate) fn arrive(self: &Arc<Self>, address: IpAddr) -> Result<Arc<Seat>, ConnectionFailure> {
        let address = address.to_canonical();
        let mut taken = lock(&self.taken);
        if taken.arriving >= self.arriving {
            return Err(ConnectionFailure::Full);
        }
        let of_address = taken.of_address.entry(address).or_default();
        if *of_address >= self.arriving_of_address {
            return Err(ConnectionFailure::Address);
        }
        *of_address += 1;
        taken.arriving += 1;
        Ok(Arc::new(Seat { seats: Arc::clone(self), address, attached: Mutex::new(false) }))
    }
}

impl Taken {
    fn leave_arrivals(&mut self, address: IpAddr) {
        self.arriving = self.arriving.saturating_sub(1);
        if let Some(count) = self.of_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

impl Seat {
    /// Moves the connection to a place among the streams. False when none is free.
    ///
    /// It no longer counts for its address: there is one stream for each pod, and the pods of a whole node
    /// may come from one address, where the node hides theirs.
    pub(crate) fn attach(&self) -> bool {
        let mut attached = lock(&self.attached);
        let mut taken = lock(&self.seats.taken);
        if *attached {
            return true;
        }
        if taken.streams >= self.seats.streams {
            return false;
        }
        taken.streams += 1;
        taken.leave_arrivals(self.address);
        *attached = true;
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let attached = *lock(&self.attached);
        let mut taken = lock(&self.seats.taken);
        if attached {
            taken.streams = taken.streams.saturating_sub(1);
        } else {
            taken.leave_arrivals(self.address);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use peerwalk_model::Timestamp;

    use super::*;

    fn seats() -> Arc<Seats> {
        let production = Config::new(|| Timestamp::from_millis(0));
        let config = Config { max_streams: 2, max_arriving: 3, max_arriving_of_address: 2, ..production };
        Arc::new(Seats::new(&config))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_has_few_places_and_leaves_some_to_others() {
        let seats = seats();
        let _first = seats.arrive(ip("10.0.0.1")).expect("a place");
        let second = seats.arrive(ip("::ffff:10.0.0.1")).expect("a place");
        assert_eq!(seats.arrive(ip("10.0.0.1")).err(), Some(ConnectionFailure::Address));
        let _other = seats.arrive(ip("10.0.0.2")).expect("another address has places of its own");
        assert_eq!(seats.arrive(ip("10.0.0.3")).err(), Some(ConnectionFailure::Full));
        drop(second);
        let _third = seats.arrive(ip("10.0.0.1")).expect("a place that became free");
    }

    #[test]
    fn who_attaches_makes_room_for_whoever_arrives() {
        let seats = seats();
        let streams = [(); 2].map(|()| {
            let seat = seats.arrive(ip("10.0.0.1")).expect("a place");
            assert!(seat.attach() && seat.attach(), "attached, and it stays so");
            seat
        });
        let late = seats.arrive(ip("10.0.0.1")).expect("both left the arrivals");
        assert!(!late.attach(), "there is room for two streams");
        drop(streams);
        assert!(late.attach(), "when they have ended there is room again");
        drop(late);
        let taken = lock(&seats.taken);
        assert_eq!(
            (taken.streams, taken.arriving, taken.of_address.len()),
            (0, 0, 0),
            "nothing is left over"
        );
    }
}
