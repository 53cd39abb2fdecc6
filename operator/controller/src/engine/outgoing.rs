//! The status of one check on its way to the API server, and when the next may be sent after it.
//!
//! Each write names the version of the object that was judged, so the API server stores at most one for a
//! version. The watch then brings the next version, and what is not stored by then is judged again.

use std::time::Duration;

use peerwalk_api::ConnectivityCheckStatus;
use peerwalk_model::Timestamp;

use crate::metrics::WriteResult;
use crate::publish::StatusWrite;

/// A write of which nothing was heard after this is sent again. After a refusal it is the first wait; the
/// wait doubles with each further one.
const WRITE_AGAIN: Duration = Duration::from_secs(15);
/// A write that the API server could not take at that moment is sent again after this, however often: a check
/// is untrue for as long.
const FAILED_AGAIN: Duration = Duration::from_secs(10);
/// How often the wait doubles, at most: up to four minutes.
const DOUBLINGS: u32 = 4;

/// What was last put into the outbox.
#[derive(Debug, Default)]
pub struct Outgoing {
    last: Option<Last>,
    refusals: u32,
}

#[derive(Debug)]
struct Last {
    write: StatusWrite,
    /// When it was put, or refused.
    at: Timestamp,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Not known.
    Open,
    /// The API server has it.
    Stored,
    /// The API server has a newer object than the one that was judged.
    Conflict,
    /// The API server does not take it.
    Refused,
    /// The API server could not take it, or nobody knows whether it did.
    Failed,
}

impl Outgoing {
    /// The status that the object of this version has, or is about to have.
    pub fn pending(&self, resource_version: &str) -> Option<&ConnectivityCheckStatus> {
        let last = self.last.as_ref()?;
        let comes = matches!(last.fate, Fate::Open | Fate::Stored);
        (comes && last.write.resource_version == resource_version).then_some(&last.write.status)
    }

    /// Takes a write, if it is to be put into the outbox now.
    pub fn take(&mut self, write: &StatusWrite, now: Timestamp) -> bool {
        let due = self.last.as_ref().is_none_or(|last| self.due(last, write, now));
        if due {
            self.last = Some(Last { write: write.clone(), at: now, fate: Fate::Open });
        }
        due
    }

    fn due(&self, last: &Last, write: &StatusWrite, now: Timestamp) -> bool {
        let other_version = last.write.resource_version != write.resource_version;
        let other = last.write.status != write.status;
        let waited = now.since(last.at);
        match last.fate {
            Fate::Open => other_version || other || waited >= WRITE_AGAIN,
            // The next version is about to come by the watch, unless the API server saw no difference.
            Fate::Stored => other_version || (other && waited >= WRITE_AGAIN),
            Fate::Conflict => other_version || waited >= WRITE_AGAIN,
            Fate::Failed => other_version || waited >= FAILED_AGAIN,
            // Whoever changed the object may have repaired it.
            Fate::Refused => {
                let wait = WRITE_AGAIN * 2_u32.pow(self.refusals.saturating_sub(1).min(DOUBLINGS));
                other_version || waited >= wait
            }
        }
    }

    /// A write ended.
    pub fn ended(&mut self, write: &StatusWrite, result: WriteResult, now: Timestamp) {
        let fate = match result {
            WriteResult::Stored => Fate::Stored,
            WriteResult::Conflict => Fate::Conflict,
            WriteResult::Gone | WriteResult::Refused => Fate::Refused,
            WriteResult::Timeout | WriteResult::Failed | WriteResult::Fenced => Fate::Failed,
        };
        // One that was overtaken by another says nothing of the other.
        let Some(last) = self.last.as_mut().filter(|last| last.write == *write) else { return };
        (last.at, last.fate) = (now, fate);
        self.refusals = match fate {
            Fate::Stored => 0,
            Fate::Refused => self.refusals.saturating_add(1),
            Fate::Open | Fate::Conflict | Fate::Failed => self.refusals,
        };
    }

    /// Whether a write has to be sent again: time alone brings that.
    pub fn waits(&self) -> bool {
        self.last.as_ref().is_some_and(|last| matches!(last.fate, Fate::Refused | Fate::Failed))
    }

    /// The API server has what is to be said. The wait after a refusal stands, unless it was none: a write
    /// whose answer came too late may be stored all the same.
    pub fn nothing_to_say(&mut self, stored: &ConnectivityCheckStatus) {
        self.last.take_if(|last| {
            !matches!(last.fate, Fate::Refused | Fate::Failed) || last.write.status == *stored
        });
    }
}

#[cfg(test)]
mod tests;
