//! Injection pauses where our container fails, and is tried again.

use super::*;
use crate::cluster::decode::{Kind, SlimPod};
use crate::publish::Regarding;

const BAD_IMAGE: &str = "the sidecar's image cannot be pulled: no such manifest";

/// A cluster of which everything is listed; the pods of its check are old.
fn world() -> World {
    let mut world = World::shop();
    world.settle_and_store();
    world.pass(60);
    world
}

fn pull() -> serde_json::Value {
    json!({"waiting": {"reason": "ErrImagePull", "message": "no such manifest"}})
}

fn crash() -> serde_json::Value {
    json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}})
}

fn running() -> serde_json::Value {
    json!({"running": {"startedAt": "2027-01-15T08:00:00Z"}})
}

/// A pod of app `web` with our container in this state, whose own containers have been started or not.
fn pod(world: &mut World, namespace: &str, name: &str, state: &serde_json::Value, initialized: bool) {
    let pod = pod_with(world, namespace, name, state, initialized);
    world.apply::<SlimPod>(pod);
}

fn pod_with(
    world: &World,
    namespace: &str,
    name: &str,
    state: &serde_json::Value,
    initialized: bool,
) -> serde_json::Value {
    let created = jiff::Timestamp::from_millisecond(world.now().as_millis()).unwrap().to_string();
    let known = world.engine.index.pod(&ObjectKey::new(namespace, name)).map(|pod| pod.created);
    let created =
        known.map_or(created, |at| jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_string());
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"),
            "labels": {"app": "web", "pod-template-hash": "new"}, "creationTimestamp": created,
            "annotations": {"peerwalk.dev/hub-root": "0123"},
        },
        "spec": {"containers": [{"name": "app"}],
            "initContainers": [{"name": "peerwalk", "restartPolicy": "Always",
                "image": "sidecar:1", "imagePullPolicy": "IfNotPresent"}]},
        "status": {
            "phase": if initialized { "Running" } else { "Pending" },
            "conditions": [{"type": "Initialized", "status": if initialized { "True" } else { "False" }}],
            "initContainerStatuses": [{"name": "peerwalk", "state": state}],
        },
    })
}

fn held(world: &mut World, namespace: &str, names: &[&str]) {
    for name in names {
        pod(world, namespace, name, &pull(), false);
    }
}

/// What the webhook is told by a settling, if anything.
fn told(world: &mut World) -> Option<Pauses> {
    world.tick();
    world.settle().into_iter().rev().find_map(|output| match output {
        Output::Injection(pauses) => Some(pauses),
        _ => None,
    })
}

fn paused_in(pauses: &Pauses) -> Vec<(&str, &str, u32)> {
    pauses.namespaces.iter().map(|(name, pause)| (name.as_str(), pause.why.as_str(), pause.trials)).collect()
}

fn on_pods(world: &World) -> Vec<(String, String)> {
    let ours = world.events.iter().filter(|event| event.reason.starts_with("Injection"));
    let pods = ours.filter_map(|event| match &event.regarding {
        Regarding::Pod(pod) => Some((pod.name.clone(), event.reason.clone())),
        Regarding::Check { .. } => None,
    });
    pods.collect()
}

fn metric(world: &World, name: &str) -> Vec<String> {
    let mut registry = prometheus_client::registry::Registry::default();
    world.engine.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let told = |line: &&str| line.starts_with(name) && !line.ends_with(" 0");
    text.lines().filter(told).map(str::to_owned).collect()
}

