//! Moments that never go backwards: the wall clock at the first use, and a monotonic clock from there.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peerwalk_model::Timestamp;

/// The present. Every moment in the evidence is from this clock; compare them with nothing else.
pub fn now() -> Timestamp {
    static ANCHOR: OnceLock<(Duration, Instant)> = OnceLock::new();
    let (epoch, begun) = ANCHOR
        .get_or_init(|| (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now()));
    let millis = (*epoch + begun.elapsed()).as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
