//! Every Unknown has an exit: it ends, or it is Stalled, and that ends too.

use peerwalk_api::CheckResult;

use super::world::acts::{ready, stalled};
use super::*;

fn nothing(_: &mut World) {}

#[test]
fn what_is_missing_for_too_long_stalls_until_it_is_there() {
    type Act = fn(&mut World);
    let cases: [(&str, Act, Act); 5] = [
        (
            "NotInjected",
            |world| {
                world.pod_gone("web-1");
                world.pod("web-2", "web", "n1", "10.244.0.6", false);
            },
            |world| {
                world.pod_gone("web-2");
                world.web("web-1", 5, "new");
                world.attach("web-1");
            },
        ),
        ("NotReporting", nothing, |world| world.attach("web-1")),
        ("Probing", |world| world.attach("web-1"), nothing),
        (
            "NotProven",
            |world| {
                world.attach("web-1");
                world.check_with_target(json!({
                    "name": "db", "url": "https://db.ledger.svc:5432/",
                    "tls": {"caBundle": {"configMap": {"name": "ca", "key": "ca.crt"}}},
                }));
                let map = ObjectKey::new("shop", "ca");
                let missing = RootsRead::Missing("there is no such ConfigMap".into());
                world.take(Input::Roots(map, "ca.crt".into(), missing));
            },
            |world| world.check(&json!({})),
        ),
        (
            "TargetNotFound",
            |world| {
                world.attach("web-1");
                world.check_with_target(json!({"name": "db", "service": {"name": "nope", "port": 80}}));
            },
            |world| world.check(&json!({})),
        ),
    ];
    for (reason, breaks, repairs) in cases {
        let mut world = World::shop();
        breaks(&mut world);
        world.settle_and_store();
        world.live(119);
        world.settle_and_store();
        assert_eq!(ready(world.last()), ("Unknown", reason), "{:#?}", world.last());
        assert!(!stalled(world.last()), "{reason}: not yet");
        world.live(2);
        world.settle_and_store();
        assert_eq!(ready(world.last()), ("Unknown", reason), "the same reason");
        assert!(stalled(world.last()), "{reason}: for too long");

        repairs(&mut world);
        world.walk("web-1", world::connected());
        world.settle_and_store();
        assert_eq!(ready(world.last()), ("True", "AsExpected"), "{reason}: {:#?}", world.last());
        assert!(!stalled(world.last()), "{reason}: it has ended");
    }
}

#[test]
fn another_spec_and_another_template_have_the_whole_time() {
    let mut world = World::shop();
    world.pod_gone("web-1");
    world.settle_and_store();
    world.live(121);
    world.settle_and_store();
    assert!(stalled(world.last()), "no pods: {:#?}", world.last());

    world.check(&json!({"source": {"podSelector": {"matchLabels": {"app": "other"}}}}));
    world.settle_and_store();
    assert!(!stalled(world.last()), "the spec was corrected a moment ago: {:#?}", world.last());
    world.live(121);
    world.settle_and_store();
    assert!(stalled(world.last()), "in vain");

    world.pod("other-1", "other", "n1", "10.244.0.7", true);
    world.settle_and_store();
    assert!(!stalled(world.last()), "somebody has scaled up: {:#?}", world.last());
    assert_eq!(ready(world.last()), ("Unknown", "Probing"));
    world.live(121);
    world.settle_and_store();
    assert!(stalled(world.last()), "in vain");
}

#[test]
fn what_goes_on_after_a_rest_begins_anew() {
    let mut world = World::good();
    world.check(&json!({"suspend": true}));
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "Suspended"));
    assert!(!stalled(world.last()));
    world.live_long(3600);
    assert_eq!(world.last().result, CheckResult::Suspended, "it rests as long as it is to");

    world.check(&json!({}));
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "Probing"), "what was green an hour ago is old");
    assert!(!stalled(world.last()), "an hour of rest is no delay");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"));
}

#[test]
fn walks_that_come_no_more_stall_while_their_sidecar_lives() {
    let mut world = World::good();
    let heartbeat = world.heartbeat_of("shop", "web-1");
    // It tells of the same walks, which are ever longer ago.
    let live = |world: &mut World, seconds: u64| {
        for _ in 0..seconds {
            world.pass(1);
            world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat.clone()));
            world.tick();
            world.settle_and_store();
        }
    };
    while ready(world.last()).0 == "True" {
        live(&mut world, 1);
        assert!(world.now.since(heartbeat.targets[0].ended) < Duration::from_mins(10), "it is noticed");
    }
    assert_eq!(ready(world.last()), ("Unknown", "ResultsStale"), "{:#?}", world.last());
    live(&mut world, 118);
    assert!(!stalled(world.last()), "not yet");
    live(&mut world, 2);
    assert_eq!(ready(world.last()), ("Unknown", "ResultsStale"), "the same reason");
    assert!(stalled(world.last()), "for too long");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"));
    assert!(!stalled(world.last()), "it has ended");
}
