//! What is taken of transitions, one after the other.

use peerwalk_model::TargetKey;

use super::*;

fn pod() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "1".into() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn transition(seconds: i64, passed: bool) -> Transition {
    let target = TargetKey { check: "storefront".into(), target: "db".into() };
    Transition { target, at: at(seconds), passed, stage: Stage::Connect, signature: 1 }
}

/// Takes these moments and whether each passed, of a pod that is listened to since 100 s; 20 s are the least.
fn gaps(transitions: &[(i64, bool)]) -> Gaps {
    let mut gaps = Gaps::default();
    for (seconds, passed) in transitions {
        gaps.take(&pod(), !passed, &transition(*seconds, *passed), at(100), Duration::from_secs(20));
    }
    gaps
}

#[test]
fn an_outage_is_from_the_first_walk_that_failed_to_the_first_that_did_not() {
    /// What is told, and the outages in it.
    type Row = (&'static str, &'static [(i64, bool)], &'static [(i64, i64)]);
    let table: [Row; 7] = [
        ("over before anybody listened", &[(10, false), (50, true)], &[(10, 50)]),
        ("failing otherwise is the same outage", &[(10, false), (20, false), (50, true)], &[(10, 50)]),
        ("two", &[(10, false), (30, true), (60, false), (90, true)], &[(10, 30), (60, 90)]),
        ("over after somebody listened", &[(90, false), (130, true)], &[(90, 130)]),
        ("too short to count", &[(10, false), (29, true)], &[]),
        ("judged as it comes", &[(100, false), (150, true)], &[]),
        ("recovered only", &[(50, true)], &[]),
    ];
    for (case, transitions, expected) in table {
        let found: Vec<_> = gaps(transitions).over().map(|told| (told.start, told.end)).collect();
        let expected: Vec<_> = expected.iter().map(|(start, end)| (at(*start), at(*end))).collect();
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn what_is_told_again_is_taken_once() {
    let once = [(10, false), (50, true)];
    assert_eq!(gaps(&[once, once].concat()).over().count(), 1);
}

#[test]
fn what_lasts_and_what_is_over_is_known_of_a_target() {
    let gaps = gaps(&[(10, true), (60, false)]);
    assert_eq!((gaps.broken_since("db"), gaps.back_at("db")), (Some(at(60)), Some(at(10))));
    assert_eq!((gaps.broken_since("other"), gaps.back_at("other")), (None, None));
}

#[test]
fn whoever_makes_them_up_fills_nothing() {
    let many: Vec<_> = (0..1000).map(|n| (n - 100_000, n % 2 == 1)).collect();
    let mut gaps = Gaps::default();
    for (seconds, passed) in many {
        gaps.take(&pod(), !passed, &transition(seconds, passed), at(100), Duration::ZERO);
    }
    assert_eq!(gaps.over().count(), REMEMBERED);
    gaps.retain(&BTreeSet::new(), &BTreeSet::new());
    assert!(gaps.over.is_empty() && gaps.pairs.is_empty(), "and the check may lose its targets");
}
