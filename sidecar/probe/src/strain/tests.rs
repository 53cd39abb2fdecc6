//! What counts as strain.

use std::net::SocketAddr;

use peerwalk_model::evidence::{
    Connect, DialOutcome, DialPurpose, LocalTrouble, Resolve, ResolveSource, Trigger,
};
use peerwalk_model::{TargetKey, Timestamp};

use super::*;
use crate::connect::not_dialled;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn one_long_stall_or_many_short_ones_are_too_much() {
    for (throttled, run_delay, timer_delay, length, expected) in [
        (0, 0, 0, 1000, false),
        (0, 0, 99, 1000, false),
        (0, 0, 100, 1000, true),
        (49, 49, 0, 60, false),
        (50, 0, 0, 60, true),
        (90, 0, 0, 1100, false),
        (110, 0, 0, 1100, true),
        (0, 339, 0, 3400, false),
        (0, 340, 0, 3400, true),
    ] {
        let strain = Strain {
            throttled: ms(throttled),
            run_delay: ms(run_delay),
            timer_delay: ms(timer_delay),
            ..Strain::default()
        };
        assert_eq!(is_too_much(&strain, ms(length)), expected, "{strain:?} in {length} ms");
        assert!(!expected || strain.is_starved(), "judging sees it too: {strain:?}");
    }
}

fn walk(outcome: DialOutcome) -> Walk {
    let remote = SocketAddr::from(([10, 244, 1, 8], 80));
    let key = TargetKey { check: "shop".into(), target: "db".into() };
    let mut walk = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
    let dials = vec![not_dialled(DialPurpose::Address, remote, outcome)];
    walk.connect = Some(Connect { dials, ..Connect::default() });
    walk
}

#[tokio::test(start_paused = true)]
async fn only_what_was_waited_for_is_strained() {
    let gauges = Gauges::default();
    let watch = Watch::begin(&gauges);
    let silent = || walk(DialOutcome::Silent);
    assert_eq!(watch.onto(silent()).strain, None, "no tick was late");
    watch.woke(PIECE);
    assert!(watch.is_starved());
    let strain = watch.onto(silent()).strain.expect("a stall of a tenth of a second");
    assert_eq!(strain.timer_delay, PIECE);
    assert!(strain.is_starved() && strain.descriptors > 0, "{strain:?}");
    let reset = DialOutcome::Failed { errno: libc::ECONNREFUSED, immediate: false, queue: vec![] };
    for answered in [DialOutcome::Connected { local_peer: None }, reset] {
        assert_eq!(watch.onto(walk(answered.clone())).strain, None, "{answered:?} is true all the same");
    }
    let trouble = LocalTrouble { what: "file descriptors".into(), errno: libc::EMFILE };
    let void = Walk { local: Some(trouble), ..walk(DialOutcome::Skipped) };
    assert!(watch.onto(void).strain.is_some(), "a walk that had no socket says how it fared");
}

#[tokio::test(start_paused = true)]
async fn ticks_that_come_in_time_are_no_strain() {
    let gauges = Gauges::default();
    let watch = Watch::begin(&gauges);
    watch.over(Box::pin(tokio::time::sleep(ms(1200))), || true).await;
    let seen = *watch.seen();
    assert_eq!(seen.late, Duration::ZERO, "a clock that stands still is never late");
    assert!(seen.first.is_some(), "it ticked");
}

#[tokio::test(start_paused = true)]
async fn it_ticks_only_while_sockets_are_open() {
    use std::cell::Cell;

    let gauges = Gauges::default();
    let watch = Watch::begin(&gauges);
    let (open, woken) = (Cell::new(false), Cell::new(0));
    let begun = Instant::now();
    let waits = || {
        woken.set(woken.get() + 1);
        open.get()
    };
    let walking = async {
        tokio::time::sleep(ms(2000)).await;
        assert_eq!(woken.get(), 1, "nothing but the walk itself wakes it");
        open.set(true);
        tokio::time::sleep(ms(225)).await;
        assert_eq!(woken.get(), 1 + 1 + 4, "when it opened something, and at four ticks");
        open.set(false);
        tokio::time::sleep(ms(2000)).await;
        assert_eq!(woken.get(), 1 + 1 + 4 + 1, "when it closed that");
    };
    watch.over(Box::pin(walking), waits).await;
    assert_eq!((begun.elapsed(), watch.seen().late), (ms(4225), Duration::ZERO));
}

/// The walk is polled once more after it was kept from running, and ends before any timer has fired.
#[tokio::test(start_paused = true)]
async fn a_tick_that_has_not_come_yet_is_late_too() {
    for (stall, expected) in [(ms(150), false), (ms(151), true)] {
        let gauges = Gauges::default();
        let watch = Watch::begin(&gauges);
        let walking = std::pin::pin!(watch.over(Box::pin(std::future::pending::<()>()), || true));
        assert!(futures::poll!(walking).is_pending());
        // Nothing is polled.
        tokio::time::advance(stall).await;
        assert_eq!(watch.is_starved(), expected, "{stall:?} without a tick, of which 50 ms are none");
        let strain = watch.onto(walk(DialOutcome::Silent)).strain;
        assert_eq!(strain.map(|strain| strain.timer_delay), expected.then_some(ms(100)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_name_is_strained_though_it_was_resolved() {
    let gauges = Gauges::default();
    let watch = Watch::begin(&gauges);
    watch.woke(PIECE);
    for (spent, expected) in [(false, false), (true, true)] {
        let resolve = Resolve {
            name: "db.".into(),
            source: ResolveSource::Dns,
            answered: Some("db.".into()),
            addresses: vec!["10.0.0.7".parse().unwrap()],
            queries: vec![],
            elapsed: ms(3000),
            spent,
            pair: None,
        };
        let walk = Walk { resolve: Some(resolve), ..walk(DialOutcome::Skipped) };
        assert_eq!(watch.onto(walk).strain.is_some(), expected, "no time left: {spent}");
    }
}
