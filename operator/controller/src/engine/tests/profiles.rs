//! Limits of time change while sidecars run.

use std::time::Duration;

use super::world::acts::{ready, refused};
use super::*;

/// The limits of one connection and of one walk, in seconds, as the pod has them.
fn limits(plan: &Plan) -> Vec<(u64, u64)> {
    let limits = plan.targets.values().map(|target| (target.connect_timeout, target.total_timeout));
    limits.map(|(connect, total): (Duration, Duration)| (connect.as_secs(), total.as_secs())).collect()
}

#[test]
fn a_changed_profile_reaches_the_running_sidecar() {
    let mut world = World::good();
    for (fields, expected) in [
        (json!({"profile": "CrossRegion"}), (5, 10)),
        (json!({"profile": "Batch"}), (10, 30)),
        (json!({"profile": "Batch", "timeouts": {"total": "12s"}}), (10, 12)),
        (json!({"profile": "Lan", "timeouts": {"connect": "1s"}}), (1, 3)),
        (json!({}), (2, 3)),
    ] {
        world.check(&fields);
        let outputs = world.settle();
        let plan = world::plan_of(&outputs, "web-1").expect("a new plan");
        assert_eq!(limits(&plan), [expected], "{fields}");
        assert!(outputs.iter().any(|o| matches!(o, Output::WalkNow(..))), "and a walk under it: {fields}");
        assert!(
            !outputs.iter().any(|o| matches!(o, Output::RemovePod(..))),
            "over the same stream: {fields}"
        );
    }
    world.check(&json!({"profile": "Lan", "timeouts": {"connect": "2s", "total": "3s"}}));
    assert_eq!(
        world::plan_of(&world.settle(), "web-1"),
        None,
        "the same limits in other words are no change"
    );
}

#[test]
fn walks_under_the_old_limits_do_not_count_under_the_new() {
    let mut world = World::failed();
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));
    let old = world.make_walk("web-1", refused());
    world.check(&json!({"profile": "Batch"}));
    let status = world.status_after_settle().expect("the round begins anew");
    assert_eq!(ready(&status), ("Unknown", "Probing"), "{status:#?}");
    world.store(&status);
    world.sidecar(SidecarEvent::Walk(world::id("shop", "web-1"), Box::new(old)));
    world.heartbeat("web-1");
    assert_eq!(world.status_after_settle(), None, "it was made under the old plan");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "and this one under the new");
}
