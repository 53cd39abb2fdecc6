//! A bucket that fills with time: what one sidecar may send.

use std::time::Duration;

use crate::config::Rate;

/// Counts messages and bytes against a [`Rate`].
#[derive(Debug)]
pub(crate) struct Bucket {
    messages: Level,
    bytes: Level,
}

#[derive(Debug)]
struct Level {
    burst: u64,
    per_second: u64,
    /// Thousandths, so that short waits count.
    left: u64,
    at: Duration,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Duration) -> Self {
        Self {
            messages: Level::new(rate.burst_messages, rate.messages_per_second, now),
            bytes: Level::new(rate.burst_bytes, rate.bytes_per_second, now),
        }
    }

    /// Whether one message of that many bytes may pass; it is taken from what is left.
    pub(crate) fn take(&mut self, bytes: usize, now: Duration) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.messages.take(1, now) && self.bytes.take(bytes, now)
    }
}

impl Level {
    fn new(burst: u32, per_second: u32, now: Duration) -> Self {
        let burst = u64::from(burst) * 1000;
        Self { burst, per_second: u64::from(per_second), left: burst, at: now }
    }

    fn take(&mut self, count: u64, now: Duration) -> bool {
        let waited = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_add(waited.saturating_mul(self.per_second)).min(self.burst);
        self.at += Duration::from_millis(waited);
        let wanted = count.saturating_mul(1000);
        if wanted > self.left {
            return false;
        }
        self.left -= wanted;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate =
        Rate { burst_messages: 3, messages_per_second: 2, burst_bytes: 100, bytes_per_second: 10 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::new(RATE, ms(0));
        let passed: Vec<bool> = (0..4).map(|_| bucket.take(1, ms(0))).collect();
        assert_eq!(passed, [true, true, true, false], "three at once");
        assert!(!bucket.take(1, ms(499)), "half a second is needed for one more");
        assert!(bucket.take(1, ms(500)), "after half a second one more passes");
        assert!(!bucket.take(1, ms(500)), "and only one");
    }

    #[test]
    fn bytes_are_counted_too() {
        let mut bucket = Bucket::new(RATE, ms(0));
        assert!(bucket.take(100, ms(0)), "the whole burst at once");
        assert!(!bucket.take(1, ms(50)), "nothing is left");
        assert!(bucket.take(10, ms(1050)), "ten a second flow in");
    }

    #[test]
    fn many_short_waits_fill_as_much_as_one_long() {
        let mut bucket = Bucket::new(Rate { burst_bytes: u32::MAX, ..RATE }, ms(0));
        let passed = (0..10_000).filter(|at| bucket.take(0, ms(*at))).count();
        assert_eq!(passed, 3 + 19, "the burst, and two for each of ten seconds");
    }

    #[test]
    fn a_full_bucket_holds_no_more_than_the_burst() {
        let mut bucket = Bucket::new(RATE, ms(0));
        let passed = (0..10).filter(|_| bucket.take(0, Duration::from_secs(1_000_000))).count();
        assert_eq!(passed, 3);
    }
}
