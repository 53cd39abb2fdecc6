//! Evidence that got lost on its way is asked for again.

use peerwalk_model::report::TargetFreshness;

use super::world::acts::{cache, db, ready};
use super::*;

fn asks(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::SendAll(pod) if pod.name == "web-1")).count()
}

/// A heartbeat of web-1 that tells of a walk of its target that began just now.
fn tells(world: &mut World) -> Vec<Output> {
    world.settle();
    let walk = world.make_walk("web-1", world::connected());
    let signature = peerwalk_model::evidence::signature(&walk);
    let fresh = TargetFreshness {
        target: walk.target,
        signature,
        started: world.now(),
        ended: world.now(),
        since: world.now(),
        consecutive: 9,
        elapsed: Duration::from_millis(3),
        took: None,
    };
    let heartbeat = Heartbeat {
        sockets: peerwalk_model::report::Sockets::default(),
        plan_generation: 9,
        digest: 1,
        targets: vec![fresh],
        transitions_lost: 0,
    };
    world.take(Input::Sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat), world.now()))
}

#[test]
fn a_target_that_leaves_the_plan_and_comes_back_is_not_lost() {
    let mut world = World::good();
    let spec = world.spec();
    world.check(&json!({"targets": [cache()]}));
    world.settle();
    world.edit(|check| check["spec"] = spec);
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "Probing"), "its evidence is gone: {:#?}", world.last());

    world.pass(1);
    let mut asked = Vec::new();
    for second in 0..70 {
        if asks(&tells(&mut world)) > 0 {
            asked.push(second);
        }
        world.pass(1);
    }
    assert_eq!(asked, [5, 15, 35], "not while it may be on its way, and then ever more rarely");
    world.walk("web-1", world::connected());
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"));
    assert_eq!(asks(&tells(&mut world)), 0, "it is here");
}

#[test]
fn what_is_here_or_about_another_target_is_not_asked_for() {
    let mut world = World::good();
    let outputs = world.live(60);
    assert_eq!(asks(&outputs), 0, "all is here");
    // The last walk of a target that has just become another one.
    let old = world.heartbeat_of("shop", "web-1");
    world.pass(1);
    let mut other = db();
    other["service"]["port"] = json!("main");
    other["http"] = json!({});
    world.check(&json!({"targets": [other]}));
    world.settle();
    for _ in 0..60 {
        world.pass(1);
        let event = SidecarEvent::Heartbeat(world::id("shop", "web-1"), old.clone());
        let outputs = world.take(Input::Sidecar(event, world.now()));
        assert_eq!(asks(&outputs), 0, "it has not been walked as what it is");
    }
}

#[test]
fn what_a_sidecar_has_lost_is_counted_once() {
    let mut world = World::shop();
    world.attach("web-1");
    for (term, lost, all) in [(1, 0, 0), (1, 5, 5), (1, 5, 5), (2, 7, 7), (2, 2, 9)] {
        world.engine.lead(Some(term), world.now());
        world.settle();
        world.attach("web-1");
        let heartbeat = Heartbeat { transitions_lost: lost, ..world.heartbeat_of("shop", "web-1") };
        world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat));
        let mut registry = prometheus_client::registry::Registry::default();
        world.engine.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = format!("transitions_lost_total {all}\n");
        assert!(text.contains(&line), "after {lost}, and 2 is told by a new sidecar: {text}");
    }
}
