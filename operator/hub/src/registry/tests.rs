//! Streams that come, go and take each other's place, and what is kept for the next one.
#![allow(clippy::expect_used)]

use std::cell::RefCell;

use futures::FutureExt as _;
use peerwalk_wire::limits;

use super::*;
use crate::mailbox::Orders;

fn pod() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "uid-1".into() }
}

fn key(target: &str) -> TargetKey {
    TargetKey { check: "web".into(), target: target.into() }
}

fn plan(generation: u64) -> Plan {
    Plan { generation, ..Plan::default() }
}

fn some(targets: &[&str]) -> WalkOrder {
    WalkOrder::Some(targets.iter().map(|target| key(target)).collect())
}

fn stream() -> Arc<Mailbox> {
    Arc::default()
}

/// A registry with a pod that has a plan.
fn registry() -> Registry {
    let registry = Registry::default();
    registry.set_plan(&pod(), plan(1));
    registry
}

fn attached(registry: &Registry) -> Arc<Mailbox> {
    let stream = stream();
    let attached = registry.attach(&pod(), &stream, Arrival::default(), || true, || ());
    assert_eq!(attached, Some(Attached::Alone), "the pod is known");
    stream
}

fn taken(stream: &Mailbox) -> Orders {
    stream.take().now_or_never().expect("orders wait")
}

#[test]
fn what_is_to_be_walked_waits_for_the_next_stream() {
    let registry = registry();
    assert!(!registry.walk_now(&pod(), vec![key("a")]), "nobody is there");
    registry.walk_now(&pod(), vec![key("b")]);
    let first = taken(&attached(&registry));
    assert_eq!(first.walk, some(&["a", "b"]));
    assert_eq!(first.plan.map(|plan| plan.generation), Some(1), "with the plan it is about");
    assert_eq!(taken(&attached(&registry)).walk, WalkOrder::Nothing, "it was handed on");
}

#[test]
fn all_evidence_is_asked_of_the_stream_that_is_there() {
    let registry = registry();
    registry.send_all(&pod());
    let stream = attached(&registry);
    assert!(!taken(&stream).send_all, "whoever attaches sends all of it anyway");
    registry.send_all(&pod());
    assert!(taken(&stream).send_all);
}

#[test]
fn too_many_targets_wait_as_all_of_them_and_none_for_a_pod_without_a_plan() {
    let registry = registry();
    for target in 0..=limits::TARGETS {
        registry.walk_now(&pod(), vec![key(&target.to_string())]);
    }
    assert_eq!(taken(&attached(&registry)).walk, WalkOrder::All);

    let other = PodRef { uid: "uid-2".into(), ..pod() };
    registry.walk_now(&other, Vec::new());
    assert!(!registry.lock().pods.contains_key(&other), "nothing is kept for pods that are not there");
}

#[test]
fn what_a_stream_did_not_hear_of_goes_to_the_next_one() {
    let registry = registry();
    let first = attached(&registry);
    taken(&first);
    assert!(registry.walk_now(&pod(), vec![key("left")]), "a stream is there");
    registry.detach(&pod(), &first, some(&["unheard"]), || ());
    let second = attached(&registry);
    assert_eq!(taken(&second).walk, some(&["left", "unheard"]));

    // The third takes the place of the second before the second knows.
    registry.walk_now(&pod(), vec![key("left")]);
    let third = attached(&registry);
    taken(&third);
    registry.detach(&pod(), &second, some(&["unheard"]), || ());
    assert_eq!(taken(&third).walk, some(&["left", "unheard"]));
}

#[test]
fn what_is_told_of_a_pod_is_in_the_order_of_its_streams() {
    let registry = registry();
    let told = RefCell::new(Vec::new());
    let told_to = &told;
    let tell = |what| move || told_to.borrow_mut().push(what);
    let (first, second) = (stream(), stream());
    registry.attach(&pod(), &first, Arrival::default(), || true, tell("first attached"));
    registry.speak(&pod(), &first, tell("first speaks"));
    registry.attach(&pod(), &second, Arrival::default(), || true, tell("second attached"));
    assert!(taken(&first).superseded, "the first one is told so");
    assert_eq!(registry.speak(&pod(), &first, tell("first speaks out of turn")), None);
    registry.detach(&pod(), &first, WalkOrder::Nothing, tell("first detached"));
    registry.speak(&pod(), &second, tell("second speaks"));
    registry.detach(&pod(), &second, WalkOrder::Nothing, tell("second detached"));
    assert_eq!(registry.speak(&pod(), &second, tell("second speaks out of turn")), None);
    assert_eq!(
        told.into_inner(),
        ["first attached", "first speaks", "second attached", "second speaks", "second detached"]
    );
}

#[test]
fn a_pod_that_was_removed_in_between_does_not_attach() {
    let registry = registry();
    registry.remove(&pod());
    let late = stream();
    let attached = registry.attach(&pod(), &late, Arrival::default(), || false, || panic!("nothing is told"));
    assert!(attached.is_none() && taken(&late).removed, "it is told that it is not known");
    assert!(registry.lock().pods.is_empty(), "and nothing is kept");

    // Removed a moment later, it is found.
    registry.set_plan(&pod(), plan(1));
    let stream = stream();
    registry.attach(&pod(), &stream, Arrival::default(), || true, || ());
    registry.remove(&pod());
    assert!(taken(&stream).removed);
}

#[test]
fn processes_that_displace_each_other_are_noticed() {
    let registry = registry();
    let mut streams = Vec::new();
    let mut contested = Vec::new();
    for (instance, seconds) in [(1, 0), (2, 30), (1, 60), (2, 90), (1, 120)] {
        let stream = stream();
        let arrival = Arrival { instance, at: Timestamp::from_millis(seconds * 1000) };
        contested
            .push(registry.attach(&pod(), &stream, arrival, || true, || ()) == Some(Attached::Contested));
        streams.push(stream);
    }
    assert_eq!(contested, [false, false, false, true, true]);
    assert!(streams[..4].iter().all(|stream| taken(stream).superseded), "each is told so, and waits");
    assert!(!taken(&streams[4]).superseded, "the last one speaks");

    // Whoever comes after a stream that has ended displaces nobody.
    registry.detach(&pod(), &streams[4], WalkOrder::Nothing, || ());
    let arrival = Arrival { instance: 2, at: Timestamp::from_millis(150_000) };
    assert_eq!(registry.attach(&pod(), &stream(), arrival, || true, || ()), Some(Attached::Alone));
}

#[test]
fn streams_stay_until_it_is_known_who_leads() {
    let registry = registry();
    let stream = attached(&registry);
    taken(&stream);
    registry.set_role(Role::Standby { redirect: None });
    assert!(stream.take().now_or_never().is_none(), "nowhere to go");
    registry.set_role(Role::Standby { redirect: Some("10.0.0.2:9443".to_owned()) });
    assert_eq!(taken(&stream).redirect.as_deref(), Some("10.0.0.2:9443"));
}
