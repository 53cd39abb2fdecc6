//! What one sidecar tells that proves something for others: no more than it was asked for and policies admit,
//! and for as long as it goes on.

use peerwalk_model::evidence::{Dial, DialPurpose};

use super::*;
use crate::cluster::decode::SlimEndpointSlice;
use crate::engine::sightings::Path;

const DB: &str = "10.244.1.8:5432";

/// When web-1 was last seen to connect to an address, as an admitted source.
fn admitted(world: &World, address: &str) -> Option<Timestamp> {
    let nobody = world::id("shop", "nobody");
    let sighting = world.engine.sightings.admitted(address.parse().unwrap(), &nobody, None)?;
    assert_eq!(sighting.who, "shop/web-1");
    Some(sighting.at)
}

fn path(world: &World) -> Option<Timestamp> {
    let path = Path { from: "n1".into(), to: "n2".into(), v4: true };
    world.engine.sightings.path(&path).map(|sighting| sighting.at)
}

fn dial(purpose: DialPurpose, remote: &str) -> Dial {
    Dial { purpose, ..world::dial(remote, DialOutcome::Connected { local_peer: None }) }
}

#[test]
fn only_what_was_planned_is_taken() {
    for (about, dial, is_admitted, is_path) in [
        ("its endpoint", dial(DialPurpose::Endpoint, DB), true, true),
        ("its endpoint at another port", dial(DialPurpose::Endpoint, "10.244.1.8:80"), false, false),
        ("another pod", dial(DialPurpose::Endpoint, "10.244.1.9:8080"), false, false),
        ("its control", dial(DialPurpose::Control, "10.244.1.9:8080"), false, true),
        ("another control", dial(DialPurpose::Control, "10.244.1.200:9443"), false, false),
        ("an address that no name of its led to", dial(DialPurpose::Address, DB), false, false),
    ] {
        let mut world = World::shop();
        world.settle();
        world.pass(10);
        let remote = dial.remote.to_string();
        world.walk("web-1", vec![dial]);
        let found = (admitted(&world, &remote).is_some(), path(&world).is_some());
        assert_eq!(found, (is_admitted, is_path), "{about}");
    }
}

#[test]
fn a_url_proves_within_its_scope() {
    for (url, allow, remote, expected) in [
        ("http://10.244.1.8:5432/", "192.0.2.0/24", DB, true),
        ("http://10.244.1.8:5432/", "192.0.2.0/24", "10.244.1.9:5432", false),
        ("http://example.com/", "example.com", "192.0.2.7:80", true),
        ("http://example.com/", "example.com", "10.244.1.8:80", false),
    ] {
        let mut world = World::shop();
        world.engine.settings.allow = [allow.parse().unwrap()].into_iter().collect();
        world.check_with_target(json!({"name": "x", "url": url}));
        world.settle();
        world.pass(10);
        world.walk("web-1", vec![dial(DialPurpose::Address, remote)]);
        assert_eq!(admitted(&world, remote).is_some(), expected, "{url} at {remote}");
    }
}

#[test]
fn a_connection_against_the_policies_admits_nobody() {
    let mut world = World::shop();
    world.policy("ledger", "deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.settle();
    world.pass(10);
    world.walk("web-1", world::connected());
    assert_eq!(admitted(&world, DB), None, "the policies deny it");
    assert!(path(&world).is_some(), "the path is whole all the same");
    world.policy_gone("ledger", "deny");
    world.settle();
    world.walk("web-1", world::connected());
    assert_eq!(admitted(&world, DB), Some(world.now().plus(Duration::from_millis(1))), "now they admit it");
}

#[test]
fn a_decision_that_came_later_admits_nobody_before() {
    let mut world = World::shop();
    world.policy("ledger", "deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.settle();
    world.pass(10);
    let before = world.now();
    world.pass(10);
    world.policy_gone("ledger", "deny");
    world.settle();
    world.walk_with("web-1", world::connected(), |walk| {
        for dial in &mut walk.connect.as_mut().unwrap().dials {
            dial.started = before;
        }
    });
    assert_eq!(admitted(&world, DB), None, "it was denied when it connected");
}

/// The endpoints of ledger/db.
fn endpoints(world: &mut World, ips: &[&str]) {
    let endpoints: Vec<_> = ips
        .iter()
        .map(|ip| {
            json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": "n2",
                "targetRef": {"kind": "Pod", "name": format!("db-{ip}")}})
        })
        .collect();
    world.apply::<SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "ledger", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "main", "port": 5432, "protocol": "TCP"}],
    }));
    world.settle();
}

fn beat(world: &mut World) {
    world.pass(10);
    world.heartbeat("web-1");
    world.settle();
}

