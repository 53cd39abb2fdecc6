//! What targets are taken for: URLs that are Services of the cluster, aliases, Services without ports.

use peerwalk_model::evidence::{
    Dial, DialPurpose, Request, RequestOutcome, Resolve, ResolveSource, Tls, TlsOutcome,
};
use peerwalk_model::plan::{DialScope, ServiceTarget, ServiceTls, UrlTarget};

use super::world::acts::ready;
use super::*;
use crate::cluster::decode::{SlimEndpointSlice, SlimPod, SlimService};

fn url(url: &str) -> serde_json::Value {
    json!({"name": "db", "url": url})
}

fn service_planned(hostname: &str, tls: Option<ServiceTls>) -> TargetKind {
    TargetKind::Service(ServiceTarget {
        hostname: hostname.into(),
        port: 5432,
        addresses: vec!["10.96.0.7".parse().unwrap()],
        endpoints: vec!["10.244.1.8:5432".parse().unwrap()],
        tls,
    })
}

#[test]
fn a_url_of_a_service_is_walked_as_the_service() {
    for (scheme, tls) in [("http", None), ("https", Some(ServiceTls { roots_pem: None }))] {
        for host in ["db.ledger.svc", "DB.ledger.svc.cluster.local.", "db.ledger", "10.96.0.7"] {
            let mut world = World::shop();
            world.check_with_target(url(&format!("{scheme}://{host}:5432/health?full=1")));
            let planned = world.planned("web-1").expect("it is planned");
            assert_eq!(planned.kind, service_planned(host, tls.clone()), "{scheme}://{host}");
            assert_eq!(planned.http.expect("with its request").path, "/health?full=1");
            assert!(!planned.controls.is_empty(), "and with controls");
        }
    }
}

#[test]
fn a_denial_behind_a_url_is_found_and_proven() {
    for scheme in ["http", "https"] {
        let mut world = World::shop();
        world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        world.check_with_target(url(&format!("{scheme}://db.ledger.svc:5432/")));
        world.finds_the_living_silent();
        world.settle();
        assert_eq!(world.verdict(), "PolicyDenied confirmed", "{}", world.explanation());
        let target = format!("→ {scheme}://db.ledger.svc:5432/ ");
        assert!(world.explanation().contains(&target), "{}", world.explanation());
    }
}

/// What a sidecar that walks a URL sees of a Service: its address alone, for all it knows one like any other.
fn to_the_address(outcome: DialOutcome) -> Vec<Dial> {
    vec![Dial { purpose: DialPurpose::Address, ..world::dial("10.96.0.7:5432", outcome) }]
}

/// The same, where it is diagnosed and stays silent.
fn silent_address() -> Vec<Dial> {
    let own = |dial: &Dial| dial.purpose == DialPurpose::ServiceAddress;
    let silent = world::silent_with_control().into_iter().filter(own);
    silent.map(|dial| Dial { purpose: DialPurpose::Address, ..dial }).collect()
}

fn resolved(walk: &mut Walk) {
    walk.resolve = Some(Resolve {
        name: "db.example.com".into(),
        addresses: vec!["10.96.0.7".parse().unwrap()],
        source: ResolveSource::Dns,
        queries: Vec::new(),
        answered: None,
        elapsed: Duration::from_millis(2),
        spent: false,
        pair: None,
    });
}

fn answered(walk: &mut Walk) {
    resolved(walk);
    walk.tls = Some(Tls {
        server_name: "db.example.com".into(),
        outcome: TlsOutcome::Established,
        elapsed: Duration::from_millis(2),
    });
    walk.request = Some(Request {
        method: peerwalk_model::plan::HttpMethod::Head,
        url: "https://db.example.com:5432/".into(),
        status_below: 500,
        outcome: RequestOutcome::Status(200),
        elapsed: Duration::from_millis(2),
    });
}

/// A URL whose name is not the Service's and, for all that the sidecar sees, leads to it.
fn check_by_another_name(world: &mut World) {
    world.engine.settings.allow = ["db.example.com".parse().unwrap()].into_iter().collect();
    world.check_with_target(url("https://db.example.com:5432/"));
}