#[test]
fn three_pods_without_the_image_pause_their_namespace_until_one_starts() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b"]);
    assert_eq!(told(&mut world), None, "two are no rule");
    held(&mut world, "shop", &["c"]);
    let pauses = told(&mut world).expect("it is told");
    assert_eq!(paused_in(&pauses), [("shop", BAD_IMAGE, 0)]);
    assert_eq!(pauses.cluster, None);
    assert_eq!(told(&mut world), None, "once");
    assert_eq!(on_pods(&world), [("c".to_owned(), "InjectionPaused".to_owned())], "on the last one");
    let note = &world.events.iter().find(|event| event.reason == "InjectionPaused").unwrap().note;
    for words in ["namespace shop", "1 min", "3 of them", BAD_IMAGE] {
        assert!(note.contains(words), "{words} in {note}");
    }
    assert_eq!(metric(&world, "injection_paused{"), ["injection_paused{namespace=\"shop\"} 1"]);
    assert_eq!(metric(&world, "injection_pauses"), ["injection_pauses_total{cause=\"Image\"} 1"]);

    world.pass(60);
    let pauses = told(&mut world).expect("a trial begins");
    assert_eq!(paused_in(&pauses), [("shop", BAD_IMAGE, 2)]);
    world.pass(5);
    pod(&mut world, "shop", "d", &running(), true);
    assert_eq!(told(&mut world), None, "it may end at once");
    world.pass(10);
    assert_eq!(told(&mut world), Some(Pauses::default()), "it has started");
    assert_eq!(on_pods(&world).last(), Some(&("d".to_owned(), "InjectionResumed".to_owned())));
    assert_eq!(metric(&world, "injection_paused{"), [""; 0]);
    world.pass(600);
    assert_eq!(told(&mut world), None, "those that still wait say nothing new");
}

#[test]
fn a_standby_pauses_its_own_webhook_and_tells_nobody_else() {
    let mut world = world();
    world.engine.lead(None, world.now());
    held(&mut world, "shop", &["a", "b", "c"]);
    let outputs = world.settle();
    let [Output::Injection(pauses), Output::CarriedRoots(_)] = outputs.as_slice() else {
        panic!("{outputs:#?}")
    };
    assert_eq!(paused_in(pauses), [("shop", BAD_IMAGE, 0)]);
    assert_eq!(metric(&world, "injection_paused{"), ["injection_paused{namespace=\"shop\"} 1"]);
    assert_eq!(told(&mut world), None, "once");

    world.engine.lead(Some(2), world.now());
    assert_eq!(told(&mut world), None, "it goes on with what it knows");
    assert!(on_pods(&world).is_empty(), "who led before has told of it");
    world.pass(60);
    assert_eq!(paused_in(&told(&mut world).expect("a trial")), [("shop", BAD_IMAGE, 2)]);
}

#[test]
fn a_trial_that_fails_waits_for_longer() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b", "c"]);
    told(&mut world);
    world.pass(60);
    told(&mut world);
    held(&mut world, "shop", &["d"]);
    assert_eq!(paused_in(&told(&mut world).expect("it is over")), [("shop", BAD_IMAGE, 0)]);
    world.pass(119);
    assert_eq!(told(&mut world), None);
    world.pass(1);
    assert_eq!(paused_in(&told(&mut world).expect("a trial")), [("shop", BAD_IMAGE, 2)], "after 2 min");
    assert_eq!(metric(&world, "injection_pauses"), ["injection_pauses_total{cause=\"Image\"} 2"]);
}

#[test]
fn an_image_that_several_namespaces_lack_pauses_all() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b"]);
    held(&mut world, "ledger", &["c"]);
    let pauses = told(&mut world).expect("it is told");
    assert_eq!(pauses.cluster.map(|pause| pause.why).as_deref(), Some(BAD_IMAGE));
    assert_eq!(metric(&world, "injection_paused{"), ["injection_paused{namespace=\"*\"} 1"]);

    // What fails otherwise is each namespace's own affair.
    let mut world = self::world();
    let create = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "m"}});
    for (namespace, name) in [("shop", "a"), ("shop", "b"), ("ledger", "c"), ("other", "d")] {
        pod(&mut world, namespace, name, &create, false);
    }
    assert_eq!(told(&mut world), None);
}

