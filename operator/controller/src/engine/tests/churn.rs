//! Pods that come and go within one template.

use super::world::acts::{intercepted, ready};
use super::*;

#[test]
fn the_first_doubt_of_a_new_pod_is_for_covered_to_tell() {
    let mut world = World::good();
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.walk("web-2", intercepted());
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
    assert!(
        world.last().condition(READY).unwrap().message.starts_with("1 of 2 pairs"),
        "counted as they are"
    );
    assert_ne!(world.last().condition(COVERED).map(|c| c.status), Some(ConditionStatus::True));

    world.live(119);
    world.settle_and_store();
    assert_eq!(ready(world.last()).0, "True", "it is still young");
    world.live(2);
    world.settle_and_store();
    assert_eq!(ready(world.last()).0, "Unknown", "what stays open is told: {:#?}", world.last());
}

#[test]
fn a_new_pod_alone_has_nobody_to_speak_for_it() {
    let mut world = World::good();
    world.web("web-2", 6, "new");
    world.attach("web-2");
    world.walk("web-2", intercepted());
    world.settle_and_store();
    assert_eq!(ready(world.last()).0, "Unknown", "another template says nothing: {:#?}", world.last());
}

#[test]
fn a_new_pod_that_fails_is_told() {
    let mut world = World::good();
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.fail("web-2");
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"), "{:#?}", world.last());
}
