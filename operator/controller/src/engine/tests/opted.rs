//! Pods that opted in and were made without a call of the webhook.

use super::*;
use crate::cluster::decode::{SlimNamespace, SlimPod};
use crate::publish::{EventRecord, Regarding};

fn namespace(world: &mut World, name: &str, inject: &str) {
    let labels = if inject.is_empty() { json!({}) } else { json!({"peerwalk.dev/inject": inject}) };
    world.apply::<SlimNamespace>(json!({"metadata": {"name": name, "labels": labels}}));
}

/// A pod of a Deployment `web`; `more` is put over it.
fn pod(world: &mut World, namespace: &str, name: &str, template: &str, more: &serde_json::Value) {
    let mut pod = json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"),
            "labels": {"pod-template-hash": template},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                "name": format!("web-{template}"), "uid": template}],
        },
        "spec": {"containers": [{"name": "app"}]},
    });
    json_merge(&mut pod, more);
    world.apply::<SlimPod>(pod);
}

fn json_merge(into: &mut serde_json::Value, more: &serde_json::Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        if into[key].is_object() && value.is_object() {
            json_merge(&mut into[key], value);
        } else {
            into[key] = value.clone();
        }
    }
}

fn missed(world: &mut World) -> Vec<EventRecord> {
    world.settle();
    let missed = |event: &&EventRecord| event.reason == "InjectionMissed";
    world.events.iter().filter(missed).cloned().collect()
}

/// Namespace `shop` had opted in before the operator began.
fn opted_in() -> World {
    let mut world = World::shop_unchecked();
    namespace(&mut world, "shop", "enabled");
    world.list();
    world.settle();
    world.pass(60);
    world
}

#[test]
fn a_new_pod_without_a_sidecar_is_told_once_for_its_template() {
    let mut world = opted_in();
    assert!(missed(&mut world).is_empty(), "what was there before says nothing");
    for (name, template) in [("a", "one"), ("b", "one"), ("c", "two"), ("d", "one")] {
        pod(&mut world, "shop", name, template, &json!({}));
    }
    let told = missed(&mut world);
    let names = told.iter().map(|event| match &event.regarding {
        Regarding::Pod(pod) => pod.name.as_str(),
        Regarding::Check { .. } => "a check",
    });
    assert_eq!(names.collect::<Vec<_>>(), ["a", "c"]);
    for words in ["did not reach the webhook", "kubectl rollout restart deployment web"] {
        assert!(told[0].note.contains(words), "{words} in {}", told[0].note);
    }
    pod(&mut world, "shop", "a", "one", &json!({"status": {"phase": "Running"}}));
    assert_eq!(missed(&mut world).len(), 2, "a pod that changes is no new one");
    let mut text = String::new();
    let mut registry = prometheus_client::registry::Registry::default();
    world.engine.metrics.register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("injection_missed_total 4\n"), "each is counted: {text}");
}

#[test]
fn pods_that_need_no_sidecar_are_not_missed() {
    let annotation = json!({"metadata": {"annotations": {"peerwalk.dev/injection": "skipped: paused, why"}}});
    let label = |value: &str| json!({"metadata": {"labels": {"peerwalk.dev/inject": value}}});
    let node = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1", "controller": true}]);
    let ours = json!([{"name": "peerwalk", "restartPolicy": "Always"}]);
    for (what, place, more, expected) in [
        ("in a namespace that opted in", "shop", json!({}), true),
        ("that opted in by itself", "ledger", label("enabled"), true),
        ("that opted out", "shop", label("disabled"), false),
        ("in a namespace without a label", "ledger", json!({}), false),
        ("in a namespace that opted out", "other", label("enabled"), false),
        ("of the operator's namespace", "peerwalk-system", label("enabled"), false),
        ("of the system", "kube-system", label("enabled"), false),
        ("with a sidecar", "shop", json!({"spec": {"initContainers": ours}}), false),
        ("that was skipped for a reason", "shop", annotation, false),
        ("on its node's network", "shop", json!({"spec": {"hostNetwork": true}}), false),
        ("with Windows", "shop", json!({"spec": {"os": {"name": "windows"}}}), false),
        ("that is static", "shop", json!({"metadata": {"ownerReferences": node}}), false),
    ] {
        let mut world = opted_in();
        namespace(&mut world, "other", "disabled");
        world.pass(60);
        pod(&mut world, place, "new", "one", &more);
        assert_eq!(missed(&mut world).len(), usize::from(expected), "a pod {what}");
    }
}

#[test]
fn a_pod_that_may_be_older_than_the_opt_in_is_not_missed() {
    for (seconds, expected) in [(0, 0), (9, 0), (10, 1)] {
        let mut world = World::shop();
        world.settle();
        world.pass(60);
        namespace(&mut world, "shop", "enabled");
        world.pass(seconds);
        pod(&mut world, "shop", "new", "one", &json!({}));
        assert_eq!(missed(&mut world).len(), expected, "{seconds} s after the opt-in");
    }
}

#[test]
fn a_pod_that_came_before_everything_was_listed_is_not_missed() {
    let mut world = World::shop_unchecked();
    namespace(&mut world, "shop", "enabled");
    pod(&mut world, "shop", "new", "one", &json!({}));
    world.list();
    world.pass(60);
    assert!(missed(&mut world).is_empty());
}

#[test]
fn who_takes_over_tells_of_pods_that_came_while_nobody_led() {
    let mut world = opted_in();
    world.engine.lead(None, world.now());
    pod(&mut world, "shop", "earlier", "one", &json!({}));
    world.settle();
    world.pass(30);
    pod(&mut world, "shop", "lately", "two", &json!({}));
    assert!(missed(&mut world).is_empty(), "the leader tells of pods, if there is one");
    world.pass(17);
    world.engine.lead(Some(2), world.now());
    let told = missed(&mut world);
    let [EventRecord { regarding: Regarding::Pod(pod), .. }] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!(pod.name, "lately", "the leader of before was there for the other");
}

#[test]
fn a_template_is_told_again_after_an_hour_without_any() {
    let mut world = opted_in();
    for (minutes, name, expected) in [(0, "a", 1), (59, "b", 1), (59, "c", 1), (61, "d", 2)] {
        world.pass(minutes * 60);
        world.tick();
        pod(&mut world, "shop", name, "one", &json!({}));
        assert_eq!(missed(&mut world).len(), expected, "{name}");
    }
}

#[test]
fn pods_are_missed_after_the_clock_was_set_as_before() {
    for forward in [true, false] {
        const HOUR: Duration = Duration::from_hours(1);
        let mut world = World::shop_unchecked();
        namespace(&mut world, "first", "enabled");
        world.list();
        world.pass(60);
        namespace(&mut world, "other", "enabled");
        world.now = if forward { world.now.plus(HOUR) } else { world.now.minus(HOUR) };
        world.engine.clock_set(world.now);
        world.settle();
        pod(&mut world, "other", "early", "one", &json!({}));
        assert_eq!(missed(&mut world).len(), 0, "forward {forward}: it may be older than the opt-in");
        pod(&mut world, "first", "new", "one", &json!({}));
        assert_eq!(missed(&mut world).len(), 1, "forward {forward}: that one is as old as ever");
        world.pass(10);
        pod(&mut world, "other", "late", "two", &json!({}));
        assert_eq!(missed(&mut world).len(), 2, "forward {forward}: an opt-in of before the step");
    }
}