/// Whoever makes pods can make them like ours.
#[test]
fn pods_that_are_made_to_fail_pause_nobody_else() {
    for (pointer, value, own) in [
        ("/spec/initContainers/0/image", "nowhere:1", true),
        ("/spec/initContainers/0/imagePullPolicy", "Never", true),
        ("/metadata/annotations", "", false),
    ] {
        let mut world = world();
        for (namespace, name) in [("shop", "a"), ("shop", "b"), ("shop", "c"), ("ledger", "d")] {
            let mut pod = pod_with(&world, namespace, name, &pull(), false);
            *pod.pointer_mut(pointer).unwrap() = if value.is_empty() { json!({}) } else { json!(value) };
            world.apply::<SlimPod>(pod);
        }
        let pauses = told(&mut world).unwrap_or_default();
        assert_eq!(pauses.cluster, None, "{pointer}");
        let expected: &[&str] = if own { &["shop"] } else { &[] };
        let paused: Vec<&str> = pauses.namespaces.keys().map(String::as_str).collect();
        assert_eq!(paused, expected, "{pointer}: its own namespace at most");
    }
}

#[test]
fn a_pod_that_is_deleted_or_finished_fails_no_more() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b"]);
    world.take(Input::Watch(WatchEvent::Deleted(Kind::Pod, ObjectKey::new("shop", "a"))));
    held(&mut world, "shop", &["c"]);
    assert_eq!(told(&mut world), None);
    held(&mut world, "shop", &["a"]);
    assert!(told(&mut world).is_some(), "it is a new one");
}

#[test]
fn a_namespace_that_is_gone_is_paused_no_more() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b", "c"]);
    told(&mut world);
    world.take(Input::Watch(WatchEvent::Deleted(Kind::Namespace, ObjectKey::new("", "shop"))));
    assert_eq!(told(&mut world), Some(Pauses::default()));
    assert_eq!(metric(&world, "injection_paused{"), [""; 0]);
}

#[test]
fn crashes_beside_running_pods_count_when_most_crash() {
    let mut world = world();
    for name in ["a", "b", "c", "d"] {
        pod(&mut world, "shop", name, &running(), true);
    }
    world.pass(30);
    assert_eq!(told(&mut world), None);
    for name in ["a", "b"] {
        pod(&mut world, "shop", name, &crash(), true);
    }
    assert_eq!(told(&mut world), None, "two");
    pod(&mut world, "shop", "c", &crash(), true);
    let pauses = told(&mut world).expect("three of four");
    assert!(
        paused_in(&pauses)[0].1.starts_with("the sidecar's container ends again and again"),
        "{pauses:?}"
    );
    assert_eq!(metric(&world, "injection_pauses"), ["injection_pauses_total{cause=\"Crash\"} 1"]);
}

#[test]
fn what_pods_show_is_enough_after_a_restart() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b", "c"]);
    told(&mut world);
    let mut world = world.restarted();
    assert_eq!(paused_in(&told(&mut world).expect("at once")), [("shop", BAD_IMAGE, 0)]);
}

#[test]
fn covered_names_the_pause_and_its_cause_in_words_that_stay() {
    let covered = |world: &World| world.last().condition(COVERED).expect("it is there").message.clone();
    let mut world = world();
    held(&mut world, "shop", &["a", "b", "c"]);
    world.pod("plain", "web", "n1", "10.244.0.66", false);
    world.settle_and_store();
    let message = covered(&world);
    for words in ["without the sidecar", "injection is paused", BAD_IMAGE, "rollout restart"] {
        assert!(message.contains(words), "{words} in {message}");
    }
    let back_off = json!({"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}});
    pod(&mut world, "shop", "a", &back_off, false);
    world.pass(60);
    world.tick();
    world.settle_and_store();
    assert_eq!(covered(&world), message, "neither a trial nor other words of the kubelet are news");
    pod(&mut world, "shop", "d", &running(), true);
    world.pass(10);
    world.tick();
    world.settle_and_store();
    assert!(!covered(&world).contains("paused"), "{}", covered(&world));
}

#[test]
fn a_pause_is_told_while_watches_are_interrupted() {
    let mut world = world();
    world.take(Input::Watch(WatchEvent::Interrupted(Kind::NetworkPolicy)));
    held(&mut world, "shop", &["a", "b", "c"]);
    assert!(told(&mut world).is_some(), "pods that are made now need it");
}

/// A pod of a Job: our container ends with it.
fn finished(world: &mut World, name: &str) {
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    world.apply::<SlimPod>(json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "app"}],
            "initContainers": [{"name": "peerwalk", "restartPolicy": "Always"}]},
        "status": {"phase": "Succeeded", "initContainerStatuses": [{"name": "peerwalk", "state": ended}]},
    }));
}

