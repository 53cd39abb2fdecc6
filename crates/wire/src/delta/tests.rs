//! Deltas against whole plans.

use std::time::Duration;

use peerwalk_model::plan::{DnsTarget, RecordType, Retries, TargetKind};
use proptest::prelude::*;

use super::*;

fn target(name: &str) -> PlannedTarget {
    PlannedTarget {
        kind: TargetKind::Dns(DnsTarget { name: name.to_owned(), record: RecordType::A }),
        http: None,
        connect_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(5),
        interval: Duration::from_secs(30),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: Vec::new(),
    }
}

fn plan(generation: u64, targets: &[(String, String)]) -> Plan {
    let entry = |(name, dns): &(String, String)| {
        (TargetKey { check: "check".to_owned(), target: name.clone() }, target(dns))
    };
    Plan { generation, targets: targets.iter().map(entry).collect() }
}

fn many(checks: usize, each: usize) -> Plan {
    let keys = (0..checks).flat_map(|c| {
        (0..each).map(move |t| TargetKey { check: format!("check-{c}"), target: format!("target-{t}") })
    });
    Plan { generation: 1, targets: keys.map(|key| (key, target("a.example"))).collect() }
}

proptest! {
    #[test]
    fn applying_the_difference_gives_the_new_plan(
        old in prop::collection::vec(("[a-f]", "[x-z]"), 0..6),
        new in prop::collection::vec(("[a-f]", "[x-z]"), 0..6),
        generation in 0_u64..3,
    ) {
        let (old, new) = (plan(generation, &old), plan(generation + 1, &new));
        prop_assert_eq!(PlanDelta::between(&old, &new).apply(&old), Ok(new.clone()), "by difference");
        prop_assert_eq!(PlanDelta::whole(&new).apply(&old), Ok(new), "as a whole");
    }
}

#[test]
fn only_what_changed_is_sent() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let old = plan(4, &[pair("same", "x"), pair("changed", "x"), pair("gone", "x")]);
    let new = plan(5, &[pair("same", "x"), pair("changed", "y"), pair("added", "x")]);
    let delta = PlanDelta::between(&old, &new);
    let names: Vec<_> = delta.upsert.keys().map(|key| key.target.as_str()).collect();
    assert_eq!(names, ["added", "changed"], "the unchanged target is not sent again");
    assert_eq!(delta.remove.len(), 1, "the target that is gone is named");
    assert_eq!((delta.base_generation, delta.generation), (4, 5));
}

#[test]
fn a_delta_for_another_plan_is_refused() {
    let delta = PlanDelta::between(&plan(4, &[]), &plan(5, &[]));
    assert_eq!(delta.apply(&plan(3, &[])), Err(DeltaError::OtherBase { base: 4, current: 3 }));
}

#[test]
fn the_sum_of_deltas_stays_within_the_limits() {
    let full = many(8, 64);
    assert_eq!(PlanDelta::whole(&full).apply(&Plan::default()), Ok(full.clone()), "512 targets are allowed");
    let mut one_more = PlanDelta { base_generation: 1, generation: 2, ..PlanDelta::default() };
    one_more
        .upsert
        .insert(TargetKey { check: "other".to_owned(), target: "a".to_owned() }, target("a.example"));
    assert_eq!(one_more.apply(&full), Err(DeltaError::TooManyTargets { count: 513, limit: 512 }));
    assert_eq!(
        PlanDelta::whole(&many(1, 65)).apply(&Plan::default()),
        Err(DeltaError::TooManyTargetsOfCheck { check: "check-0".to_owned(), count: 65, limit: 64 })
    );
}
