//! Outcomes of pairs and the words for them.

use peerwalk_api::ConnectivityCheckStatus;
use peerwalk_api::condition::{COVERED, READY};
use peerwalk_model::evidence::{Dial, DialPurpose, LocalTrouble};

use super::world::acts::{cache, cache_connected, db, ready, refused};
use super::*;
use crate::cluster::decode::SlimPod;

#[test]
fn a_failure_stands_by_its_own_words_until_it_is_met_often_enough() {
    let mut world = World::shop();
    world.check(&json!({"successThreshold": 3}));
    world.attach("web-1");
    world.settle_and_store();
    world.fail("web-1");
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));
    for n in 1..=2 {
        world.walk_repeated("web-1", world::connected(), n);
        assert_eq!(world.status_after_settle(), None, "success {n} of 3 is no news");
        world.pass(10);
    }
    world.walk_repeated("web-1", world::connected(), 3);
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
}

#[test]
fn a_void_walk_is_no_recovery() {
    let mut world = World::shop();
    world.check(&json!({"successThreshold": 3}));
    world.attach("web-1");
    world.settle_and_store();
    world.fail("web-1");
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));
    world.walk_with("web-1", world::connected(), |walk| {
        walk.local = Some(LocalTrouble { what: "descriptors".into(), errno: 24 });
    });
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "LocalResources"), "{:#?}", world.last());
    for n in 1..=2 {
        world.walk_repeated("web-1", world::connected(), n);
        world.settle_and_store();
        assert_eq!(ready(world.last()), ("Unknown", "Probing"), "success {n} of 3: {:#?}", world.last());
        let message = &world.last().condition(READY).unwrap().message;
        assert!(message.contains("successThreshold"), "what it waits for: {message}");
        world.pass(10);
    }
    world.walk_repeated("web-1", world::connected(), 3);
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
}

#[test]
fn the_beginning_of_a_diagnosis_is_no_news_while_the_service_connects() {
    // The Service connects, and one endpoint of several is silent: each diagnosis says so before its end.
    let mut world = World::good();
    let one_silent = || {
        let mut dials = world::connected();
        dials.extend(world::silent_with_control().into_iter().filter(|d| d.purpose == DialPurpose::Endpoint));
        dials
    };
    world.walk("web-1", one_silent());
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "{:#?}", world.last());
    for _ in 0..3 {
        world.live(50);
        let before = world.last().clone();
        world.walk_with("web-1", one_silent(), |walk| walk.interim = true);
        assert_eq!(world.status_after_settle(), None, "an interim report changes nothing");
        world.walk("web-1", one_silent());
        assert_eq!(world.status_after_settle(), None, "and neither does the end: {before:#?}");
    }
}

#[test]
fn what_should_be_denied_and_is_not_has_a_reason_of_the_catalogue() {
    let mut world = World::shop();
    let mut denied = db();
    denied["expect"] = json!("Denied");
    world.check_with_target(denied);
    world.attach("web-1");
    world.walk("web-1", world::connected());
    let status = world.status_after_settle().unwrap();
    assert_eq!(ready(&status), ("False", "UnexpectedlyReachable"), "{status:#?}");
    assert!("UnexpectedlyReachable".parse::<peerwalk_model::Reason>().is_ok(), "documented as such");
    assert_eq!(status.targets[0].reason.as_deref(), Some("UnexpectedlyReachable"), "in the row as well");
    assert!(
        status.targets[0].message.contains("connect"),
        "and what was reached: {}",
        status.targets[0].message
    );
}

#[test]
fn targets_keep_what_is_known_of_them_wherever_they_stand() {
    let mut world = World::two_targets();
    world.attach("web-1");
    world.walk_to("web-1", "cache", cache_connected());
    world.walk_to("web-1", "db", refused());
    world.live(40);
    assert_eq!(ready(world.last()), ("False", "ConnectionRefused"));
    for targets in [json!([cache(), db()]), json!([db(), cache()]), json!([cache()])] {
        world.check(&json!({"targets": targets}));
        world.settle_and_store();
        let good = world.last().targets.iter().find(|row| row.name == "cache").expect("a row");
        assert_eq!(good.outcome, peerwalk_api::status::Outcome::AsExpected, "{targets}");
        let bad = world.last().targets.iter().find(|row| row.name == "db").map(|row| row.outcome);
        assert!(bad.is_none_or(|o| o == peerwalk_api::status::Outcome::Failed), "{targets}: {bad:?}");
    }
    assert_eq!(ready(world.last()), ("True", "AsExpected"), "what failed is no longer asked for");
}

#[test]
fn missing_roots_concern_the_check_that_asks_for_them() {
    let mut world = World::good();
    let key = |name: &str| ObjectKey::new("shop", name);
    world.take(Input::Roots(
        key("others"),
        "ca.crt".into(),
        RootsRead::Missing("there is no such ConfigMap".into()),
    ));
    assert_eq!(world.settle(), vec![], "another check asks for that ConfigMap");

    world.check_with_target(json!({
        "name": "api", "url": "https://10.96.0.7:5432/",
        "tls": {"caBundle": {"configMap": {"name": "mine", "key": "ca.crt"}}},
    }));
    world.take(Input::Roots(
        key("mine"),
        "other.crt".into(),
        RootsRead::Missing("it has no such entry".into()),
    ));
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "Probing"), "another entry: {:#?}", world.last());
    world.take(Input::Roots(key("mine"), "ca.crt".into(), RootsRead::Missing("it has no such entry".into())));
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("Unknown", "NotProven"));
    let message = &world.last().condition(READY).unwrap().message;
    assert!(message.contains("mine") && message.contains("ca.crt"), "named: {message}");
}

