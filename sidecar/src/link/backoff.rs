//! How long to wait before attaching again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Redirects in a row before they count as failures: replicas may disagree for a moment about who leads.
const REDIRECTS: u32 = 3;
/// Within this we are back at a hub that goes away: another one is there already, or is about to be.
const DRAINED: Duration = Duration::from_millis(500);
/// A hub that is not ready is asked again ever more rarely, up to this: a new leader is there within less than what a
/// sidecar has to come back in.
const LONGEST_NOT_READY: Duration = Duration::from_secs(5);
/// No hub may keep a sidecar away for longer than this.
const LONGEST_ASKED_FOR: Duration = Duration::from_mins(5);

/// Waits that double, with jitter.
pub(super) struct Backoff {
    part_of: fn(Duration) -> Duration,
    next: Duration,
    redirects: u32,
    /// The least wait for a hub that is still not ready.
    not_ready: Duration,
}

impl Backoff {
    pub(super) fn new(part_of: fn(Duration) -> Duration) -> Self {
        Self { part_of, next: SHORTEST, redirects: 0, not_ready: Duration::ZERO }
    }

    /// It worked; the next failure begins anew.
    pub(super) fn reset(&mut self) {
        (self.next, self.redirects, self.not_ready) = (SHORTEST, 0, Duration::ZERO);
    }

    /// The wait after a failure: the step, of which a half is random.
    pub(super) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        self.redirects = 0;
        step / 2 + (self.part_of)(step / 2)
    }

    /// The wait the hub asked for, and up to a quarter and a second more, so that not all come at once.
    pub(super) fn at_least(&mut self, delay: Duration) -> Duration {
        self.reset();
        let delay = delay.min(LONGEST_ASKED_FOR);
        delay + (self.part_of)(delay / 4 + SHORTEST)
    }

    /// The wait for a hub that is not ready: what it asked for, and twice the last one while it says so again.
    pub(super) fn not_ready(&mut self, delay: Duration) -> Duration {
        let delay = delay.max(self.not_ready);
        let wait = self.at_least(delay);
        self.not_ready = (delay.min(LONGEST_NOT_READY) * 2).min(LONGEST_NOT_READY);
        wait
    }

    /// The wait when the hub goes away: a short one, of which a half is random.
    pub(super) fn drained(&mut self) -> Duration {
        self.reset();
        DRAINED / 2 + (self.part_of)(DRAINED / 2)
    }

    /// Whether to follow a redirect at once. Somebody is known to be ready.
    pub(super) fn may_redirect(&mut self) -> bool {
        self.not_ready = Duration::ZERO;
        self.redirects += 1;
        self.redirects <= REDIRECTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(part_of: fn(Duration) -> Duration) -> Vec<u128> {
        let mut backoff = Backoff::new(part_of);
        (0..7).map(|_| backoff.next().as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_half_a_minute() {
        assert_eq!(waits(|whole| whole), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(
            waits(|_| Duration::ZERO),
            [500, 1000, 2000, 4000, 8000, 15_000, 15_000],
            "jitter takes a half"
        );
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::new(|whole| whole);
        for _ in 0..5 {
            backoff.next();
        }
        backoff.reset();
        assert_eq!(backoff.next(), SHORTEST);
    }

    #[test]
    fn the_hub_is_obeyed_within_bounds() {
        let mut backoff = Backoff::new(|whole| whole);
        assert_eq!(backoff.at_least(Duration::from_secs(4)), Duration::from_secs(6));
        assert!(backoff.at_least(Duration::MAX) < Duration::from_mins(7), "no hub sends us away for ever");
        let mut backoff = Backoff::new(|_| Duration::ZERO);
        assert_eq!(backoff.at_least(Duration::from_secs(4)), Duration::from_secs(4), "and not sooner");
    }

    #[test]
    fn a_hub_that_is_not_ready_is_asked_ever_more_rarely() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(|_| Duration::ZERO);
        let waits =
            |backoff: &mut Backoff| (0..6).map(|_| backoff.not_ready(second).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits(&mut backoff), [1, 2, 4, 5, 5, 5]);
        backoff.next();
        assert_eq!(backoff.not_ready(second).as_secs(), 5, "whatever else fails meanwhile");
        backoff.may_redirect();
        assert_eq!(backoff.not_ready(second), second, "one who sends us on knew of another");
        backoff.not_ready(second);
        backoff.reset();
        assert_eq!(waits(&mut backoff)[..2], [1, 2], "it was ready meanwhile");
        assert_eq!(
            backoff.not_ready(Duration::from_mins(1)),
            Duration::from_mins(1),
            "never sooner than asked for"
        );
    }

    #[test]
    fn a_hub_that_goes_away_is_left_for_half_a_second_at_most() {
        assert_eq!(Backoff::new(|whole| whole).drained(), DRAINED);
        let mut backoff = Backoff::new(|_| Duration::ZERO);
        backoff.next();
        assert_eq!(backoff.drained(), DRAINED / 2, "and a part of it, should it say so all the time");
        assert_eq!(backoff.next(), SHORTEST / 2, "the next failure begins anew");
    }

    #[test]
    fn redirects_in_a_row_are_bounded() {
        let mut backoff = Backoff::new(|whole| whole);
        let followed: Vec<bool> = (0..4).map(|_| backoff.may_redirect()).collect();
        assert_eq!(followed, [true, true, true, false]);
        backoff.next();
        assert!(backoff.may_redirect(), "after a wait they are followed again");
    }
}
