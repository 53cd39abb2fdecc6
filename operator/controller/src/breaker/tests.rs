//! The breaker over tables of what pods show.

use super::*;

/// Seconds after the tests begin.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
}

/// A pod made and first seen at one moment, that has fared so since another.
fn pod(made: u64, fate: Fate, since: u64) -> PodSeen {
    PodSeen { made: at(made), first: at(made), fate, since: at(since) }
}

fn pods(count: usize, made: u64, fate: Fate) -> Vec<PodSeen> {
    vec![pod(made, fate, made + 5); count]
}

/// A breaker that three pods opened at 10 s, for the first time.
fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    let step = breaker.step(Scope::Namespace, &pods(3, 0, Fate::Held), at(10));
    assert_eq!(step, Some(Step::Opened(Duration::from_mins(1))));
    breaker
}

/// One that tries since 70 s.
fn trying() -> Breaker {
    let mut breaker = opened();
    assert_eq!(breaker.step(Scope::Namespace, &pods(3, 0, Fate::Held), at(70)), Some(Step::Tries));
    breaker
}

#[test]
fn few_pods_that_do_not_start_open_it_and_one_alone_after_a_minute() {
    let join = |parts: &[Vec<PodSeen>]| parts.concat();
    for (what, seen, now, expected) in [
        ("no pod", vec![], 10, false),
        ("pods that start", pods(9, 0, Fate::Started), 10, false),
        ("pods that wait for a node", pods(9, 0, Fate::Open), 900, false),
        ("two that are held", pods(2, 0, Fate::Held), 10, false),
        ("three", pods(3, 0, Fate::Held), 10, true),
        ("three of many", join(&[pods(3, 0, Fate::Held), pods(99, 1, Fate::Started)]), 10, true),
        ("one, a moment before a minute", pods(1, 0, Fate::Held), 64, false),
        ("one, for a minute", pods(1, 0, Fate::Held), 65, true),
        (
            "one beside one that was there",
            join(&[pods(1, 5, Fate::Held), pods(9, 0, Fate::Started)]),
            90,
            true,
        ),
        (
            "one, and a later one started",
            join(&[pods(1, 0, Fate::Held), pods(1, 1, Fate::Started)]),
            900,
            false,
        ),
        ("two that fall", pods(2, 0, Fate::Falls), 900, false),
        ("three that fall", pods(3, 0, Fate::Falls), 10, true),
        (
            "three that fall, as many run",
            join(&[pods(3, 0, Fate::Falls), pods(3, 0, Fate::Started)]),
            10,
            true,
        ),
        ("three that fall of many", join(&[pods(3, 0, Fate::Falls), pods(4, 0, Fate::Started)]), 10, false),
    ] {
        let step = Breaker::default().step(Scope::Namespace, &seen, at(now));
        assert_eq!(matches!(step, Some(Step::Opened(_))), expected, "{what}");
    }
}

#[test]
fn all_namespaces_rest_when_several_have_no_image_and_nothing_later_starts() {
    let held = pods(3, 10, Fate::Held);
    for (what, held_in, others, expected) in [
        ("one namespace alone", 1, vec![], false),
        ("two", 2, vec![], true),
        ("two, and older pods run", 2, pods(50, 0, Fate::Started), true),
        ("two, and a later one started elsewhere", 2, pods(1, 11, Fate::Started), false),
    ] {
        let seen = [held.clone(), others].concat();
        let step = Breaker::default().step(Scope::Cluster { held_in }, &seen, at(20));
        assert_eq!(step.is_some(), expected, "{what}");
    }
    let two = Breaker::default().step(Scope::Cluster { held_in: 2 }, &pods(2, 0, Fate::Held), at(900));
    assert_eq!(two, None, "two pods are too few");
}

#[test]
fn it_is_tried_again_after_the_wait_and_not_before() {
    let mut breaker = opened();
    let held = pods(3, 0, Fate::Held);
    for (now, step, tries) in [(11, None, false), (69, None, false), (70, Some(Step::Tries), true)] {
        assert_eq!(breaker.step(Scope::Namespace, &held, at(now)), step, "at {now} s");
        assert_eq!((breaker.paused(), breaker.tries()), (true, tries), "at {now} s");
    }
}

