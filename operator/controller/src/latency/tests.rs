//! Distributions stay small and true.

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn took(whole: u64) -> Took {
    Took { connect: ms(whole / 10), whole: ms(whole) }
}

fn of(values: impl IntoIterator<Item = u64>) -> Latency {
    let mut latency = Latency::new(1);
    for (number, value) in (1..).zip(values) {
        latency.add((7, number), took(value));
    }
    latency
}

fn near(found: Duration, expected: u64) -> bool {
    found.abs_diff(ms(expected)) <= ms(expected).mul_f64(ACCURACY) + ms(1)
}

#[test]
fn it_is_within_a_twentieth_and_never_grows() {
    // Everything that a walk may take, in no order.
    let values: Vec<u64> = (0..10_000).map(|n| 1 + (n * 7919) % 60_000).collect();
    let latency = of(values.iter().copied());
    let mut last = values[values.len() - latency.walks()..].to_vec();
    last.sort_unstable();
    let Quantiles { p50, p99 } = latency.whole.quantiles();
    let (half, most) = (last[last.len() / 2], last[last.len() * 99 / 100]);
    assert!(near(p50, half) && near(p99, most), "{p50:?} is not {half} ms, or {p99:?} not {most} ms");
    let Distribution { present, before } = &latency.whole;
    for sketch in [present, before] {
        assert!(sketch.length() <= BINS as usize, "{} bins", sketch.length());
        assert!(sketch.count() <= WALKS, "{} values", sketch.count());
    }
    let Quantiles { p50, p99 } = of([0, 3_600_000, 0, 3_600_000, 0]).whole.quantiles();
    assert!(p50 == Duration::ZERO && near(p99, 120_000), "values out of bounds are at them: {p50:?} {p99:?}");
}

#[test]
fn a_tail_shows_and_what_was_long_ago_does_not() {
    let slow_at_times = |walks: u64| of((0..walks).map(|n| if n % 50 == 0 { 2000 } else { 20 }));
    let Quantiles { p50, p99 } = slow_at_times(400).whole.quantiles();
    assert!(near(p50, 20) && near(p99, 2000), "one in fifty: {p50:?} {p99:?}");
    let forgotten = of((0..2000).map(|n| if n < 500 { 2000 } else { 20 }));
    assert!(near(forgotten.whole.quantiles().p99, 20), "{:?}", forgotten.whole);
}

#[test]
fn a_walk_counts_once_however_often_it_is_told() {
    let mut latency = Latency::new(1);
    for (walk, expected) in [((7, 1), 1), ((7, 1), 1), ((7, 2), 2), ((8, 1), 3), ((8, 1), 3), ((7, 1), 4)] {
        latency.add(walk, took(20));
        assert_eq!(latency.walks(), expected, "{walk:?}");
    }
}

#[test]
fn what_is_told_of_it_stands_until_it_has_moved() {
    let mut latency = of((0..100).map(|n| 1000 + n % 7));
    let told = latency.told();
    assert!(near(told.1.p99, 1006) && near(told.0.p99, 100), "{told:?}");
    for n in 0..50 {
        latency.add((9, n), took(1150));
        assert_eq!(latency.told(), told, "a tenth more is the same");
    }
    for n in 0..50 {
        latency.add((10, n), took(2500));
    }
    assert!(near(latency.told().1.p99, 2500), "{:?}", latency.told());
}

#[test]
fn pods_come_together() {
    let mut all = of((0..300).map(|_| 100)).whole;
    all.merge(&of((0..100).map(|_| 900)).whole);
    let Quantiles { p50, p99 } = all.quantiles();
    assert!(near(p50, 100) && near(p99, 900), "{p50:?} {p99:?}");
}
