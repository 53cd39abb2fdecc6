//! How old decisions and pods are taken to be: no verdict is surer than the past is known.

use peerwalk_model::evidence::{Request, RequestOutcome, Tls, TlsOutcome};

use super::*;
use crate::cluster::decode::SlimPod;

fn answered(walk: &mut Walk) {
    let elapsed = Duration::from_millis(2);
    walk.tls = Some(Tls { server_name: "db.ledger.svc".into(), outcome: TlsOutcome::Established, elapsed });
    walk.request = Some(Request {
        method: peerwalk_model::plan::HttpMethod::Head,
        url: "http://db.ledger.svc:5432/".into(),
        status_below: 500,
        outcome: RequestOutcome::Status(200),
        elapsed: Duration::from_millis(2),
    });
}

/// A target that has to be denied, with an exchange that proves who answered.
fn expect_denied() -> serde_json::Value {
    json!({
        "name": "db", "expect": "Denied", "http": {},
        "service": {"name": "db", "namespace": "ledger", "port": 5432},
    })
}

fn default_deny() -> serde_json::Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"]})
}

/// What is said of a connection a second from now, and of one when a watch that is dead would have been noticed.
fn now_and_later(world: &mut World) -> [String; 2] {
    [1, 30].map(|seconds| {
        world.pass(seconds);
        world.heartbeat("web-1");
        world.walk_with("web-1", world::connected(), answered);
        world.settle();
        world.verdict()
    })
}

#[test]
fn what_policies_said_before_the_operator_began_is_not_known() {
    let mut world = World::shop_unlisted();
    world.policy("ledger", "default-deny", &default_deny());
    world.list();
    world.check_with_target(expect_denied());
    world.attach("web-1");
    let [now, later] = now_and_later(&mut world);
    assert_eq!(now, "PolicyNotEnforced suspected", "the policy may have come a second before the operator");
    assert_eq!(later, "PolicyNotEnforced confirmed", "by now it is in force for long enough");
}

#[test]
fn a_check_that_comes_with_its_policy_is_no_older_than_it() {
    let mut world = World::shop_unchecked();
    world.list();
    world.settle();
    world.pass(3600);
    world.policy("ledger", "default-deny", &default_deny());
    world.check_with_target(expect_denied());
    world.attach("web-1");
    let [now, later] = now_and_later(&mut world);
    assert_eq!(now, "PolicyNotEnforced suspected", "data planes take time");
    assert_eq!(later, "PolicyNotEnforced confirmed");
}

#[test]
fn a_check_that_comes_long_after_its_policy_takes_it_as_old() {
    let mut world = World::shop_unchecked();
    world.list();
    world.policy("ledger", "default-deny", &default_deny());
    world.settle();
    world.pass(3600);
    world.check_with_target(expect_denied());
    world.attach("web-1");
    let [now, later] = now_and_later(&mut world);
    assert_eq!(now, "PolicyNotEnforced likely", "one walk may have been before an event that is on its way");
    assert_eq!(later, "PolicyNotEnforced confirmed");
}

#[test]
fn labels_that_a_policy_selects_by_are_as_young_as_the_policy() {
    for (about, app, expected) in [
        ("another label", "other", "PolicyNotEnforced suspected"),
        ("the same label", "db", "PolicyNotEnforced likely"),
    ] {
        let mut world = World::shop_unchecked();
        world.list();
        world.policy("ledger", "default-deny", &default_deny());
        world.settle();
        world.pass(3600);
        world.apply::<SlimPod>(pod("db-0", app, Some("10.244.1.8")));
        world.check_with_target(expect_denied());
        world.attach("web-1");
        let [now, _] = now_and_later(&mut world);
        assert_eq!(now, expected, "{about}");
    }
}

/// A pod that was made and taken on long before the tests begin.
fn pod(name: &str, app: &str, ip: Option<&str>) -> serde_json::Value {
    let ips: Vec<_> = ip.into_iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "metadata": {
            "namespace": "ledger", "name": name, "uid": format!("uid-{name}"),
            "labels": {"app": app, "pod-template-hash": "t"},
            "creationTimestamp": "2027-01-01T00:00:00Z",
        },
        "spec": {
            "nodeName": "n2", "containers": [{"name": "app", "ports": [{"containerPort": 5432}]}],
            "initContainers": [{"name": "peerwalk", "restartPolicy": "Always"}],
        },
        "status": {
            "phase": if ip.is_some() { "Running" } else { "Pending" },
            "startTime": "2027-01-01T00:00:10Z", "podIPs": ips,
            "conditions": [{"type": "Ready", "status": if ip.is_some() { "True" } else { "False" }}],
        },
    })
}

#[test]
fn a_pod_is_as_young_as_its_address() {
    let key = ObjectKey::new("ledger", "db-1");
    let started = |world: &World| world.engine.seen.started(world.engine.index.pod(&key).unwrap());
    let taken_on = Timestamp::from_millis(1_798_761_610_000);

    let mut listed = World::shop_unlisted();
    listed.apply::<SlimPod>(pod("db-1", "db", Some("10.244.1.20")));
    listed.list();
    assert_eq!(started(&listed), taken_on, "one that was listed is as old as the kubelet says");

    let mut world = World::shop();
    world.apply::<SlimPod>(pod("db-1", "db", None));
    assert_eq!(started(&world), taken_on, "without an address nobody reaches it");
    world.pass(600);
    world.apply::<SlimPod>(pod("db-1", "db", Some("10.244.1.20")));
    let addressed = started(&world);
    assert_eq!(addressed, listed.now().plus(Duration::from_mins(10)), "pending does not make it older");
    world.pass(600);
    world.apply::<SlimPod>(pod("db-1", "other", Some("10.244.1.20")));
    assert_eq!(started(&world), addressed, "labels do not make it younger");
}

#[test]
fn a_pod_that_just_got_its_address_is_not_blamed_by_a_settled_policy() {
    let mut world = World::shop();
    let admit = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [
        {"namespaceSelector": {}},
    ]}]});
    world.policy("ledger", "admit", &admit);
    world.apply::<SlimPod>(pod("db-1", "db", None));
    world.settle();
    world.pass(3600);
    world.apply::<SlimPod>(pod("db-1", "db", Some("10.244.1.20")));
    world.service("ledger", "db", "10.96.0.7", 5432, "db-1", "n2", "10.244.1.20");
    world.attach("web-1");
    let silent = |world: &mut World| {
        let dials = world::silent_with_control().into_iter().map(|dial| match dial.purpose {
            peerwalk_model::evidence::DialPurpose::Endpoint => {
                peerwalk_model::evidence::Dial { remote: "10.244.1.20:5432".parse().unwrap(), ..dial }
            }
            _ => dial,
        });
        let dials = dials.collect();
        world.walk("web-1", dials);
        world.settle();
        world.verdict()
    };
    world.pass(10);
    assert_eq!(silent(&mut world), "PolicyProgramming suspected", "its node may not admit it yet");
    world.pass(30);
    assert_eq!(silent(&mut world), "ConnectTimeout likely", "it had its time");
}
