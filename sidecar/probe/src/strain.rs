//! How the prober itself fares during a walk: the time for which it was kept from running, and what it is about to run
//! out of. Silence that falls into such a time may be its own.
//!
//! It ticks only while the prober has sockets open: a walk that waits for its budget wakes nobody. One that ends within
//! [`TICK`] costs one timer; files are read only where a walk lasts longer, and kept open.

mod gauges;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use peerwalk_model::Walk;
use peerwalk_model::evidence::Strain;
use tokio::time::{Instant, Sleep, sleep_until};

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
    /// When the next one is due, if any is.
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

    /// Makes the walk, and ticks meanwhile wherever an answer may be waited for. Each tick is looked at before the walk
    /// goes on, so that it learns how late it is.
    pub(crate) async fn over<T>(
        &self,
        mut walk: Pin<Box<impl Future<Output = T>>>,
        waits: impl Fn() -> bool,
    ) -> T {
        let mut tick = pin!(sleep_until(self.begun));
        poll_fn(|context| {
            self.look(tick.as_mut(), context);
            let walked = walk.as_mut().poll(context);
            if walked.is_pending() {
                self.set(tick.as_mut(), context, waits());
            }
            walked
        })
        .await
    }

    /// Whether the tick has come, and how late.
    fn look(&self, tick: Pin<&mut Sleep>, context: &mut Context<'_>) {
        let due = self.seen().due;
        if let Some(due) = due
            && tick.poll(context).is_ready()
        {
            self.woke(Instant::now().saturating_duration_since(due + ROUNDING));
        }
    }

    /// Sets the next tick where one is wanted and none is set, and none where none is.
    fn set(&self, mut tick: Pin<&mut Sleep>, context: &mut Context<'_>, wanted: bool) {
        let now = Instant::now();
        let mut seen = self.seen();
        match (wanted, seen.due) {
            (true, None) => {
                let due = now + TICK;
                seen.due = Some(due);
                tick.as_mut().reset(due);
                // Has the timer wake the walk. It is not over yet, as it has just been set.
                let _: Poll<()> = tick.poll(context);
            }
            (false, Some(_)) => {
                seen.late = seen.late(now);
                seen.due = None;
                tick.set(sleep_until(now));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn woke(&self, late: Duration) {
        let mut seen = self.seen();
        seen.first.get_or_insert_with(|| self.gauges.read());
        seen.late = seen.late.max(late);
        seen.due = None;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the prober was kept from running for so long by now that silence says nothing.
    pub(crate) fn is_starved(&self) -> bool {
        self.stalls().is_some()
    }

    /// What kept it from running, where that was too much.
    fn stalls(&self) -> Option<Strain> {
        let seen = *self.seen();
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
