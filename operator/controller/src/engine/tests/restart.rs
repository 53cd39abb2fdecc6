//! What a restart of the operator may say and what it may not.

use peerwalk_api::condition::{READY, RECONCILING};

use super::world::acts::{intercepted, ready, refused, stalled};
use super::*;

/// The sidecar of a pod comes back and sends what it has found for long.
fn comes_back(world: &mut World, pod: &str, dials: Vec<peerwalk_model::evidence::Dial>) {
    world.attach(pod);
    world.walk(pod, dials.clone());
    world.walk_repeated(pod, dials, 50);
}

#[test]
fn a_steady_failure_writes_nothing_for_an_hour_nor_after_a_restart() {
    let mut world = World::failed();
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));
    assert_eq!(world.live_long(3600), vec![], "what is known is said once");

    let mut world = world.restarted();
    let outputs = world.settle();
    assert!(outputs.iter().all(|o| !matches!(o, Output::Status(..) | Output::Event(_))), "{outputs:?}");
    comes_back(&mut world, "web-1", refused());
    assert_eq!(world.live_long(3600), vec![], "and is not said again by another operator");
    assert_eq!(world.events, vec![]);
}

#[test]
fn nothing_is_taken_back_before_every_pod_had_time_to_report() {
    let mut world = World::good();
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.walk("web-2", world::connected());
    world.settle_and_store();
    world.fail("web-2");
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));

    let mut world = world.restarted();
    world.settle();
    comes_back(&mut world, "web-1", world::connected());
    assert_eq!(world.live(20), vec![], "the pod that fails has not reported yet");
    comes_back(&mut world, "web-2", refused());
    assert_eq!(world.live(60), vec![], "and then all is as it was");
}

#[test]
fn a_new_failure_is_told_at_once() {
    let mut world = World::good();
    world.web("web-2", 6, "old");
    world.live(1);
    world.settle_and_store();
    let mut world = world.restarted();
    world.settle();
    // Decisions that were evaluated a moment ago explain nothing yet.
    world.pass(6);
    comes_back(&mut world, "web-1", refused());
    let status = world.status_after_settle().expect("a failure is news though web-2 has not come back");
    assert_eq!(ready(&status), ("False", "ConnectionRefused"));
    assert_eq!(world.live(1), vec![], "once");
}

#[test]
fn a_rollout_is_told_at_once() {
    let mut world = World::good();
    world.web("web-2", 6, "new");
    let mut world = world.restarted();
    let status = world.status_after_settle().expect("the green is that of the old pods");
    assert_eq!(ready(&status), ("Unknown", "Probing"));
}

#[test]
fn other_pods_of_the_same_template_are_no_rollout() {
    let mut world = World::good();
    // A drain replaces the pods long after Ready became True.
    world.live_long(3600);
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.walk("web-2", world::connected());
    world.settle_and_store();
    world.pod_gone("web-1");
    world.live(60);
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());

    let mut world = world.restarted();
    assert_eq!(world.statuses(), vec![], "the green is that of the same template");
    comes_back(&mut world, "web-2", world::connected());
    assert_eq!(world.live(60), vec![], "and stays");
    assert_eq!(world.events, vec![]);
}

#[test]
fn a_failure_of_replaced_pods_does_not_flap() {
    let mut world = World::failed();
    world.live_long(3600);
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.fail("web-2");
    world.pod_gone("web-1");
    world.live(60);
    assert_eq!(ready(world.last()).0, "False", "{:#?}", world.last());

    let mut world = world.restarted();
    assert_eq!(world.statuses(), vec![], "the same pods will say the same again");
    comes_back(&mut world, "web-2", refused());
    assert_eq!(world.live(60), vec![]);
}

#[test]
fn replaced_pods_do_not_end_a_delay() {
    let mut world = World::shop();
    world.check_with_target(json!({"name": "x", "service": {"name": "nope", "port": 80}}));
    world.settle_and_store();
    world.live(3600);
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.pod_gone("web-1");
    world.settle_and_store();
    assert!(stalled(world.last()), "{:#?}", world.last());
    let mut world = world.restarted();
    world.attach("web-2");
    let outputs = world.live(200);
    assert!(outputs.iter().all(|o| !matches!(o, Output::Status(..))), "{outputs:#?}");
}

