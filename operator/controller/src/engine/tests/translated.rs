//! Addresses that lead into the cluster and are no Service's own: those of load balancers, external ones, ports of
//! nodes. Where they are translated is up to the data plane, so nobody knows what policies are asked about.

use peerwalk_model::evidence::{Dial, DialPurpose, Request, RequestOutcome, Tls, TlsOutcome};

use super::*;
use crate::cluster::decode::{SlimPod, SlimService};
use crate::cluster::flow::Destination;

/// An ingress behind a load balancer, on a port of each node, at an external address; with a `hostPort` too.
fn ingress(world: &mut World) {
    world.pod_in("ledger", "ingress-0", "ingress", "n2", "10.244.1.20", false, "t", 8443);
    world.service("ledger", "ingress", "10.96.0.20", 443, "ingress-0", "n2", "10.244.1.20");
    world.apply::<SlimPod>(json!({
        "metadata": {"namespace": "ledger", "name": "edge", "uid": "uid-edge"},
        "spec": {"nodeName": "n2", "containers": [{"name": "app", "ports": [
            {"containerPort": 8080, "hostPort": 8081},
        ]}]},
        "status": {"phase": "Running", "podIP": "10.244.1.21", "podIPs": [{"ip": "10.244.1.21"}]},
    }));
    world.apply::<SlimPod>(json!({
        "metadata": {"namespace": "ledger", "name": "agent", "uid": "uid-agent"},
        "spec": {"nodeName": "n2", "hostNetwork": true, "containers": [{"name": "app", "ports": [
            {"containerPort": 9100, "hostPort": 9100},
        ]}]},
        "status": {"phase": "Running", "podIP": "10.90.0.2", "podIPs": [{"ip": "10.90.0.2"}]},
    }));
}

fn balanced(world: &mut World) {
    world.apply::<SlimService>(json!({
        "metadata": {"namespace": "ledger", "name": "ingress"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"],
            "externalIPs": ["198.51.100.7"],
            "ports": [{"name": "main", "port": 443, "protocol": "TCP", "nodePort": 30443}]},
        "status": {"loadBalancer": {"ingress": [
            {"ip": "192.0.2.7", "ipMode": "VIP"}, {"ip": "192.0.2.8", "ipMode": "Proxy"}, {"hostname": "a.example"},
        ]}},
    }));
}

#[test]
fn no_decision_is_made_for_what_may_be_translated() {
    let mut world = World::shop();
    ingress(&mut world);
    balanced(&mut world);
    let index = &world.engine.index;
    let source = index.pod(&ObjectKey::new("shop", "web-1")).unwrap();
    for (about, address, expected) in [
        ("a load balancer", "192.0.2.7:443", false),
        ("a load balancer that is a proxy", "192.0.2.8:443", false),
        ("an external address", "198.51.100.7:443", false),
        ("a port of the load balancer that leads nowhere", "192.0.2.7:80", true),
        ("a port of a node that is a Service's", "10.90.0.1:30443", false),
        ("a port of the node that leads to a pod", "10.90.0.2:8081", false),
        ("the same port of another node", "10.90.0.1:8081", true),
        ("the node itself", "10.90.0.2:10250", true),
        ("a host-network pod", "10.90.0.2:9100", true),
        ("the world outside", "192.0.2.9:443", true),
        ("a pod", "10.244.1.20:443", true),
    ] {
        let to = Destination::direct(address.parse().unwrap());
        assert_eq!(crate::decisions::once(index, source, to).is_some(), expected, "{about}");
    }
    let translated =
        Destination::endpoint("10.90.0.1:30443".parse().unwrap(), Some("10.96.0.1:443".parse().unwrap()));
    assert!(crate::decisions::once(index, source, translated).is_some(), "what a Service led to stays there");
}

/// Egress of the shop to the ingress pods alone.
fn only_to_ingress() -> serde_json::Value {
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "ingress"}}},
    ]}]})
}

/// Egress of the shop to the world outside.
fn only_outside() -> serde_json::Value {
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}},
    ]}]})
}

fn dialled(outcome: DialOutcome) -> Vec<Dial> {
    vec![Dial { purpose: DialPurpose::Address, ..world::dial("192.0.2.7:443", outcome) }]
}

fn answered(walk: &mut Walk) {
    let elapsed = Duration::from_millis(2);
    walk.tls = Some(Tls { server_name: "app.example.com".into(), outcome: TlsOutcome::Established, elapsed });
    walk.request = Some(Request {
        method: peerwalk_model::plan::HttpMethod::Head,
        url: "https://app.example.com/".into(),
        status_below: 500,
        outcome: RequestOutcome::Status(200),
        elapsed,
    });
}

fn rejected() -> DialOutcome {
    let offender = Some("10.90.0.1".parse().unwrap());
    let error = IcmpError { v6: false, kind: 3, code: 13, offender };
    DialOutcome::Failed { errno: 113, immediate: false, queue: vec![error] }
}

#[test]
fn an_ingress_behind_its_load_balancer_breaks_no_policy() {
    type Case = (&'static str, serde_json::Value, fn() -> DialOutcome, fn(&mut Walk), [&'static str; 2]);
    let cases: [Case; 2] = [
        (
            "the pods behind it are admitted, the address itself is not",
            only_to_ingress(),
            || DialOutcome::Connected { local_peer: None },
            answered,
            ["PolicyNotEnforced confirmed", "Reachable confirmed"],
        ),
        (
            "the address itself is admitted, the pods behind it are not",
            only_outside(),
            rejected,
            |_| {},
            ["Filtered confirmed", "Filtered likely"],
        ),
    ];
    for (about, policy, outcome, more, expected) in cases {
        for (balances, expected) in [false, true].into_iter().zip(expected) {
            let mut world = World::shop();
            ingress(&mut world);
            if balances {
                balanced(&mut world);
            }
            world.policy("shop", "egress", &policy);
            world.engine.settings.allow = ["app.example.com".parse().unwrap()].into_iter().collect();
            world.check_with_target(json!({"name": "app", "url": "https://app.example.com/"}));
            world.attach("web-1");
            world.pass(60);
            world.walk_with("web-1", dialled(outcome()), more);
            world.settle();
            world.live(40);
            assert_eq!(world.verdict(), expected, "{about}, balanced {balances}: {}", world.explanation());
        }
    }
}

#[test]
fn what_was_decided_of_an_address_ends_when_it_is_given_to_a_load_balancer() {
    let mut world = World::shop();
    ingress(&mut world);
    world.policy("shop", "egress", &only_to_ingress());
    world.engine.settings.allow = ["app.example.com".parse().unwrap()].into_iter().collect();
    world.check_with_target(json!({"name": "app", "url": "https://app.example.com/"}));
    world.attach("web-1");
    world.pass(60);
    world.walk_with("web-1", dialled(DialOutcome::Connected { local_peer: None }), answered);
    world.settle();
    world.live(40);
    assert_eq!(world.verdict(), "PolicyNotEnforced confirmed");
    balanced(&mut world);
    world.settle();
    assert_eq!(world.verdict(), "Reachable confirmed", "{}", world.explanation());
}
