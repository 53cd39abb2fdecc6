//! Events on source pods.

use super::world::acts::{cache_connected, refused};
use super::*;
use crate::publish::Regarding;

/// Pod and reason of each event on a pod so far.
fn on_pods(world: &World) -> Vec<(String, String)> {
    let events = world.events.iter().filter_map(|event| match &event.regarding {
        Regarding::Pod(pod) => Some((pod.name.clone(), event.reason.clone())),
        Regarding::Check { .. } => None,
    });
    events.collect()
}

#[test]
fn a_pod_is_told_when_it_fails_and_not_while_it_does() {
    let refusal = ("web-1".to_owned(), "ConnectionRefused".to_owned());
    let mut world = World::failed();
    assert_eq!(on_pods(&world), std::slice::from_ref(&refusal));
    let note = &world.events.iter().find(|e| matches!(e.regarding, Regarding::Pod(_))).unwrap().note;
    assert!(note.starts_with("db: "), "with the target: {note}");
    world.live_long(900);
    assert_eq!(on_pods(&world), std::slice::from_ref(&refusal), "nothing has changed");

    world.walk("web-1", world::connected());
    world.settle_and_store();
    world.fail("web-1");
    assert_eq!(on_pods(&world), [refusal.clone(), refusal.clone()], "another failure is told");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    world.fail("web-1");
    assert_eq!(on_pods(&world).len(), 2, "but not within five minutes");
}

#[test]
fn a_new_pod_of_a_failing_target_is_told_of_its_own_failure() {
    let mut world = World::failed();
    world.web("web-2", 6, "old");
    world.attach("web-2");
    world.fail("web-2");
    assert_eq!(on_pods(&world).last().map(|(pod, _)| pod.as_str()), Some("web-2"));
}

#[test]
fn after_a_restart_only_what_is_not_stored_is_told() {
    let mut world = World::two_targets();
    world.attach("web-1");
    world.walk_to("web-1", "db", world::connected());
    world.walk_to("web-1", "cache", cache_connected());
    world.settle_and_store();
    let mut world = world.restarted();
    world.attach("web-1");
    // Decisions that were evaluated a moment ago explain nothing yet.
    world.pass(6);
    world.walk_to("web-1", "cache", cache_connected());
    world.walk_to("web-1", "db", refused());
    for n in 2..=3 {
        let mut heartbeat = world.heartbeat_of("shop", "web-1");
        heartbeat.targets.iter_mut().for_each(|target| target.consecutive = n);
        world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat));
        world.settle();
    }
    assert_eq!(on_pods(&world), [("web-1".to_owned(), "ConnectionRefused".to_owned())], "a new failure");
}

#[test]
fn a_pod_of_which_two_processes_report_is_told_now_and_then() {
    let mut world = World::good();
    let contested = |world: &mut World, pod: &str| {
        world.sidecar(SidecarEvent::Contested(world::id("shop", pod)));
    };
    let told = |world: &World| {
        let all = on_pods(world);
        all.iter().filter(|event| **event == ("web-1".to_owned(), "StreamContested".to_owned())).count()
    };
    contested(&mut world, "web-1");
    contested(&mut world, "stranger");
    assert_eq!((told(&world), on_pods(&world).len()), (1, 1), "of pods that have a plan");
    // They take turns every half a minute.
    for _ in 0..20 {
        world.pass(30);
        contested(&mut world, "web-1");
    }
    assert_eq!(told(&world), 3, "every five minutes");
    let note = &world.events.last().unwrap().note;
    assert!(note.contains("stolen token") && note.len() <= 1024, "{note}");
}
