//! Targets that answer later than they may.

use peerwalk_model::evidence::{Request, RequestOutcome};
use peerwalk_model::plan::HttpMethod;

use super::times::{answers, ms};
use super::world::acts::ready;
use super::*;

/// A walk of a target that is asked by HTTP.
fn asked(world: &mut World, outcome: RequestOutcome) {
    let url = "http://db.ledger.svc:5432/".into();
    let elapsed = ms(2900);
    let request = Request { method: HttpMethod::Head, url, status_below: 500, outcome, elapsed };
    world.walk_with("web-1", world::connected(), |walk| walk.request = Some(request));
}

/// The shop, where the database is asked by HTTP and takes its time.
fn slow() -> World {
    let mut world = World::shop();
    let service = json!({"name": "db", "namespace": "ledger", "port": 5432});
    world.check_with_target(json!({"name": "db", "service": service, "http": {}}));
    world.attach("web-1");
    asked(&mut world, RequestOutcome::Status(200));
    world.settle_and_store();
    answers(&mut world, 60, 1900);
    // A pair that is well is looked at again now and then.
    world.live(15);
    world
}

/// Walks in a row without an answer, from the `first` to the `last`.
fn unanswered(world: &mut World, first: u32, last: u32) {
    for n in first..=last {
        world.pass(10);
        if n == 1 {
            asked(world, RequestOutcome::NoResponse);
        } else {
            let mut heartbeat = world.heartbeat_of("shop", "web-1");
            heartbeat.targets[0].consecutive = n;
            world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat));
        }
        world.settle_and_store();
    }
}

#[test]
fn a_slow_target_is_told_with_what_would_be_enough_and_a_dead_one_is_not() {
    let mut world = slow();
    assert_eq!(ready(world.last()), ("True", "AsExpected"));
    assert!(
        world.explanation().contains("timeouts.total is 3s: slower ones fail"),
        "{}",
        world.explanation()
    );
    unanswered(&mut world, 1, 3);
    assert_eq!(ready(world.last()), ("False", "SlowResponse"), "{:#?}", world.last());
    let message = &world.last().targets[0].message;
    assert!(message.contains("99 of 100 up to 2s, and timeouts.total is 3s"), "{message}");
    assert!(world.last().targets[0].samples.iter().any(|s| s.contains("timeouts.total of at least 5s")));
    for n in 4..=13 {
        unanswered(&mut world, n, n);
        assert_eq!(ready(world.last()).0, "False", "walk {n}: {:#?}", world.last());
    }
    assert_eq!(ready(world.last()), ("False", "NoResponse"), "it has stopped to answer: {:#?}", world.last());
}

#[test]
fn more_of_the_same_times_write_nothing() {
    let mut world = slow();
    unanswered(&mut world, 1, 3);
    asked(&mut world, RequestOutcome::Status(200));
    world.settle_and_store();
    let version = world.last().clone();
    answers(&mut world, 200, 2000);
    assert_eq!(*world.last(), version, "hundreds of walks that take a little longer");
}

#[test]
fn what_is_within_one_limit_is_far_from_another() {
    let mut world = slow();
    world.check(&json!({"profile": "Batch", "targets": world.spec()["targets"]}));
    world.settle();
    asked(&mut world, RequestOutcome::Status(200));
    world.settle_and_store();
    assert!(!world.explanation().contains("slower ones fail"), "{}", world.explanation());
    unanswered(&mut world, 1, 3);
    assert_eq!(ready(world.last()), ("False", "NoResponse"), "{:#?}", world.last());
}