#[test]
fn stalled_stays_stalled() {
    let mut world = World::shop();
    world.check_with_target(json!({"name": "x", "service": {"name": "nope", "port": 80}}));
    world.settle_and_store();
    world.live(121);
    world.settle_and_store();
    assert!(stalled(world.last()), "{:#?}", world.last());

    let mut world = world.restarted();
    let outputs = world.live(200);
    assert!(outputs.iter().all(|o| !matches!(o, Output::Status(..))), "{outputs:#?}");
}

#[test]
fn the_deadline_goes_on_from_where_it_was() {
    let mut world = World::shop();
    world.check_with_target(json!({"name": "x", "service": {"name": "nope", "port": 80}}));
    world.settle_and_store();
    world.live(100);
    let mut world = world.restarted();
    world.live(50);
    assert!(stalled(world.last()), "150 s are more than the deadline of 2 min: {:#?}", world.last());
}

#[test]
fn time_before_the_last_beginning_does_not_count() {
    let mut world = World::good();
    world.pod_gone("web-1");
    world.live(130);
    world.settle_and_store();
    assert!(stalled(world.last()), "nobody is there: {:#?}", world.last());
    world.pass(8 * 3600);
    world.web("web-9", 9, "old");
    world.settle_and_store();
    assert!(!stalled(world.last()), "in the morning it begins anew");
    let before = world.last().condition(READY).unwrap().last_transition_time.clone();
    let anew = world.last().condition(RECONCILING).unwrap().last_transition_time.clone();
    assert!(before.0 < anew.0, "though Ready has been Unknown all night");

    let mut world = world.restarted();
    world.live(60);
    assert!(!stalled(world.last()), "also for an operator that knows the status only: {:#?}", world.last());
    world.live(70);
    assert!(stalled(world.last()), "and then it is over: {:#?}", world.last());
}

#[test]
fn a_rest_before_the_restart_is_no_delay() {
    let mut world = World::good();
    world.check(&json!({"suspend": true}));
    world.settle_and_store();
    world.live_long(3600);
    world.check(&json!({}));
    world.settle_and_store();
    let mut world = world.restarted();
    world.attach("web-1");
    let outputs = world.live(60);
    let written = outputs.iter().any(|output| matches!(output, Output::Status(..)));
    assert!(!written, "Ready has been Unknown for an hour, most of which was a rest: {outputs:#?}");
}

#[test]
fn a_doubt_does_not_become_a_green_by_a_restart() {
    let mut world = World::good();
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.walk("web-2", world::connected());
    world.live(200);
    world.walk("web-2", intercepted());
    world.settle_and_store();
    assert_eq!(ready(world.last()).0, "Unknown", "{:#?}", world.last());
    let mut world = world.restarted();
    world.settle();
    comes_back(&mut world, "web-1", world::connected());
    assert_eq!(world.live(20), vec![], "web-2 has not reported yet");
}

#[test]
fn the_time_after_a_start_counts_from_when_everything_was_listed() {
    // The lists take longer than sidecars may take to attach.
    let mut world = World::shop_unlisted();
    world.pass(120);
    world.list();
    world.settle();
    assert_eq!(world.verdict(), "Probing suspected", "the sidecar could not attach before");
    world.pass(31);
    world.tick();
    world.settle();
    assert_eq!(world.verdict(), "NotReporting suspected", "now it could have");

    let mut world = World::good();
    let rested = world.last().clone();
    world.live(10);
    let mut world = world.restarted_and_listed_after(120);
    assert_eq!(world.status_after_settle(), None, "what is stored stands: {rested:?}");
}

/// Nobody can tell any more what became of the dials of before.
#[test]
fn what_is_not_proven_by_walks_of_before_is_walked_at_once_and_once() {
    let mut world = World::good().restarted();
    world.pass(5);
    world.settle();
    world.attach("web-1");
    let mut old = world.make_walk("web-1", world::silent_with_control());
    for moment in [&mut old.started, &mut old.ended] {
        *moment = moment.minus(Duration::from_mins(1));
    }
    let walks = |world: &mut World| {
        let outputs = world.settle();
        outputs.into_iter().filter(|output| matches!(output, Output::WalkNow(..))).collect::<Vec<_>>()
    };
    world.sidecar(SidecarEvent::Walk(world::id("shop", "web-1"), Box::new(old.clone())));
    let walked = walks(&mut world);
    assert_eq!(walked, [Output::WalkNow(world::id("shop", "web-1"), vec![old.target.clone()])]);
    world.pass(1);
    world.sidecar(SidecarEvent::Walk(world::id("shop", "web-1"), Box::new(old)));
    assert_eq!(walks(&mut world), []);
    assert_ne!(world.verdict(), "Reachable confirmed");
}
