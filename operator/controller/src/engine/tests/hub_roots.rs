//! The hub's roots: which ones pods carry, and pods whose root leads to the hub no more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::cluster::decode::SlimPod;

fn set(roots: &[&str]) -> BTreeSet<String> {
    roots.iter().map(|root| (*root).to_owned()).collect()
}

/// The pod `web-1`, with changes.
fn web(world: &mut World, root: Option<&str>, changes: &Value) {
    let mut pod = json!({
        "metadata": {
            "namespace": "shop", "name": "web-1", "uid": "uid-web-1",
            "labels": {"app": "web", "pod-template-hash": "old"},
            "annotations": root.map(|root| json!({"peerwalk.dev/hub-root": root})),
        },
        "spec": {
            "nodeName": "n1", "containers": [{"name": "app"}],
            "initContainers": [{"name": "peerwalk", "restartPolicy": "Always"}],
        },
        "status": {
            "phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    for (part, value) in changes.as_object().unwrap() {
        pod[part].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    }
    world.apply::<SlimPod>(pod);
}

/// What is told of the roots that pods carry.
fn told(outputs: &[Output]) -> Vec<BTreeSet<String>> {
    let carried = outputs.iter().filter_map(|output| match output {
        Output::CarriedRoots(roots) => Some(roots.clone()),
        _ => None,
    });
    carried.collect()
}

#[test]
fn the_roots_that_pods_carry_are_told_when_they_change() {
    let mut world = World::shop_unlisted();
    assert!(told(&world.settle()).is_empty(), "not all pods are known");
    world.list();
    assert_eq!(told(&world.settle()), [set(&[])]);
    for (case, root, changes, expected) in [
        ("injected", Some("old"), json!({}), Some(set(&["old"]))),
        ("nothing new", Some("old"), json!({"metadata": {"labels": {"app": "web", "x": "y"}}}), None),
        ("another root", Some("new"), json!({}), Some(set(&["new"]))),
        ("it has ended", Some("new"), json!({"status": {"phase": "Succeeded"}}), Some(set(&[]))),
        ("again", Some("new"), json!({}), Some(set(&["new"]))),
        ("an annotation alone", Some("new"), json!({"spec": {"initContainers": []}}), Some(set(&[]))),
        ("no annotation", None, json!({}), None),
    ] {
        web(&mut world, root, &changes);
        assert_eq!(told(&world.settle()), Vec::from_iter(expected), "{case}");
    }
    web(&mut world, Some("last"), &json!({}));
    assert_eq!(told(&world.settle()), [set(&["last"])]);
    world.take(Input::Watch(WatchEvent::Deleted(Kind::Pod, ObjectKey::new("shop", "web-1"))));
    assert_eq!(told(&world.settle()), [set(&[])], "the pod is gone");
}

#[test]
fn a_pod_of_a_replaced_root_is_to_be_restarted() {
    for (case, root, valid, says) in [
        ("replaced", Some("old"), Some(set(&["new"])), true),
        ("vouched for", Some("old"), Some(set(&["new", "old"])), false),
        ("it does not say", None, Some(set(&["new"])), false),
        ("nobody knows", Some("old"), None, false),
    ] {
        let mut world = World::shop();
        web(&mut world, root, &json!({}));
        if let Some(valid) = valid {
            world.take(Input::HubRoots(valid));
        }
        world.settle();
        // Longer than a sidecar may take to attach.
        world.pass(40);
        world.tick();
        world.settle_and_store();
        assert_eq!(world.verdict(), "NotReporting suspected", "{case}");
        let covered = world.last().condition(COVERED).unwrap().clone();
        assert_eq!(covered.reason, "NotReporting", "{case}");
        let restart =
            covered.message.contains("injected under a replaced root") && covered.message.contains("restart");
        assert_eq!(restart, says, "{case}: {}", covered.message);
    }
}

#[test]
fn who_takes_over_knows_the_roots() {
    let mut world = World::shop();
    world.take(Input::HubRoots(set(&["new"])));
    world.settle();
    world.engine.lead(None, world.now());
    web(&mut world, Some("old"), &json!({}));
    assert_eq!(
        world.settle(),
        [Output::CarriedRoots(set(&["old"]))],
        "or it would forget one that is carried"
    );
    assert_eq!(world.settle(), []);
    world.engine.lead(Some(2), world.now());
    assert!(told(&world.settle()).is_empty(), "they are the same");
    world.pass(60);
    world.tick();
    world.settle_and_store();
    let covered = world.last().condition(COVERED).unwrap();
    assert!(covered.message.contains("injected under a replaced root"), "{}", covered.message);
}

#[test]
fn a_pod_that_reports_all_the_same_is_believed() {
    let mut world = World::shop();
    web(&mut world, Some("old"), &json!({}));
    world.settle();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    world.take(Input::HubRoots(set(&["new"])));
    world.settle_and_store();
    assert_eq!(world.last().condition(COVERED).unwrap().reason, "AllReporting");
}