#[test]
fn policies_are_asked_about_the_endpoints_behind_a_url() {
    let egress_to_ledger = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}},
    ]}]});
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let refused = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    for (about, policy, outcome, expected) in [
        (
            "an address outside would be denied, the endpoint is admitted",
            ("shop", &egress_to_ledger),
            DialOutcome::Connected { local_peer: None },
            ["Reachable confirmed"; 2],
        ),
        (
            "the endpoint is denied, and answers",
            ("ledger", &deny),
            DialOutcome::Connected { local_peer: None },
            ["PolicyNotEnforced likely", "PolicyNotEnforced confirmed"],
        ),
        ("the endpoint is denied, and refuses", ("ledger", &deny), refused, ["ConnectionRefused likely"; 2]),
    ] {
        let mut world = World::shop();
        world.policy(policy.0, "policy", policy.1);
        check_by_another_name(&mut world);
        world.attach("web-1");
        world.pass(40);
        let connects = matches!(outcome, DialOutcome::Connected { .. });
        let more = if connects { answered } else { resolved };
        world.walk_with("web-1", to_the_address(outcome), more);
        world.settle();
        assert_eq!(world.verdict(), expected[0], "{about}: {}", world.explanation());
        world.pass(100);
        world.heartbeat("web-1");
        world.settle();
        assert_eq!(world.verdict(), expected[1], "heartbeats carry the signature of the walk as it was sent");
    }
}

#[test]
fn a_denial_behind_another_name_does_not_stay_green() {
    let refused = || DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    for outcome in [DialOutcome::Silent, refused()] {
        let mut world = World::shop();
        check_by_another_name(&mut world);
        world.attach("web-1");
        world.pass(40);
        world.walk_with("web-1", to_the_address(DialOutcome::Connected { local_peer: None }), answered);
        world.settle_and_store();
        assert_eq!(ready(world.last()).0, "True", "{}", world.explanation());
        world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        world.pass(10);
        let dials = match outcome {
            DialOutcome::Silent => silent_address(),
            _ => to_the_address(outcome.clone()),
        };
        world.walk_with("web-1", dials, resolved);
        world.live(40);
        assert_eq!(ready(world.last()).0, "False", "{outcome:?}: {}", world.explanation());
    }
}

/// Through a Service's address every ICMP error comes from that address, whoever sent it.
#[test]
fn a_denial_that_only_a_services_address_shows_is_likely_and_tells_of_the_policy() {
    let refused = |code| {
        let offender = Some("10.96.0.7".parse().unwrap());
        let queue = vec![IcmpError { v6: false, kind: 3, code, offender }];
        to_the_address(DialOutcome::Failed {
            errno: if code == 3 { 111 } else { 113 },
            immediate: false,
            queue,
        })
    };
    let reset = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    for (about, dials, expected) in [
        ("drop", silent_address(), "ConnectTimeout likely"),
        ("reject", refused(3), "Filtered likely"),
        ("prohibited", refused(13), "Filtered likely"),
        ("reset", to_the_address(reset), "ConnectionRefused likely"),
    ] {
        let mut world = World::shop();
        world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        check_by_another_name(&mut world);
        world.attach("web-1");
        world.pass(40);
        world.walk_with("web-1", dials, resolved);
        world.settle();
        assert_eq!(world.verdict(), expected, "{about}: {}", world.explanation());
        assert!(world.explanation().contains("NetworkPolicy ledger/default-deny"), "{about}");
    }
}

#[test]
fn a_name_outside_that_leads_to_a_service_is_judged_by_its_endpoints() {
    let mut world = World::shop();
    world.policy("ledger", "deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    check_by_another_name(&mut world);
    world.attach("web-1");
    world.pass(40);
    world.walk_with("web-1", to_the_address(DialOutcome::Connected { local_peer: None }), answered);
    world.settle();
    assert_eq!(world.verdict(), "PolicyNotEnforced likely", "{}", world.explanation());
    assert!(world.explanation().contains("ledger/db-0 is isolated"), "{}", world.explanation());
}

#[test]
fn what_a_url_names_and_is_not_there_is_told() {
    for (target, expected) in [
        ("http://nope.ledger.svc/", "TargetNotFound suspected"),
        ("https://nope.ledger.svc/", "TargetNotFound suspected"),
        ("http://db.ledger.svc/", "ServicePortNotFound confirmed"),
        ("https://10.96.0.7/", "ServicePortNotFound confirmed"),
        // A short name may be one of another domain.
        ("http://nope/", "TargetNotAllowed confirmed"),
    ] {
        let mut world = World::shop();
        world.check_with_target(url(target));
        world.attach("web-1");
        world.settle();
        let first = expected.replace("ServicePortNotFound confirmed", "ServicePortNotFound suspected");
        assert_eq!(world.verdict(), first, "{target}: the Service may be heard of later than the check");
        world.live(5);
        assert_eq!(world.verdict(), expected, "{target}");
        assert_eq!(world.planned("web-1"), None, "{target} is not walked");
    }
}

#[test]
fn a_url_follows_its_service() {
    let mut world = World::shop();
    world.check_with_target(url("http://new.ledger.svc:5432/"));
    world.attach("web-1");
    world.settle();
    world.service("ledger", "new", "10.96.0.8", 5432, "db-0", "n2", "10.244.1.8");
    let outputs = world.settle();
    assert!(world::plan_of(&outputs, "web-1").is_some(), "a Service that appears is walked");
    assert_eq!(world.verdict(), "Probing suspected", "and judged at once");
}

fn headless(world: &mut World, ports: &serde_json::Value) {
    world.apply::<SlimService>(json!({
        "metadata": {"namespace": "ledger", "name": "db"},
        "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": ports},
    }));
    world.apply::<SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "ledger", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.8"], "conditions": {"ready": true}, "nodeName": "n2",
            "targetRef": {"kind": "Pod", "name": "db-0"}}],
        "ports": ports,
    }));
}

