//! Where a change falls, seen from an observation.

use std::sync::Arc;

use crate::scene::{Policies, decision};

use super::*;

const GRACE: Duration = Duration::from_secs(5);

fn age(changes: &[(i64, bool)], young: bool) -> Age {
    let history = changes
        .iter()
        .map(|(at, denies)| {
            let policies = if *denies { Policies::DenyIngress } else { Policies::None };
            (Timestamp::from_millis(*at), Arc::new(decision(policies)))
        })
        .collect();
    let known = EndpointDecision { endpoint: "10.244.1.8:5432".parse().unwrap(), history };
    Stance::new(&known, Timestamp::from_millis(100_000), GRACE, young).unwrap().age
}

#[test]
fn a_change_is_placed_against_the_start_of_the_observation() {
    for (changes, expected) in [
        (&[(0, false), (95_000, true)][..], Age::Settled),
        (&[(0, false), (95_001, true)], Age::Recent),
        (&[(0, false), (100_000, true)], Age::Recent),
        (&[(0, false), (100_001, true)], Age::During),
        (&[(95_000, true)], Age::Settled),
        (&[(99_000, true)], Age::FirstSeen { in_force: true }),
        (&[(101_000, true)], Age::FirstSeen { in_force: false }),
        // A new entry that decides the same is no change.
        (&[(0, false), (50_000, true), (99_000, true)], Age::Settled),
    ] {
        assert_eq!(age(changes, false), expected, "{changes:?}");
    }
}

#[test]
fn the_first_evaluation_of_a_young_pod_is_a_change() {
    assert_eq!(age(&[(99_000, true)], true), Age::Recent);
    assert_eq!(age(&[(101_000, true)], true), Age::During);
}

#[test]
fn without_a_decision_there_is_no_stance() {
    let known = EndpointDecision { endpoint: "10.244.1.8:5432".parse().unwrap(), history: Vec::new() };
    assert!(Stance::new(&known, Timestamp::from_millis(0), GRACE, false).is_none());
}
