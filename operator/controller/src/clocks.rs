//! Whether the wall clock was set. All moments of the engine are of that clock, since pods and statuses have theirs of
//! it; a step of it would make evidence old, or keep it young, without any time having passed.

use std::time::Duration;

use peerwalk_model::Timestamp;
use tokio::time::Instant;

/// A difference below this is a clock that is steered, or a machine that is busy between two readings.
const STEP: Duration = Duration::from_secs(5);

/// Both clocks, at the last turn of the loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Instant,
}

impl Clocks {
    /// Takes the clocks of now; gives whether the wall clock went another way meanwhile than time did, in either
    /// direction. So it does, too, when the machine slept.
    pub(crate) fn were_set(&mut self, wall: Timestamp, monotonic: Instant) -> bool {
        let expected = self.wall.plus(monotonic.saturating_duration_since(self.monotonic));
        *self = Self { wall, monotonic };
        wall.since(expected).max(expected.since(wall)) > STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_leaves_the_other_was_set() {
        let (wall, monotonic) = (Timestamp::from_millis(1_800_000_000_000), Instant::now());
        let hour = Duration::from_hours(1);
        for (passed, shown, set) in [
            (Duration::from_secs(1), wall.plus(Duration::from_secs(1)), false),
            (Duration::from_secs(1), wall.plus(Duration::from_secs(5)), false),
            (hour, wall.plus(hour), false),
            (Duration::from_secs(1), wall.plus(hour), true),
            (Duration::from_secs(1), wall.minus(hour), true),
            (hour, wall, true),
        ] {
            let mut clocks = Clocks { wall, monotonic };
            let now = monotonic + passed;
            assert_eq!(clocks.were_set(shown, now), set, "{shown:?} after {passed:?}");
            assert!(!clocks.were_set(shown, now), "it is told once");
        }
    }
}
