//! How much is judged again when a sidecar is heard: what it may change, and no more.

use peerwalk_model::evidence::Dial;

use super::world::acts::{cache, cache_connected, db, intercepted, ready, refused};
use super::*;

/// A check of two targets from ten pods, all of which are well.
fn ten_pods() -> World {
    let mut world = World::two_targets();
    world.check(&json!({"targets": [db(), cache()]}));
    for n in 2..=10 {
        world.web(&format!("web-{n}"), 10 + n, "old");
    }
    for n in 1..=10 {
        let pod = format!("web-{n}");
        world.attach(&pod);
        walk(&mut world, &pod, world::connected());
        world.walk_to(&pod, "cache", cache_connected());
    }
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
    world.live(60);
    world
}

fn walk(world: &mut World, pod: &str, dials: Vec<Dial>) {
    world.walk_to(pod, "db", dials);
}

/// How many pairs are judged for what is done.
fn judged(world: &mut World, act: impl FnOnce(&mut World)) -> u64 {
    world.settle();
    let before = world.engine.metrics.judgements();
    act(world);
    world.settle();
    world.engine.metrics.judgements() - before
}

#[test]
fn a_heartbeat_that_changes_nothing_judges_nothing() {
    let mut world = ten_pods();
    assert_eq!(judged(&mut world, |world| world.heartbeat("web-1")), 0);
    let of_a_target = judged(&mut world, |world| world.attach_in("ledger", "cache-0"));
    assert_eq!(of_a_target, 0, "nobody waits for a sign of life");
}

#[test]
fn a_walk_judges_its_own_pair() {
    let mut world = ten_pods();
    assert_eq!(judged(&mut world, |world| walk(world, "web-1", refused())), 1);
    assert_eq!(judged(&mut world, |world| world.heartbeat("web-1")), 1, "it waits for its repetition");
    assert_eq!(judged(&mut world, |world| world.heartbeat("web-2")), 0, "which this is not");
}

#[test]
fn a_sidecar_that_comes_or_goes_judges_the_pairs_of_its_pod() {
    let mut world = ten_pods();
    let web = world::id("shop", "web-1");
    assert_eq!(judged(&mut world, |world| world.sidecar(SidecarEvent::Detached(web))), 2);
    assert_eq!(judged(&mut world, |world| world.attach("web-1")), 2);
}

#[test]
fn a_sign_of_life_judges_what_is_uncertain_of_that_target() {
    let mut world = ten_pods();
    world.attach_in("ledger", "db-0");
    for pod in ["web-1", "web-2"] {
        walk(&mut world, pod, intercepted());
    }
    assert_eq!(judged(&mut world, |world| world.heartbeat_in("ledger", "db-0")), 2);
}

#[test]
fn a_second_judges_what_waits() {
    let mut world = ten_pods();
    walk(&mut world, "web-1", intercepted());
    let ticked = judged(&mut world, |world| {
        world.pass(1);
        world.tick();
    });
    assert_eq!(ticked, 1);
    let passed = judged(&mut world, |world| {
        world.pass(15);
        world.tick();
    });
    assert_eq!(passed, 20, "now and then all is looked at");
}
