//! Times, as people read them.

use jiff::Timestamp;

/// How long ago something was, in the unit that tells most: `45s`, `12m`, `3h20m`, `4d`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let with = |rest: i64, unit: &str| if rest == 0 { String::new() } else { format!("{rest}{unit}") };
    match (minutes, hours, days) {
        (0..2, ..) => format!("{seconds}s"),
        (2..10, ..) => format!("{minutes}m{}", with(seconds % 60, "s")),
        (_, 0..2, _) => format!("{minutes}m"),
        (_, 2..10, _) => format!("{hours}h{}", with(minutes % 60, "m")),
        (_, 10..48, _) => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// A moment to the second, in UTC: what logs and `kubectl` have.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{age, moment};

    #[test]
    fn ages_have_the_unit_that_tells_most() {
        let now: Timestamp = "2026-11-23T01:12:05Z".parse().unwrap();
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (7199, "119m"),
            (7200, "2h"),
            (12_000, "3h20m"),
            (36_000, "10h"),
            (172_799, "47h"),
            (172_800, "2d"),
            // The operator's clock may be ahead.
            (-5, "0s"),
        ] {
            assert_eq!(age(now - SignedDuration::from_secs(seconds), now), expected, "{seconds} s ago");
        }
        assert_eq!(moment(now), "2026-11-23T01:12:05Z");
    }
}
