//! What is on the way of a walk concerns it as much as its target: name servers, pods behind a URL, how a
//! Service is translated. And what nobody walks to any more is forgotten.

use peerwalk_model::evidence::{Dial, DialPurpose, Query, QueryOutcome, Resolve, ResolveSource, Transport};
use peerwalk_model::plan::RecordType;

use super::*;
use crate::cluster::decode::{Kind, SlimEndpointSlice, SlimPod, SlimService};

/// Cluster DNS: a Service of kube-system with these pods behind it.
fn name_server(world: &mut World, endpoints: &[&str]) {
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}]);
    world.apply::<SlimService>(json!({
        "metadata": {"namespace": "kube-system", "name": "kube-dns"},
        "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": ports},
    }));
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": "n2"}))
        .collect();
    world.apply::<SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "kube-system", "name": "kube-dns-1",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    }));
}

fn asked(walk: &mut Walk) {
    let answer: Vec<std::net::IpAddr> = vec!["10.96.0.7".parse().unwrap()];
    walk.resolve = Some(Resolve {
        name: "db.ledger.svc".into(),
        source: ResolveSource::Dns,
        answered: None,
        addresses: answer.clone(),
        queries: vec![Query {
            server: "10.96.0.10:53".parse().unwrap(),
            transport: Transport::Udp,
            name: "db.ledger.svc.cluster.local".into(),
            record: RecordType::A,
            outcome: QueryOutcome::Addresses(answer),
            elapsed: Duration::from_millis(1),
            late: None,
        }],
        elapsed: Duration::from_millis(1),
        spent: false,
        pair: None,
    });
}

/// The shop with a name server, long after its first walk.
fn resolving() -> World {
    let mut world = World::shop_unlisted();
    world.pod_in("kube-system", "dns-1", "dns", "n2", "10.244.1.53", false, "t", 53);
    name_server(&mut world, &["10.244.1.53"]);
    world.list();
    world.attach("web-1");
    world.walk_with("web-1", world::connected(), asked);
    world.settle_and_store();
    world.pass(10);
    world
}

fn is_walked(outputs: &[Output]) -> bool {
    outputs
        .iter()
        .any(|output| matches!(output, Output::WalkNow(pod, keys) if pod.name == "web-1" && !keys.is_empty()))
}

fn judged(world: &World) -> Timestamp {
    world.engine.checks.values().next().unwrap().judged
}

fn deny_all() -> serde_json::Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"]})
}

#[test]
fn changes_of_the_name_server_are_followed() {
    type Change = fn(&mut World);
    let changes: [(&str, bool, Change); 6] = [
        ("a policy denies it", true, |world| world.policy("kube-system", "deny", &deny_all())),
        ("other pods are behind it", true, |world| name_server(world, &["10.244.1.54"])),
        ("no pods are behind it", true, |world| name_server(world, &[])),
        ("another policy that decides the same", false, |world| {
            let other = json!({"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress"]});
            world.policy("kube-system", "other", &other);
        }),
        ("another Service beside it", false, |world| {
            world.service("kube-system", "metrics", "10.96.0.11", 443, "m-1", "n2", "10.244.1.55");
        }),
        ("another pod beside it", false, |world| {
            world.pod_in("kube-system", "m-1", "m", "n2", "10.244.1.55", false, "t", 443);
        }),
    ];
    for (about, concerns, change) in changes {
        let mut world = resolving();
        change(&mut world);
        let outputs = world.settle();
        assert_eq!(is_walked(&outputs), concerns, "{about}: {outputs:?}");
        if concerns {
            assert_eq!(judged(&world), world.now(), "{about}: it is judged at once");
            assert!(!is_walked(&world.settle()), "{about}: once");
        }
    }
}

#[test]
fn a_silent_name_server_is_blamed_on_the_policy_in_force() {
    let mut world = resolving();
    world.policy("kube-system", "deny", &deny_all());
    world.settle();
    world.pass(10);
    world.walk_with("web-1", Vec::new(), |walk| {
        asked(walk);
        let resolve = walk.resolve.as_mut().unwrap();
        resolve.addresses.clear();
        resolve.queries[0].outcome = QueryOutcome::Timeout;
    });
    world.settle();
    assert_eq!(world.verdict(), "DnsDenied likely");
    assert!(world.explanation().contains("NetworkPolicy kube-system/deny"), "{}", world.explanation());
}