#[test]
fn a_pod_that_ran_to_its_end_shows_that_the_sidecar_starts_however_short_it_was() {
    let mut world = world();
    pod(&mut world, "shop", "long", &running(), true);
    world.pass(30);
    held(&mut world, "shop", &["a", "b", "c"]);
    assert!(told(&mut world).is_some());
    world.pass(60);
    assert_eq!(paused_in(&told(&mut world).expect("a trial")), [("shop", BAD_IMAGE, 2)]);
    finished(&mut world, "long");
    assert_eq!(told(&mut world), None, "it started before anything failed");
    pod(&mut world, "shop", "never", &json!({}), false);
    finished(&mut world, "never");
    assert_eq!(told(&mut world), None, "of it nobody knows");
    world.pass(5);
    pod(&mut world, "shop", "short", &running(), true);
    world.pass(2);
    finished(&mut world, "short");
    assert_eq!(told(&mut world), Some(Pauses::default()), "three pods are still held");
    assert_eq!(on_pods(&world).last(), Some(&("short".to_owned(), "InjectionResumed".to_owned())));

    // One pod that is held opens nothing while later ones run to their end.
    held(&mut world, "shop", &["d"]);
    for n in 0..10 {
        let name = format!("job-{n}");
        world.pass(25);
        pod(&mut world, "shop", &name, &running(), true);
        world.pass(5);
        finished(&mut world, &name);
        assert_eq!(told(&mut world), None, "{name}");
    }
    world.pass(121);
    assert!(told(&mut world).is_some(), "what they showed is of long ago");
}

#[test]
fn a_pause_is_forgotten_when_the_clock_is_set() {
    let mut world = world();
    held(&mut world, "shop", &["a", "b"]);
    held(&mut world, "ledger", &["c"]);
    held(&mut world, "other", &["d", "e", "f"]);
    told(&mut world);
    assert_eq!(metric(&world, "injection_paused{").len(), 2, "in one of them, and in all");
    for (namespace, name) in
        [("shop", "a"), ("shop", "b"), ("ledger", "c"), ("other", "d"), ("other", "e"), ("other", "f")]
    {
        world.take(Input::Watch(WatchEvent::Deleted(Kind::Pod, ObjectKey::new(namespace, name))));
    }
    world.engine.clock_set(world.now);
    assert_eq!(told(&mut world), Some(Pauses::default()));
    assert_eq!(metric(&world, "injection_paused{"), [""; 0]);
}

/// A webhook keeps room for pods that are still to come, whoever leads.
#[test]
fn each_replica_tells_its_webhook_how_many_pods_a_controller_has() {
    let mut world = world();
    let made = |outputs: Vec<Output>| -> Vec<String> {
        let told = outputs.into_iter().filter_map(|output| match output {
            Output::Made { namespace, controller, pods } => Some(format!("{namespace} {controller} {pods}")),
            _ => None,
        });
        told.collect()
    };
    for (name, term, expected) in [("a", Some(1), "shop a1 1"), ("b", None, "shop a1 2")] {
        world.engine.lead(term, world.now());
        let mut pod = pod_with(&world, "shop", name, &running(), true);
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "w", "uid": "a1", "controller": true}]);
        world.apply::<SlimPod>(pod);
        assert_eq!(made(world.settle()), [expected], "led in term {term:?}");
        assert_eq!(made(world.settle()), [""; 0], "once");
    }
}
