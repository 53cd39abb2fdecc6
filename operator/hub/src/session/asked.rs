//! What the sidecar was asked about dials to its pod. It answers what it was asked, or it is not heard: nobody shall
//! be led to believe something of a dial that nobody made.

use std::time::Duration;

use peerwalk_model::peer::{Saw, Tuple};

/// Questions that are open at the same time.
const OPEN: usize = 32;
/// When a question is closed without an answer. A sidecar answers at once, or not at all.
const CLOSED_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Asked(Vec<Question>);

#[derive(Debug)]
struct Question {
    id: u64,
    tuples: Vec<Tuple>,
    at: Duration,
}

impl Asked {
    /// Whether it may be asked. The same number again takes the place of the question before.
    pub(super) fn ask(&mut self, id: u64, tuples: &[Tuple], now: Duration) -> bool {
        self.0.retain(|open| open.id != id && now < open.at + CLOSED_AFTER);
        let room = self.0.len() < OPEN;
        if room {
            self.0.push(Question { id, tuples: tuples.to_vec(), at: now });
        }
        room
    }

    /// Whether it answers an open question: its number, its dials, in its order. It is closed then, whatever came.
    pub(super) fn answers(&mut self, id: u64, saw: &Saw, now: Duration) -> bool {
        let Some(place) = self.0.iter().position(|open| open.id == id) else { return false };
        let Question { tuples, at, .. } = self.0.swap_remove(place);
        now < at + CLOSED_AFTER && tuples.iter().eq(saw.seen.iter().map(|seen| &seen.tuple))
    }
}