#[test]
fn a_silent_name_server_on_the_node_is_blamed_on_no_policy() {
    for server in ["169.254.20.10:53", "10.90.0.1:53"] {
        let mut world = resolving();
        world.policy("kube-system", "deny", &deny_all());
        world.settle();
        world.pass(10);
        world.walk_with("web-1", Vec::new(), |walk| {
            asked(walk);
            let resolve = walk.resolve.as_mut().unwrap();
            resolve.addresses.clear();
            resolve.queries[0].outcome = QueryOutcome::Timeout;
            resolve.queries[0].server = server.parse().unwrap();
        });
        world.settle();
        assert_eq!(world.verdict(), "DnsTimeout likely", "{server}: {}", world.explanation());
    }
}

#[test]
fn a_name_that_leads_elsewhere_again_and_again_is_told_by_the_services_addresses() {
    for (address, expected) in [
        (
            "192.0.2.7",
            ["DnsUnexpectedAddress likely", "DnsUnexpectedAddress likely", "DnsUnexpectedAddress confirmed"],
        ),
        ("10.96.0.7", ["Reachable confirmed"; 3]),
        ("10.244.1.8", ["Reachable confirmed"; 3]),
    ] {
        let mut world = resolving();
        world.pass(40);
        world.walk_with("web-1", world::connected(), |walk| {
            asked(walk);
            walk.resolve.as_mut().unwrap().addresses = vec![address.parse().unwrap()];
        });
        world.settle();
        let verdicts = [0, 24, 1].map(|seconds| {
            world.pass(seconds);
            world.heartbeat("web-1");
            world.settle();
            world.verdict()
        });
        assert_eq!(verdicts, expected, "{address}: {}", world.explanation());
    }
}

#[test]
fn another_traffic_policy_asks_for_a_walk() {
    let mut world = resolving();
    world.apply::<SlimService>(json!({
        "metadata": {"namespace": "ledger", "name": "db"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "internalTrafficPolicy": "Local",
            "ports": [{"name": "main", "port": 5432, "protocol": "TCP"}]},
    }));
    assert!(is_walked(&world.settle()), "the endpoints are the same, the way to them is not");
}

/// A URL of a pod's own address, walked once.
fn to_a_pod() -> World {
    let mut world = World::shop();
    world.check_with_target(json!({"name": "db", "url": "http://10.244.1.8:5432/"}));
    world.attach("web-1");
    let connected = DialOutcome::Connected { local_peer: None };
    let dial = Dial { purpose: DialPurpose::Address, ..world::dial("10.244.1.8:5432", connected) };
    world.walk("web-1", vec![dial]);
    world.settle_and_store();
    world.pass(10);
    world
}

#[test]
fn a_pod_behind_a_url_is_followed() {
    let selecting = json!({"podSelector": {"matchLabels": {"app": "closed"}}, "policyTypes": ["Ingress"]});
    let mut world = to_a_pod();
    world.policy("ledger", "deny", &selecting);
    assert!(!is_walked(&world.settle()), "it selects no one");
    world.pod_in("ledger", "db-0", "closed", "n2", "10.244.1.8", true, "t", 5432);
    assert!(is_walked(&world.settle()), "the pod got the label that the policy selects by");

    let mut world = to_a_pod();
    world.policy("ledger", "deny", &deny_all());
    assert!(is_walked(&world.settle()), "the policy of the pod's namespace changed");
}

