//! A check that is deleted and made anew is another one.

use super::world::acts::{ready, stalled};
use super::*;

/// The check is deleted and made anew between two events of the watch.
fn made_anew(world: &mut World) {
    world.edit(|check| {
        check["metadata"]["uid"] = json!("another");
        check.as_object_mut().unwrap().remove("status");
    });
}

#[test]
fn walks_from_before_it_existed_say_nothing_of_it() {
    for failed in [false, true] {
        let mut world = if failed { World::failed() } else { World::good() };
        let before = world.heartbeat_of("shop", "web-1");
        world.pass(1);
        made_anew(&mut world);
        let outputs = world.settle();
        let status = world::status_of(&outputs).expect("it has no status yet");
        assert_eq!(ready(&status), ("Unknown", "Probing"), "{status:#?}");
        assert!(outputs.iter().any(|o| matches!(o, Output::WalkNow(pod, _) if pod.name == "web-1")));
        world.store(&status);
        world.pass(1);
        world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), before));
        assert_eq!(world.status_after_settle(), None, "that walk was made before");
        world.heartbeat("web-1");
        world.settle_and_store();
        assert_eq!(ready(world.last()).0, if failed { "False" } else { "True" }, "and this one after");
    }
}

#[test]
fn it_has_the_whole_time() {
    let mut world = World::shop();
    world.check_with_target(json!({"name": "x", "service": {"name": "nope", "port": 80}}));
    world.settle_and_store();
    world.live(121);
    assert!(stalled(world.last()), "{:#?}", world.last());
    made_anew(&mut world);
    world.settle_and_store();
    assert!(!stalled(world.last()), "{:#?}", world.last());
    world.live(119);
    assert!(!stalled(world.last()), "{:#?}", world.last());
    world.live(2);
    assert!(stalled(world.last()), "{:#?}", world.last());
}