#[test]
fn a_trial_ends_by_what_the_pod_shows() {
    for (what, shown, expected) in [
        ("the old ones still wait", vec![], None),
        ("the new one is undecided", vec![pod(75, Fate::Open, 75)], None),
        ("the new one starts", vec![pod(75, Fate::Started, 85)], Some(Step::Closed { started: true })),
        (
            "an old one starts after all",
            vec![pod(1, Fate::Started, 80)],
            Some(Step::Closed { started: true }),
        ),
        ("one had started before the trial", vec![pod(1, Fate::Started, 60)], None),
        ("the new one is held", vec![pod(75, Fate::Held, 80)], Some(Step::Opened(Duration::from_mins(2)))),
        ("the new one falls", vec![pod(75, Fate::Falls, 80)], Some(Step::Opened(Duration::from_mins(2)))),
        ("one that was there fails only now", vec![pod(60, Fate::Held, 80)], None),
    ] {
        let seen = [pods(3, 0, Fate::Held), shown].concat();
        assert_eq!(trying().step(Scope::Namespace, &seen, at(90)), expected, "{what}");
    }
}

#[test]
fn a_trial_that_nobody_needs_any_more_ends() {
    for (what, left, now, expected) in [
        ("before the wait is over", vec![], 129, None),
        ("all that failed are gone", vec![], 130, Some(Step::Closed { started: false })),
        ("others run", pods(5, 0, Fate::Started), 130, Some(Step::Closed { started: false })),
        ("one is left", pods(1, 0, Fate::Held), 130, Some(Step::Tries)),
    ] {
        assert_eq!(trying().step(Scope::Namespace, &left, at(now)), expected, "{what}");
    }
}

#[test]
fn a_trial_that_shows_nothing_is_made_again() {
    let mut breaker = trying();
    let seen = [pods(3, 0, Fate::Held), pods(2, 80, Fate::Open)].concat();
    assert_eq!(breaker.step(Scope::Namespace, &seen, at(129)), None);
    assert_eq!(breaker.step(Scope::Namespace, &seen, at(130)), Some(Step::Tries), "as nothing came of it");
    let late = [pods(3, 0, Fate::Held), vec![pod(80, Fate::Held, 140)]].concat();
    let step = breaker.step(Scope::Namespace, &late, at(140));
    assert_eq!(step, Some(Step::Opened(Duration::from_mins(2))), "the first ones count all the same");
}

#[test]
fn the_wait_doubles_to_an_hour_and_begins_anew_after_an_hour_of_peace() {
    let mut breaker = Breaker::default();
    let mut now = 10;
    let mut seen = pods(3, 0, Fate::Held);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let step = breaker.step(Scope::Namespace, &seen, at(now));
        let Some(Step::Opened(wait)) = step else { panic!("{step:?} at {now} s") };
        waits.push(wait.as_secs() / 60);
        now += wait.as_secs();
        assert_eq!(breaker.step(Scope::Namespace, &seen, at(now)), Some(Step::Tries));
        seen.push(pod(now + 1, Fate::Held, now + 3));
        now += 5;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert!(matches!(breaker.step(Scope::Namespace, &seen, at(now)), Some(Step::Opened(_))));
    now += 3600;
    assert_eq!(breaker.step(Scope::Namespace, &seen, at(now)), Some(Step::Tries));
    seen.push(pod(now + 1, Fate::Started, now + 11));
    assert_eq!(breaker.step(Scope::Namespace, &seen, at(now + 11)), Some(Step::Closed { started: true }));
    assert_eq!(breaker.step(Scope::Namespace, &seen, at(now + 12)), None, "the old ones say nothing new");

    for (later, wait) in [(600, 60), (3600, 1)] {
        let mut breaker = breaker.clone();
        let again = [seen.clone(), pods(3, now + later, Fate::Held)].concat();
        let step = breaker.step(Scope::Namespace, &again, at(now + later + 20));
        assert_eq!(step, Some(Step::Opened(Duration::from_mins(wait))), "{later} s later");
    }
}

#[test]
fn nothing_is_remembered_of_what_rests() {
    assert!(Breaker::default().rests(at(0)));
    let mut breaker = trying();
    assert!(!breaker.rests(at(9000)), "it is paused");
    breaker.step(Scope::Namespace, &[pod(75, Fate::Started, 85)], at(90));
    assert_eq!([breaker.rests(at(100)), breaker.rests(at(90 + 3600))], [false, true]);
}