#[test]
fn every_target_that_leads_to_an_address_is_walked_when_its_decision_changes() {
    let mut world = World::shop();
    let target =
        |name: &str| json!({"name": name, "service": {"name": "db", "namespace": "ledger", "port": 5432}});
    world.other_check("two", &[target("a"), target("b")]);
    world.settle();
    world.pass(10);
    // The control stays admitted, so no plan changes.
    let deny = json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]});
    world.policy("ledger", "deny", &deny);
    let outputs = world.settle();
    let walked: usize = outputs
        .iter()
        .map(|output| match output {
            Output::WalkNow(_, keys) => keys.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(walked, 3, "the one of the first check and both of the second: {outputs:?}");
}

#[test]
fn what_is_no_longer_dialled_is_forgotten() {
    let mut world = World::shop();
    world.engine.settings.allow = ["cdn.example.com".parse().unwrap()].into_iter().collect();
    world.check_with_target(json!({"name": "cdn", "url": "http://cdn.example.com/"}));
    world.attach("web-1");
    for n in 1..50 {
        let connected = DialOutcome::Connected { local_peer: None };
        let remote = format!("192.0.2.{n}:80");
        let dial = Dial { purpose: DialPurpose::Address, ..world::dial(&remote, connected) };
        world.walk("web-1", vec![dial]);
        world.pass(15);
        world.tick();
        world.settle();
    }
    let decided = world.engine.decisions.decided(&world::id("shop", "web-1"));
    assert_eq!(decided, ["192.0.2.49:80".parse().unwrap()], "only the present address is kept");
}

#[test]
fn roots_that_no_check_asks_for_are_forgotten() {
    let mut world = World::shop();
    let of = |map: &str| {
        json!({"name": "x", "url": "https://db.ledger.svc:5432/",
            "tls": {"caBundle": {"configMap": {"name": map}}}})
    };
    world.check_with_target(of("one"));
    let read = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::ReadRoots(map, entry) => Some((map.clone(), entry.clone())),
            _ => None,
        })
    };
    let (map, entry) = read(&world.settle()).expect("its roots are read");
    world.take(Input::Roots(map, entry, RootsRead::Found("pem".into())));
    world.settle();
    world.check_with_target(of("two"));
    let (map, entry) = read(&world.settle()).expect("the other roots are read");
    world.take(Input::Roots(map.clone(), entry.clone(), RootsRead::Found("pem".into())));
    world.settle();
    let kept: Vec<_> = world.engine.roots.known.keys().cloned().collect();
    assert_eq!(kept, [(map, entry)], "those of the present check alone");
}

#[test]
fn an_address_that_another_pod_takes_is_followed() {
    let mut world = to_a_pod();
    world.policy(
        "ledger",
        "deny",
        &json!({"podSelector": {"matchLabels": {"app": "new"}}, "policyTypes": ["Ingress"]}),
    );
    world.settle();
    // Another pod takes the address.
    world.take(Input::Watch(WatchEvent::Deleted(Kind::Pod, ObjectKey::new("ledger", "db-0"))));
    world.settle();
    world.apply::<SlimPod>(json!({
        "metadata": {"namespace": "other", "name": "taker", "uid": "uid-taker", "labels": {"app": "new"}},
        "spec": {"nodeName": "n2"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.244.1.8"}]},
    }));
    world.policy("other", "deny", &deny_all());
    assert!(is_walked(&world.settle()), "the address is another pod's, of another namespace");
}

#[test]
fn a_name_that_is_a_services_is_known_to_be_there() {
    for (name, expected) in [
        ("db.ledger.svc", "DnsNameNotFound likely"),
        ("db.ledger.svc.cluster.local.", "DnsNameNotFound likely"),
        ("gone.ledger.svc", "DnsNameNotFound confirmed"),
        ("db.example.com", "DnsNameNotFound confirmed"),
    ] {
        let mut world = World::shop();
        world.check_with_target(json!({"name": "db", "dns": {"name": name}}));
        world.attach("web-1");
        world.walk_with("web-1", Vec::new(), |walk| {
            asked(walk);
            let resolve = walk.resolve.as_mut().unwrap();
            resolve.name = name.into();
            resolve.addresses.clear();
            resolve.queries[0].outcome = QueryOutcome::NameNotFound;
        });
        world.settle();
        assert_eq!(world.verdict(), expected, "{name}: {}", world.explanation());
    }
}
