//! What is read from the answers to a few hops, and what is not.

use peerwalk_model::TargetKey;
use peerwalk_model::evidence::{Connect, HopLimits, Trigger, Walk};

use super::*;
use crate::case::{Case, PairEvidence};
use crate::facts::{Facts, TargetFacts};
use crate::scenario::scene::{at, dials};

const REMOTE: &str = "10.244.1.8:80";

/// What a test asks of the trail to a silent address, with these answers of numbers of hops from one on: the last byte of
/// a router, 0 for nobody, 255 for the address itself.
fn asked<T>(answers: &[u8], own: Option<u8>, ask: impl Fn(&Trail) -> T) -> T {
    let key = TargetKey { check: "shop".into(), target: "db".into() };
    let mut walk = Walk::begin(key, 1, Trigger::Interval, at(100_000));
    let hop = |(ttl, answer): (u8, &u8)| Hop {
        remote: REMOTE.parse().unwrap(),
        ttl,
        from: (!matches!(answer, 0 | 255)).then(|| IpAddr::from([10, 90, 0, *answer])),
        reached: *answer == 255,
    };
    walk.connect = Some(Connect {
        dials: dials(&format!("endpoint {REMOTE} silent 8 again"), 100_000),
        hops: (1..).zip(answers).map(hop).collect(),
        hop_limits: HopLimits { v4: own, v6: None },
        ..Connect::default()
    });
    let (pair, facts) = (PairEvidence::first(walk), Facts::alone(TargetFacts::Url { allowed: true }));
    let case = Case {
        expect: peerwalk_model::verdict::Expectation::Reachable,
        wants_request: false,
        evidence: Some(&pair),
        decisions: &[],
        facts: &facts,
        now: at(102_000),
    };
    let view = View::new(&case, &pair);
    ask(&Trail::of(&view, &view.addresses[0]))
}

#[test]
fn a_circle_has_another_router_in_between() {
    let met =
        |answers: &[u8]| asked(answers, None, |trail| trail.circle().map(|(_, one, other)| (one, other)));
    for (answers, circle) in [
        (&[1, 2, 1, 2, 1][..], Some((1, 3))),
        (&[9, 1, 2, 1, 2], Some((2, 4))),
        (&[1, 2, 3, 1, 2], Some((1, 4))),
        (&[1, 1, 2, 2, 1], Some((1, 5))),
        (&[1, 2, 0, 1, 0], Some((1, 4))),
        (&[1, 0, 1, 0, 1], None),
        (&[1, 1, 1, 1, 1], None),
        (&[1, 2, 2, 3, 4], None),
        (&[1, 2, 3, 4, 5], None),
        (&[], None),
    ] {
        assert_eq!(met(answers), circle, "{answers:?}");
    }
}

#[test]
fn what_speaks_against_a_circle_is_told() {
    let doubted = |answers: &[u8]| asked(answers, None, |trail| trail.is_no_circle().is_some());
    for (answers, doubt) in [
        (&[1, 1, 1][..], true),
        (&[1, 0, 1, 1], true),
        (&[1, 255], true),
        (&[1, 1], true),
        (&[1, 0, 1], false),
        (&[1, 2, 3], false),
        (&[1, 0], false),
        (&[], false),
    ] {
        assert_eq!(doubted(answers), doubt, "{answers:?}");
    }
}

#[test]
fn silence_is_told_as_far_as_packets_get() {
    for (answers, own, told) in [
        (
            &[1, 0][..],
            None,
            "packets to 10.244.1.8:80 get as far as hop 1, 10.90.0.1, and nothing answers beyond it",
        ),
        (
            &[0, 2, 0],
            None,
            "packets to 10.244.1.8:80 get as far as hop 2, 10.90.0.2, and nothing answers beyond it",
        ),
        (
            &[1, 2, 3, 4, 5],
            Some(64),
            "packets to 10.244.1.8:80 get as far as hop 5, 10.90.0.5, if not further",
        ),
        (&[1, 255], Some(64), "a connection to 10.244.1.8:80 whose packets may go 2 hops was answered"),
        (&[], Some(1), "the source pod's own packets may go only 1 hop (net.ipv4.ip_default_ttl)"),
        (&[1, 2, 1], None, "packets to 10.244.1.8:80 come by 10.90.0.1 at hop 1, and again at hop 3"),
        (&[], Some(64), ""),
    ] {
        let lines = asked(answers, own, |trail| trail.told().join("; "));
        assert_eq!(lines, told, "{answers:?}");
    }
}