#[test]
fn a_steady_connection_goes_on_proving() {
    let mut world = World::shop();
    world.attach("web-1");
    world.walk("web-1", world::connected());
    for _ in 0..60 {
        beat(&mut world);
        for (what, at) in [("admitted", admitted(&world, DB)), ("path", path(&world))] {
            let age = world.now().since(at.expect("it was seen"));
            assert!(age <= Duration::from_secs(10), "{what} {age:?} ago, though the walks go on");
        }
    }
    world.pass(301);
    world.tick();
    world.settle();
    assert_eq!((admitted(&world, DB), path(&world)), (None, None), "without heartbeats it ends");
}

#[test]
fn endpoints_in_turn_are_proven_once_each_had_its_turn() {
    const OTHER: &str = "10.244.1.18:5432";
    let mut world = World::shop();
    endpoints(&mut world, &["10.244.1.8", "10.244.1.18"]);
    world.pass(60);
    world.attach("web-1");
    world.walk("web-1", world::connected());
    assert_eq!(admitted(&world, OTHER), None, "one walk dials one of them");
    beat(&mut world);
    beat(&mut world);
    let expected = world.now().minus(Duration::from_secs(10 + 5));
    for endpoint in [DB, OTHER] {
        assert_eq!(
            admitted(&world, endpoint),
            Some(expected),
            "{endpoint} had its turn in the last two walks"
        );
    }

    endpoints(&mut world, &["10.244.1.8", "10.244.1.28"]);
    beat(&mut world);
    assert_eq!(admitted(&world, "10.244.1.28:5432"), None, "a new one has not had its turn");
    beat(&mut world);
    assert!(admitted(&world, "10.244.1.28:5432").is_some(), "now it has");
}

#[test]
fn a_failing_walk_says_nothing_of_endpoints_it_may_not_have_dialled() {
    let mut world = World::shop();
    world.pod_in("ledger", "db-1", "db", "n2", "10.244.1.18", false, "t", 5432);
    endpoints(&mut world, &["10.244.1.8", "10.244.1.18"]);
    world.pass(60);
    world.attach("web-1");
    let refused = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    world.walk("web-1", vec![dial(DialPurpose::Endpoint, DB), world::dial("10.244.1.18:5432", refused)]);
    let seen = admitted(&world, DB).expect("it connected in the walk that was sent");
    beat(&mut world);
    beat(&mut world);
    assert_eq!(admitted(&world, DB), Some(seen), "whether it does again is not told");
    let again = world.now().minus(Duration::from_secs(5));
    assert_eq!(path(&world), Some(again), "what refused is named by the signature, and shows the path");
}

#[test]
fn an_endpoint_whose_pod_does_not_exist_any_more_is_told_as_that() {
    for (about, expected) in [
        ("the pod is deleted", "PodGone likely"),
        ("the pod has another address", "PodGone likely"),
        ("the pod is there", "ConnectTimeout likely"),
        ("another pod has the address", "ConnectTimeout likely"),
        ("pods are not heard of", "ConnectTimeout likely"),
        ("the endpoint is new", "ConnectTimeout suspected"),
    ] {
        let mut world = World::shop();
        world.attach("web-1");
        world.settle_and_store();
        world.pass(60);
        world.tick();
        let gone = || Input::Watch(WatchEvent::Deleted(Kind::Pod, ObjectKey::new("ledger", "db-0")));
        match about {
            "the pod has another address" => {
                world.pod_in("ledger", "db-0", "db", "n2", "10.244.1.77", true, "t", 5432);
            }
            "the pod is there" => {}
            _ => {
                world.take(gone());
            }
        }
        match about {
            "another pod has the address" => {
                world.pod_in("ledger", "db-9", "x", "n2", "10.244.1.8", true, "t", 5432);
            }
            "pods are not heard of" => {
                world.take(Input::Watch(WatchEvent::Interrupted(Kind::Pod)));
                world.pass(60);
            }
            "the endpoint is new" => {
                world.service("ledger", "db", "10.96.0.7", 5433, "db-0", "n2", "10.244.1.8");
                world.service("ledger", "db", "10.96.0.7", 5432, "db-0", "n2", "10.244.1.8");
            }
            _ => {}
        }
        world.settle_and_store();
        world.pass(3);
        world.walk("web-1", world::silent_with_control());
        world.settle();
        assert_eq!(world.verdict(), expected, "{about}");
    }
}

#[test]
fn who_connected_before_a_dial_of_a_minute_ago_is_still_known() {
    let mut world = World::shop();
    world.settle();
    let begun = world.now();
    for _ in 0..6 {
        world.pass(10);
        world.walk("web-1", vec![dial(DialPurpose::Endpoint, DB)]);
    }
    let nobody = world::id("shop", "nobody");
    let found = |last| {
        let run = Some((begun, begun.plus(Duration::from_secs(last))));
        let sighting = world.engine.sightings.admitted(DB.parse().unwrap(), &nobody, run);
        sighting.map(|sighting| sighting.at.since(begun).as_secs())
    };
    assert_eq!([15, 35, 100].map(found), [Some(10), Some(30), Some(60)]);
}
