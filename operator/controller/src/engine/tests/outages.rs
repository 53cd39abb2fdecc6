//! Outages in the status: what is judged, what sidecars tell of a gap, and never twice.

use peerwalk_api::status::Outage;
use peerwalk_model::report::Transition;
use peerwalk_model::{Stage, TargetKey};

use super::world::acts::{ready, refused};
use super::*;

/// web-1 tells what its walks found and when, in seconds before now.
fn tells(world: &mut World, found: &[(u64, bool)]) {
    let transition = |(ago, passed): &(u64, bool)| Transition {
        target: TargetKey { check: "storefront".into(), target: "db".into() },
        at: world.now.minus(Duration::from_secs(*ago)),
        passed: *passed,
        stage: Stage::Connect,
        signature: 1,
    };
    let transitions = found.iter().map(transition).collect();
    world.sidecar(SidecarEvent::Transitions(world::id("shop", "web-1"), transitions));
}

fn comes_back(world: &mut World, dials: Vec<peerwalk_model::evidence::Dial>) {
    world.attach("web-1");
    world.walk("web-1", dials.clone());
    world.walk_repeated("web-1", dials, 50);
}

fn lasted(outage: &Outage) -> Option<i64> {
    outage.end.as_ref().map(|end| end.0.as_second() - outage.start.0.as_second())
}

fn writes(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Status(..))).count()
}

#[test]
fn a_failure_is_an_outage_until_it_is_over() {
    let mut world = World::failed();
    let [outage] = world.last().outages.as_slice() else { panic!("{:#?}", world.last().outages) };
    assert_eq!((outage.reason.as_deref(), outage.end.as_ref()), (Some("ConnectionRefused"), None));
    assert_eq!(Some(&outage.start), world.last().targets[0].since.as_ref());
    world.walk("web-1", world::connected());
    world.live(60);
    assert_eq!(ready(world.last()).0, "True");
    let [outage] = world.last().outages.as_slice() else { panic!("{:#?}", world.last().outages) };
    assert!(lasted(outage).is_some_and(|seconds| seconds > 0), "{outage:?}");
    assert_eq!(world.live_long(600), vec![], "and nothing more is written");
}

#[test]
fn an_outage_that_nobody_judged_is_told_once() {
    let mut world = World::good().restarted();
    world.settle();
    world.pass(5);
    comes_back(&mut world, world::connected());
    for _ in 0..3 {
        // Until it is acknowledged, and over every stream.
        tells(&mut world, &[(200, false), (140, true)]);
    }
    let outputs = world.live(60);
    assert_eq!(writes(&outputs), 1, "{outputs:#?}");
    assert_eq!(ready(world.last()).0, "True");
    let [outage] = world.last().outages.as_slice() else { panic!("{:#?}", world.last().outages) };
    assert_eq!((lasted(outage), &outage.reason), (Some(60), &None));

    let mut world = world.restarted();
    world.settle();
    comes_back(&mut world, world::connected());
    let passed = 60 + 1;
    tells(&mut world, &[(200 + passed, false), (140 + passed, true)]);
    assert_eq!(writes(&world.live(120)), 0, "another operator finds it in the status");
}

#[test]
fn an_outage_that_goes_on_began_when_the_sidecar_says() {
    let mut world = World::good().restarted();
    world.settle();
    world.pass(10);
    comes_back(&mut world, refused());
    tells(&mut world, &[(100, false)]);
    let began = world.now.minus(Duration::from_secs(100));
    world.live(60);
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));
    let [outage] = world.last().outages.as_slice() else { panic!("{:#?}", world.last().outages) };
    assert_eq!((outage.start.0.as_second(), &outage.end), (began.as_millis() / 1000, &None));
}

#[test]
fn an_outage_that_was_judged_is_not_another_when_it_is_told() {
    let mut world = World::failed();
    let start = world.last().outages[0].start.clone();
    world.pass(120);
    let mut world = world.restarted();
    world.settle();
    comes_back(&mut world, world::connected());
    // The ring has its beginning, which nobody had acknowledged, and its end.
    let ago = u64::try_from(world.now.as_millis() / 1000 - start.0.as_second()).unwrap();
    tells(&mut world, &[(ago + 20, false), (60, true)]);
    world.live(60);
    assert_eq!(ready(world.last()).0, "True");
    let [outage] = world.last().outages.as_slice() else { panic!("{:#?}", world.last().outages) };
    assert_eq!(outage.start, start);
    assert_eq!(outage.reason.as_deref(), Some("ConnectionRefused"), "what was judged stays");
    let over = world.now.minus(Duration::from_mins(2)).as_millis() / 1000;
    assert_eq!(outage.end.as_ref().map(|end| end.0.as_second()), Some(over), "by the sidecar's word");
}

#[test]
fn what_is_told_while_somebody_judges_is_judged() {
    let mut world = World::good();
    tells(&mut world, &[(30, false), (1, true)]);
    assert_eq!(writes(&world.live(60)), 0, "walks that failed were not proven, or came too seldom");
    assert_eq!(world.last().outages, []);
}

#[test]
fn what_is_told_of_no_target_or_of_another_time_is_counted() {
    let mut world = World::good();
    let dropped = |world: &World| {
        let mut registry = prometheus_client::registry::Registry::default();
        world.engine.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix("evidence_dropped_total ").map(str::to_owned));
        line.expect("it is counted")
    };
    let at = world.now.minus(Duration::from_secs(30));
    let later = world.now.plus(Duration::from_secs(30));
    for (number, pod, check, target, at) in [
        (1, "web-1", "gone", "db", at),
        (2, "web-1", "storefront", "gone", at),
        (3, "web-9", "storefront", "db", at),
        (4, "web-1", "storefront", "db", later),
        (4, "web-1", "storefront", "db", at),
    ] {
        let target = TargetKey { check: check.into(), target: target.into() };
        let told = Transition { target, at, passed: false, stage: Stage::Connect, signature: 1 };
        world.sidecar(SidecarEvent::Transitions(world::id("shop", pod), vec![told]));
        assert_eq!(dropped(&world), number.to_string(), "{check} {pod}");
    }
}
