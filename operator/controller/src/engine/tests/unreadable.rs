//! Checks that do not fit our types.

use super::world::acts::{ready, stalled};
use super::*;
use crate::metrics::WriteResult;

#[test]
fn a_check_that_cannot_be_read_says_so_once_for_each_version() {
    let mut world = World::good();
    let spec = world.spec();
    world.edit(|check| check["spec"]["interval"] = json!("soon"));
    let outputs = world.settle();
    let status = world::status_of(&outputs).expect("an old green must not stay");
    assert_eq!(ready(&status), ("False", "NotReadable"), "{status:#?}");
    assert!(stalled(&status), "waiting does not help");
    let message = &status.condition(READY).unwrap().message;
    assert!(message.contains("soon"), "with the error: {message}");
    assert_eq!(status.targets, vec![], "and nothing of what was known");
    assert_eq!(world::plan_of(&outputs, "web-1").map(|plan| plan.targets.len()), Some(0), "nor walked for");
    assert_eq!(status.observed_generation, Some(2), "said of the generation that it has");

    world.events.clear();
    world.written(WriteResult::Stored);
    assert_eq!(world.events.len(), 1, "told when it is stored: {:?}", world.events);
    assert_eq!(world.events[0].reason, "NotReadable");
    assert_eq!(world.live(60), vec![], "and then no more");
    world.policy_kinds(&["a"], &[]);
    assert_eq!(world.settle(), vec![], "whatever else happens");

    world.edit(|check| check["metadata"]["annotations"] = json!({"a": "b"}));
    world.pass(10);
    assert_eq!(world.status_after_settle(), Some(status), "another version has the same status");
    world.written(WriteResult::Stored);
    assert_eq!(world.events.len(), 1, "which is no news");

    world.edit(|check| check["spec"] = spec);
    let status = world.status_after_settle().expect("what can be read is carried out");
    assert_eq!(ready(&status), ("Unknown", "Probing"), "{status:#?}");
}

#[test]
fn a_refusal_is_tried_again_later() {
    let mut world = World::good();
    world.edit(|check| check["spec"]["interval"] = json!("soon"));
    assert!(world.status_after_settle().is_some());
    world.written(WriteResult::Refused);
    let outputs = world.live(14);
    assert_eq!(outputs, vec![], "not at once");
    assert!(world::status_of(&world.live(1)).is_some(), "but later");
}

#[test]
fn an_operator_that_starts_anew_says_no_more_of_it() {
    let mut world = World::good();
    world.edit(|check| check["spec"]["interval"] = json!("soon"));
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("False", "NotReadable"), "{:#?}", world.last());
    world.pass(3600);
    let mut world = world.restarted();
    assert_eq!(world.statuses(), vec![], "all is said");
    world.edit(|check| check["metadata"]["generation"] = json!(99));
    let status = world.status_after_settle().expect("it is said of the generation");
    world.store(&status);
    assert_eq!(world.events, vec![], "which is no news");
    world.edit(|check| check["spec"]["interval"] = json!("later"));
    let status = world.status_after_settle().expect("another error is told");
    let ready = status.condition(READY).unwrap();
    assert!(ready.message.contains("later"), "{}", ready.message);
    assert!(
        ready.last_transition_time.0.as_millisecond() < world.now().as_millis(),
        "Ready is False as before"
    );
    world.store(&status);
    assert_eq!(world.events.len(), 1, "{:?}", world.events);
}

#[test]
fn one_that_is_made_anew_is_another_one() {
    let mut world = World::good();
    world.edit(|check| check["spec"]["interval"] = json!("soon"));
    world.settle_and_store();
    world.events.clear();
    world.pass(3600);
    world.edit(|check| {
        check["metadata"]["uid"] = json!("another");
        check.as_object_mut().unwrap().remove("status");
    });
    let status = world.status_after_settle().expect("it has no status yet");
    let since = status.condition(READY).unwrap().last_transition_time.0.as_millisecond();
    assert_eq!(since, world.now().as_millis(), "not since there was the other");
    world.store(&status);
    assert_eq!(world.events.len(), 1, "and it is told: {:?}", world.events);
}
