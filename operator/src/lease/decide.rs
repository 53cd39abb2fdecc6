//! Whether to lead, decided from what was seen of the Lease and when, without I/O and without a clock.
//!
//! The rule is client-go's: clocks of two machines are never compared. Whoever does not lead watches the record, and
//! takes the lease once the record has not changed for a whole lease by its own monotonic clock. A leader counts from
//! before it asked for the renewal that succeeded last, and gives up well before that: what it had begun to write has
//! ended by the time at which another may begin.

use std::time::Duration;

use peerwalk_controller::publish::WRITE_TIMEOUT;
use tokio::time::Instant;

use super::record::Record;

/// A record that has not changed for this long is nobody's.
pub const LEASE: Duration = Duration::from_secs(15);
/// From one renewal to the next.
pub const RENEW: Duration = Duration::from_secs(5);
/// A leader whose last renewal is as old as this leads no longer.
pub const GIVE_UP: Duration = Duration::from_secs(10);

/// What a leader began to write has ended before another leads.
const _: () = assert!(GIVE_UP.as_secs() + WRITE_TIMEOUT.as_secs() <= LEASE.as_secs());

/// The Lease as it was read last.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What it says.
    pub record: Record,
    /// Since when it says that, as far as was seen.
    pub since: Instant,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// We lead, and nothing is due before then.
    Hold {
        /// When the next renewal is due.
        until: Instant,
    },
    /// We lead, and have to say so again.
    Renew,
    /// Nobody leads, or it is we who are named: write our name.
    Take,
    /// Another leads, or may.
    Wait {
        /// When its record has been the same for a whole lease.
        until: Instant,
    },
    /// We led, and lead no longer.
    Lost,
}

/// What to do about the Lease as it was seen, `None` when there is none, for the replica `me`, which has led since it
/// asked for its last renewal at `renewed`.
pub fn decide(me: &str, observed: Option<&Observed>, renewed: Option<Instant>, now: Instant) -> Decision {
    let holder = observed.map(|observed| observed.record.holder.as_str());
    if let Some(renewed) = renewed {
        return match now.saturating_duration_since(renewed) {
            _ if holder != Some(me) => Decision::Lost,
            age if age >= GIVE_UP => Decision::Lost,
            age if age >= RENEW => Decision::Renew,
            _ => Decision::Hold { until: renewed + RENEW },
        };
    }
    let Some(observed) = observed.filter(|observed| !observed.record.holder.is_empty()) else {
        return Decision::Take;
    };
    let until = observed.since + observed.record.lasts;
    // What names us is of a moment ago, or of the process before this one in the same pod, which has ended.
    if observed.record.holder == me || now >= until { Decision::Take } else { Decision::Wait { until } }
}

/// Whether the one whose record this is may still lead. It has given up itself when not.
pub fn may_lead(observed: &Observed, now: Instant) -> bool {
    !observed.record.holder.is_empty() && now < observed.since + GIVE_UP
}

#[cfg(test)]
mod tests;
