//! Every Unknown has an exit: it ends, or it is Stalled, and that ends too.

use peerwalk_api::CheckResult;

use super::world::acts::{ready, stalled};
use super::*;

fn nothing(_: &mut World) {}

#[test]
fn what_is_missing_for_too_long_stalls_until_it_is_there() {
    type Act = fn(&mut World);
    let cases: [(&str, Act, Act); 3] = [
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