#[test]
fn a_url_of_a_headless_service_leads_to_its_pods() {
    let mut world = World::shop();
    headless(&mut world, &json!([{"name": "main", "port": 5432}]));
    world.check_with_target(url("http://db.ledger.svc:5432/"));
    let planned = world.planned("web-1").expect("it is planned");
    let scope = DialScope { networks: vec!["10.244.1.8/32".parse().unwrap()], any_address: false };
    let expected = UrlTarget { url: "http://db.ledger.svc:5432/".into(), roots_pem: None, scope };
    assert_eq!(planned.kind, TargetKind::Url(expected), "nothing is translated");
}

#[test]
fn a_headless_service_without_ports_is_its_pods_at_any_port() {
    let mut world = World::shop();
    headless(&mut world, &json!([]));
    world.settle();
    let Some(TargetKind::Service(planned)) = world.planned("web-1").map(|target| target.kind) else {
        panic!("it is planned")
    };
    assert_eq!((planned.addresses, planned.endpoints), (vec![], vec!["10.244.1.8:5432".parse().unwrap()]));
    world.check_with_target(
        json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": "main"}}),
    );
    world.attach("web-1");
    world.settle();
    world.live(5);
    assert_eq!(world.verdict(), "ServicePortNotFound confirmed", "it has no names of ports");
}

#[test]
fn an_alias_is_told_as_what_it_is() {
    for ports in [json!([]), json!([{"name": "main", "port": 5432}])] {
        let mut world = World::shop();
        world.apply::<SlimService>(json!({
            "metadata": {"namespace": "ledger", "name": "db"},
            "spec": {"type": "ExternalName", "externalName": "db.example.com", "ports": ports},
        }));
        world.attach("web-1");
        world.settle();
        assert_eq!(world.verdict(), "TargetNotFound suspected");
        assert_eq!(world.planned("web-1"), None, "its name leads anywhere");
        let told = "there is no Service ledger/db with endpoints: it is of type ExternalName, give the check \
                    the url";
        assert!(world.explanation().contains(told), "{}", world.explanation());
    }
}

#[test]
fn no_policy_says_anything_about_a_services_own_address() {
    let world = World::shop();
    let index = &world.engine.index;
    let source = index.pod(&ObjectKey::new("shop", "web-1")).unwrap();
    for (address, expected) in [("10.96.0.7:5432", false), ("10.244.1.8:5432", true), ("192.0.2.7:80", true)]
    {
        let to = crate::cluster::flow::Destination::direct(address.parse().unwrap());
        assert_eq!(crate::decisions::once(index, source, to).is_some(), expected, "{address}");
    }
}

/// Two pods behind one Service, each with the controller that made it and its template.
fn made_by(world: &mut World, name: &str, ip: &str, owner: (&str, &str), hash: (&str, &str)) {
    world.apply::<SlimPod>(json!({
        "metadata": {
            "namespace": "ledger", "name": name, "uid": format!("uid-{name}"),
            "labels": {"app": "db", hash.0: hash.1},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": owner.1,
                "controller": true}],
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": "n2", "containers": [{"name": "app"}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}]},
    }));
}

/// The endpoints of Service ledger/db: address, pod, and the conditions of each.
fn endpoints(world: &mut World, all: &[(&str, &str, serde_json::Value)]) {
    let endpoint = |(ip, pod, conditions): &(&str, &str, serde_json::Value)| {
        json!({"addresses": [ip], "conditions": conditions, "nodeName": "n2",
            "targetRef": {"kind": "Pod", "name": pod}})
    };
    world.apply::<SlimEndpointSlice>(json!({
        "metadata": {
            "namespace": "ledger", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4",
        "endpoints": all.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "main", "port": 5432, "protocol": "TCP"}],
    }));
}

