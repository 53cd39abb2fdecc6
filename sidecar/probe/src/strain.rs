//! How the prober itself fares during a walk: the time for which it was kept from running, and what it is about to run
//! out of. Silence that falls into such a time may be its own.
//!
//! A walk that ends within [`TICK`] costs one timer; files are read only where a walk lasts longer, and kept open.

mod gauges;

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::Walk;
use peerwalk_model::evidence::Strain;
use tokio::time::{Instant, sleep_until};

pub(crate) use gauges::Gauges;
use gauges::Reading;

/// Between two looks at how late a timer is.
const TICK: Duration = Duration::from_millis(50);
/// A stall in one piece that voids what was waited for: a period of the kernel's CPU controller. One throttling takes
/// away less, and the sockets of a diagnosis have six times as much between their beginning and its end.
const PIECE: Duration = Duration::from_millis(100);
/// The part of a walk that many short stalls may take together. A busy node makes everybody wait now and then.
const PART: u32 = 10;
/// Timers are rounded up to whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

/// The strain of one walk.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    gauges: &'a Gauges,
    begun: Instant,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// What the kernel had counted at the first tick.
    first: Option<Reading>,
    /// The longest time by which a tick was late.
    late: Duration,
    /// When the next one is due.
    due: Option<Instant>,
}

impl Seen {
    /// The same, with the tick that is due and has not come yet: a walk that was kept from running ends before it does.
    fn late(&self, now: Instant) -> Duration {
        let waits = self.due.map(|due| now.saturating_duration_since(due + ROUNDING));
        self.late.max(waits.unwrap_or_default())
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn begin(gauges: &'a Gauges) -> Self {
        Self { gauges, begun: Instant::now(), seen: Mutex::default() }
    }

    /// Ticks until it is dropped. It must be polled before the walk is, so that the walk learns how late it is.
    pub(crate) async fn tick(&self) -> Infallible {
        loop {
            let due = Instant::now() + TICK;
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).due = Some(due);
            sleep_until(due).await;
            self.woke(Instant::now().saturating_duration_since(due + ROUNDING));
        }
    }

    fn woke(&self, late: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first.get_or_insert_with(|| self.gauges.read());
        seen.late = seen.late.max(late);
    }

    /// Whether the prober was kept from running for so long by now that silence says nothing.
    pub(crate) fn is_starved(&self) -> bool {
        self.stalls().is_some()
    }

    /// What kept it from running, where that was too much.
    fn stalls(&self) -> Option<Strain> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let late = seen.late(Instant::now());
        if seen.first.is_none() && late < PIECE {
            return None;
        }
        let last = self.gauges.read();
        let first = seen.first.unwrap_or(last);
        let strain = Strain {
            throttled: last.throttled.saturating_sub(first.throttled),
            run_delay: last.run_delay.saturating_sub(first.run_delay),
            timer_delay: late,
            ..Strain::default()
        };
        is_too_much(&strain, self.begun.elapsed()).then_some(strain)
    }

    /// The walk with its strain, where anything of it depends on time or could not be opened.
    pub(crate) fn onto(&self, mut walk: Walk) -> Walk {
        if walk.local.is_none() && !walk.waited_in_vain() {
            return walk;
        }
        let stalls = self.stalls();
        let starved = stalls.is_some();
        let strain = gauges::used(stalls);
        walk.strain = (starved || strain.shortage().is_some()).then_some(strain);
        walk
    }
}

/// Whether such stalls void what was waited for in a walk of this length.
fn is_too_much(strain: &Strain, length: Duration) -> bool {
    let together = strain.throttled.max(strain.run_delay);
    strain.timer_delay >= PIECE || together >= Strain::STALL.max(length / PART)
}

#[cfg(test)]
mod tests;
