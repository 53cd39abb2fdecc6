//! How many sockets are open, how many dials wait, and which sockets live longer than they may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a socket may live: longer than the longest walk that a check can ask for (its total timeout is a minute at
/// most), with all the waiting it may do and a diagnosis on top. One that is older is forgotten somewhere: a defect.
const LIFE: Duration = Duration::from_mins(2);

/// The sockets of one prober, shared by cloning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// When each open socket was opened.
    open: HashMap<u64, Instant>,
    next: u64,
    waiting: u32,
    /// Sockets that lived too long and are closed by now.
    late: u32,
}

impl Census {
    /// A socket is opened.
    pub(crate) fn open(&self) -> Held {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.next += 1;
        let number = counts.next;
        counts.open.insert(number, Instant::now());
        Held { census: self.clone(), number }
    }

    /// A dial begins to wait for its turn.
    pub(super) fn wait(&self) -> Waiting {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.waiting = counts.waiting.saturating_add(1);
        Waiting(self.clone())
    }

    /// Whether any socket is open.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).open.is_empty()
    }

    /// Sockets open, dials waiting, and sockets that have lived too long, those closed by now too.
    pub(crate) fn count(&self) -> (u32, u32, u32) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let late = counts.open.values().filter(|opened| is_late(**opened)).count();
        (small(counts.open.len()), counts.waiting, counts.late.saturating_add(small(late)))
    }
}

fn is_late(opened: Instant) -> bool {
    opened.elapsed() > LIFE
}

/// Kept for as long as a socket is open.
#[derive(Debug)]
pub(crate) struct Held {
    census: Census,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.census.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.open.remove(&self.number).is_some_and(is_late) {
            counts.late = counts.late.saturating_add(1);
        }
    }
}

/// Kept for as long as a dial waits.
#[derive(Debug)]
pub(super) struct Waiting(Census);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.waiting = counts.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sockets_are_counted_and_those_that_live_too_long_are_told() {
        let census = Census::default();
        let (first, second, waiting) = (census.open(), census.open(), census.wait());
        assert_eq!(census.count(), (2, 1, 0));
        drop((second, waiting));
        tokio::time::advance(LIFE).await;
        assert_eq!(census.count(), (1, 0, 0), "as old as it may be");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(census.count(), (1, 0, 1), "while it is open");
        drop(first);
        assert_eq!(census.count(), (0, 0, 1), "and when it is closed at last");
        drop(census.open());
        assert_eq!(census.count(), (0, 0, 1), "no other is");
    }
}