#[test]
fn pods_of_two_owners_behind_a_service_are_told_and_no_fault() {
    let (deployment, argo) = ("pod-template-hash", "rollouts-pod-template-hash");
    for (about, label, second, told) in [
        ("another Deployment", deployment, ("ReplicaSet", "old-bbb"), true),
        ("another kind", deployment, ("StatefulSet", "db"), true),
        ("a rollout of the same Deployment", deployment, ("ReplicaSet", "db-bbb"), false),
        ("a rollout of Argo Rollouts", argo, ("ReplicaSet", "db-bbb"), false),
        ("another of Argo Rollouts", argo, ("ReplicaSet", "old-bbb"), true),
    ] {
        let mut world = World::shop();
        made_by(&mut world, "db-0", "10.244.1.8", ("ReplicaSet", "db-aaa"), (label, "aaa"));
        made_by(&mut world, "db-1", "10.244.1.11", second, (label, "bbb"));
        let ready = json!({"ready": true});
        endpoints(&mut world, &[("10.244.1.8", "db-0", ready.clone()), ("10.244.1.11", "db-1", ready)]);
        world.attach("web-1");
        world.pass(40);
        world.walk("web-1", world::connected());
        world.settle();
        assert_eq!(world.verdict(), "Reachable confirmed", "{about}: {}", world.explanation());
        let first = if label == argo { "Rollout db" } else { "Deployment db" };
        let words = format!("of 2 owners, and any of them may answer: {first}");
        let says = world.explanation().contains(&words);
        assert_eq!(says, told, "{about}: {}", world.explanation());
    }
}

#[test]
fn an_endpoint_that_shuts_down_is_not_dialled_and_serves_to_its_end() {
    let mut world = World::good();
    let ending = json!({"ready": false, "serving": true, "terminating": true});
    endpoints(&mut world, &[("10.244.1.8", "db-0", ending)]);
    let outputs = world.settle();
    let plan = world::plan_of(&outputs, "web-1").expect("a new plan");
    let TargetKind::Service(service) = &plan.targets.values().next().unwrap().kind else {
        panic!("it is a Service")
    };
    assert!(service.endpoints.is_empty(), "it takes no new connections of its own: {service:?}");
    let own = |outcome| {
        vec![Dial { purpose: DialPurpose::ServiceAddress, ..world::dial("10.96.0.7:5432", outcome) }]
    };
    world.pass(10);
    world.walk("web-1", own(DialOutcome::Connected { local_peer: None }));
    world.settle();
    assert_eq!(world.verdict(), "Reachable confirmed", "the Service leads to it: {}", world.explanation());
    assert!(world.explanation().contains("one that shuts down and still serves"), "{}", world.explanation());
    endpoints(&mut world, &[]);
    world.pass(10);
    world.walk("web-1", own(DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] }));
    world.settle();
    assert_eq!(world.verdict(), "NoEndpoints confirmed", "and now it is gone: {}", world.explanation());
}

#[test]
fn endpoints_that_are_no_pods_are_not_dialled() {
    const REAL: &str = "10.244.1.8";
    for (case, ip, pod, expected) in [
        ("a pod", REAL, Some("db-0"), true),
        ("a pod that the endpoint does not name", REAL, None, true),
        ("a pod of another name", REAL, Some("other"), true),
        ("of a pod that has just gone", "10.244.1.77", Some("db-9"), true),
        ("an address of pods that names none", "10.244.1.77", None, false),
        ("a host outside", "192.0.2.7", None, false),
        ("a host outside that claims to be a pod", "192.0.2.7", Some("db-0"), false),
        ("a node", "10.90.0.2", None, false),
        ("a node that claims to be a pod", "10.90.0.2", Some("db-0"), false),
        ("another Service", "10.96.0.99", Some("db-0"), false),
        ("metadata", "169.254.169.254", Some("db-0"), false),
        ("allowed by the operator", "198.51.100.7", None, true),
    ] {
        for headless in [false, true] {
            let mut world = World::shop();
            world.engine.settings.allow.networks = vec!["198.51.100.0/24".parse().unwrap()];
            if headless {
                self::headless(&mut world, &json!([{"name": "main", "port": 5432, "protocol": "TCP"}]));
                world.check_with_target(url("http://db.ledger.svc:5432/"));
            }
            let target = pod.map(|name| json!({"kind": "Pod", "name": name}));
            world.apply::<SlimEndpointSlice>(json!({
                "metadata": {
                    "namespace": "ledger", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [ip], "conditions": {"ready": true}, "targetRef": target}],
                "ports": [{"name": "main", "port": 5432, "protocol": "TCP"}],
            }));
            world.settle();
            let ip: std::net::IpAddr = ip.parse().unwrap();
            let dialled = match world.planned("web-1").expect("it is planned").kind {
                TargetKind::Service(service) => service.endpoints.iter().any(|e| e.ip() == ip),
                TargetKind::Url(url) => url.scope.networks.iter().any(|n| n.contains(&ip)),
                TargetKind::Dns(_) => panic!("no name was asked for"),
            };
            assert_eq!(dialled, expected, "{case}, headless: {headless}");
        }
    }
}