#[test]
fn what_is_not_allowed_is_told_with_what_helps() {
    let message = |world: &World| world.last().condition(READY).unwrap().message.clone();
    for (url, words) in [
        ("http://192.0.2.7/", "ask for it to be added to allowedTargets"),
        ("http://169.254.169.254/latest", "never dialled; correct the url"),
        ("http://[::1]:8080/", "never dialled; correct the url"),
    ] {
        let mut world = World::shop();
        world.check_with_target(json!({"name": "x", "url": url}));
        world.settle_and_store();
        assert_eq!(ready(world.last()), ("False", "TargetNotAllowed"));
        assert!(message(&world).contains(words), "{url}: {}", message(&world));
    }

    let mut world = World::shop();
    world.attach("web-1");
    let not_allowed = Dial {
        purpose: peerwalk_model::evidence::DialPurpose::Address,
        ..world::dial("169.254.169.254:5432", DialOutcome::NotAllowed)
    };
    world.walk("web-1", vec![not_allowed]);
    world.settle_and_store();
    assert_eq!(ready(world.last()), ("False", "TargetNotAllowed"), "{:#?}", world.last());
    let message = message(&world);
    assert!(message.contains("169.254.169.254 may not be dialled"), "the sidecar's own words: {message}");
}

#[test]
fn since_is_when_the_outcome_changed_and_not_its_reason() {
    let mut world = World::failed();
    let row = |world: &World| world.last().targets[0].clone();
    let before = row(&world);
    world.live(60);
    world.policy("ledger", "deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.live(60);
    world.attach_in("ledger", "db-0");
    world.walk("web-1", world::silent_with_control());
    world.pass(2);
    world.heartbeat_in("ledger", "db-0");
    world.settle_and_store();
    let after = row(&world);
    assert_eq!(
        (before.reason.as_deref(), after.reason.as_deref()),
        (Some("ConnectionRefused"), Some("PolicyDenied"))
    );
    assert_eq!(before.since, after.since, "it has failed all the time");
    assert_ne!(before.samples, after.samples, "what is shown is what is said");
}

#[test]
fn who_never_attached_does_not_report() {
    let mut world = World::good();
    let reporting = |status: &ConnectivityCheckStatus| status.summary.as_ref().map(|s| (s.pods, s.reporting));
    world.web("web-2", 6, "old");
    world.settle_and_store();
    assert_eq!(reporting(world.last()), Some((2, 1)), "it has time to attach, and has not");
    world.attach("web-2");
    world.settle_and_store();
    assert_eq!(reporting(world.last()), Some((2, 2)));
    world.sidecar(SidecarEvent::Detached(world::id("shop", "web-2")));
    assert_eq!(world.status_after_settle(), None, "one that may come back in a moment is no news");
    world.live(31);
    assert_eq!(reporting(world.last()), Some((2, 1)), "it did not come back");
}

#[test]
fn pods_that_cannot_have_the_sidecar_are_told_apart() {
    let pod = |world: &mut World, name: &str, spec: serde_json::Value| {
        world.apply::<SlimPod>(json!({
            "metadata": {"namespace": "shop", "name": name, "uid": name,
                "labels": {"app": "web", "pod-template-hash": name}},
            "spec": spec, "status": {"phase": "Running"},
        }));
    };
    let messages = |world: &mut World| {
        world.settle_and_store();
        [READY, COVERED].map(|condition| {
            let condition = world.last().condition(condition).expect("it is there");
            assert_eq!(condition.reason, "NotInjected", "{condition:?}");
            condition.message.clone()
        })
    };
    let cannot = "share their node's network or run Windows and cannot have it: leave them out";
    for spec in [
        json!({"hostNetwork": true}),
        json!({"os": {"name": "windows"}}),
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
    ] {
        let mut world = World::good();
        world.pod_gone("web-1");
        pod(&mut world, "never", spec.clone());
        for message in messages(&mut world) {
            assert!(message.contains(cannot) && !message.contains("restart"), "{spec}: {message}");
        }
        pod(&mut world, "not-yet", json!({"nodeSelector": {"kubernetes.io/os": "linux"}}));
        for message in messages(&mut world) {
            let both = message.contains("1 of them share") && message.contains("kubectl rollout restart");
            assert!(both, "{spec}: {message}");
        }
        // Where one template is covered, the other one is told by its own.
        world.web("web-1", 5, "old");
        world.attach("web-1");
        world.walk("web-1", world::connected());
        let [ready, _] = messages(&mut world);
        assert!(ready.contains("of one template has the sidecar; they share"), "{spec}: {ready}");
    }
}
