//! How long targets take to answer, from heartbeats to what is known and shown of it.

use std::time::Duration;

use peerwalk_model::report::Took;
use prometheus_client::registry::Registry;

use super::world::acts::{cache, db};
use super::*;
use crate::latency::Latency;

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// So many more walks that passed, each told by two heartbeats.
pub(super) fn answers(world: &mut World, walks: u32, took: u64) {
    for _ in 0..walks {
        world.pass(10);
        let mut heartbeat = world.heartbeat_of("shop", "web-1");
        heartbeat.plan_generation = world.engine.plans[&world::id("shop", "web-1")].plan.generation;
        for fresh in &mut heartbeat.targets {
            fresh.took = Some(Took { connect: ms(took / 10), whole: ms(took) });
        }
        for _ in 0..2 {
            world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat.clone()));
        }
    }
    world.settle_and_store();
}

/// How many walks are known of each target of web-1.
fn known(world: &World) -> Vec<usize> {
    let pod = world::id("shop", "web-1");
    let (told, plan) = (world.engine.evidence.pod(&pod).unwrap(), &world.engine.plans[&pod]);
    let asked = |key: &TargetKey| plan.asked_since(key).unwrap();
    plan.plan.targets.keys().map(|key| told.latency(key, asked(key)).map_or(0, Latency::walks)).collect()
}

/// The lines of the metric, without its name.
fn shown(world: &World) -> Vec<String> {
    let mut registry = Registry::default();
    world.engine.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("check_latency_seconds"));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_walk_that_passed_counts_once() {
    let mut world = World::good();
    answers(&mut world, 30, 50);
    assert_eq!(known(&world), [30], "two heartbeats told of each");
}

#[test]
fn other_limits_keep_what_is_known_and_another_question_does_not() {
    let mut world = World::good();
    answers(&mut world, 30, 50);
    world.check(&json!({"profile": "Batch"}));
    world.settle_and_store();
    assert_eq!(known(&world), [30], "what the target takes does not depend on what it may");
    let mut old = world.heartbeat_of("shop", "web-1");
    world.check_with_target(
        json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": 5432}, "http": {}}),
    );
    world.settle_and_store();
    assert_eq!(known(&world), [0], "a request is another question than a connection");
    old.targets[0].took = Some(Took { connect: ms(5), whole: ms(50) });
    world.sidecar(SidecarEvent::Heartbeat(world::id("shop", "web-1"), old));
    assert_eq!(known(&world), [0], "and this walk answered the one before");
}

#[test]
fn the_metrics_show_what_checks_have_and_nothing_else() {
    let mut world = World::two_targets();
    world.attach("web-1");
    world.walk_to("web-1", "db", world::connected());
    world.walk_to("web-1", "cache", world::acts::cache_connected());
    world.settle_and_store();
    answers(&mut world, 30, 0);
    world.live(20);
    let line = |target: &str, quantile: &str| {
        format!("{{namespace=\"shop\",name=\"storefront\",target=\"{target}\",quantile=\"{quantile}\"}} 0.0")
    };
    let of = |target: &str| [line(target, "0.5"), line(target, "0.99")];
    assert_eq!(shown(&world), [of("cache"), of("db")].concat());
    world.check(&json!({"targets": [db()]}));
    world.settle_and_store();
    assert_eq!(shown(&world), of("db"), "the other target is gone");
    world.check(&json!({"targets": [cache()]}));
    world.settle_and_store();
    assert!(shown(&world).is_empty(), "and now both are, and this one was not walked yet");
    world.check(&json!({"targets": [db()]}));
    world.check_gone();
    world.settle();
    assert!(shown(&world).is_empty(), "the check is gone");
}
