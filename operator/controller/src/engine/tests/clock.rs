//! The wall clock is set while all goes on: nothing is said that nobody found, and what happens afterwards is told as
//! soon as ever.

use peerwalk_api::condition::COVERED;

use super::world::acts::{ready, refused, stalled};
use super::world::plan_of;
use super::*;

/// The clock of a world is set an hour forward or back; its sidecar stays attached, and sends all with its new plan.
fn set(world: &mut World, forward: bool) {
    const HOUR: Duration = Duration::from_hours(1);
    world.now = if forward { world.now.plus(HOUR) } else { world.now.minus(HOUR) };
    world.engine.clock_set(world.now);
    let outputs = world.settle();
    assert!(plan_of(&outputs, "web-1").is_some(), "with it the sidecar sends all: {outputs:#?}");
    assert!(statuses(&outputs).is_empty(), "{outputs:#?}");
}

fn statuses(outputs: &[Output]) -> Vec<&Output> {
    outputs.iter().filter(|output| matches!(output, Output::Status(..) | Output::Event(_))).collect()
}

#[test]
fn nothing_is_said_that_nobody_found() {
    for forward in [true, false] {
        for (mut world, dials) in [(World::good(), world::connected()), (World::failed(), refused())] {
            let before = ready(world.last()).0.to_owned();
            set(&mut world, forward);
            assert!(statuses(&world.live(10)).is_empty(), "the sidecar has time to send");
            world.attach("web-1");
            world.walk("web-1", dials.clone());
            world.walk_repeated("web-1", dials, 50);
            let outputs = world.live(600);
            assert!(statuses(&outputs).is_empty(), "forward {forward}, {before}: {outputs:#?}");
        }
    }
}

#[test]
fn what_comes_afterwards_is_told_as_soon_as_ever() {
    for forward in [true, false] {
        let mut world = World::good();
        set(&mut world, forward);
        world.attach("web-1");
        world.walk("web-1", world::connected());
        world.live(40);
        world.fail("web-1");
        assert_eq!(ready(world.last()), ("False", "ConnectionRefused"), "forward {forward}");
    }
}

#[test]
fn a_sidecar_that_does_not_come_back_is_missed_as_soon_as_ever() {
    for forward in [true, false] {
        let mut world = World::good();
        set(&mut world, forward);
        let outputs = world.live(60);
        assert!(!statuses(&outputs).is_empty(), "forward {forward}: it is told");
        let covered = world.last().condition(COVERED).expect("a status has Covered");
        assert_eq!(covered.reason, "NotReporting", "forward {forward}");
    }
}

#[test]
fn without_being_told_the_engine_would_take_the_hour_for_time() {
    let mut world = World::good();
    world.pass(3600);
    world.tick();
    let said = world.settle();
    assert!(!statuses(&said).is_empty(), "which is why the loop compares both clocks");
}

#[test]
fn what_waits_is_stalled_after_its_time_and_not_by_the_clock() {
    for forward in [true, false] {
        let mut world = World::shop();
        world.settle_and_store();
        world.live(30);
        set(&mut world, forward);
        world.live(119);
        assert!(!stalled(world.last()), "forward {forward}: it has the whole time again");
        world.live(2);
        assert!(stalled(world.last()), "forward {forward}: and no more: {:#?}", world.last());
        set(&mut world, forward);
        let outputs = world.live(300);
        assert!(statuses(&outputs).is_empty(), "forward {forward}: what is stalled stays so: {outputs:#?}");
    }
}

#[test]
fn roots_that_were_read_stand() {
    let mut world = roots::with_roots();
    world.pass(3600);
    world.engine.clock_set(world.now);
    let plan = world.planned("web-1");
    assert!(plan.is_some(), "no sidecar loses a target for it");
    assert_eq!(roots::reads(&world.take(Input::Tick)), 1, "and they are read again at once");
    roots::read(&mut world, RootsRead::Failed("the API server did not answer in time".into()));
    assert_eq!(world.planned("web-1"), plan);
}
