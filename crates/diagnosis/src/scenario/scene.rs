//! The small world of the scenarios: shop/web at 10.244.0.5 on node n1 (10.90.0.1), other pods on n1 and n2
//! (10.90.0.2), and policies named after what they isolate. Times are milliseconds.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // All of it is test code.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerwalk_model::Timestamp;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, IcmpError, LocalPeer};
use peerwalk_netpol::{
    Caveat, Decision, Flow, Namespace, Peer, Pod, Policy, PolicyIndex, PolicyRef, Profile, Protocol, Rule,
    RulePeer, Selector, evaluate,
};

use crate::{EndpointDecision, NodeFacts};

/// The address of shop/web.
pub const SOURCE: &str = "10.244.0.5";

/// A moment, in milliseconds.
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// One of the nodes.
pub fn node(name: &str) -> Arc<NodeFacts> {
    let (address, network) = match name {
        "n1" => ("10.90.0.1", "10.244.0.0/24"),
        "n2" => ("10.90.0.2", "10.244.1.0/24"),
        other => panic!("no node {other}: there are n1 and n2"),
    };
    Arc::new(NodeFacts {
        name: name.into(),
        addresses: vec![address.parse().unwrap()],
        pod_networks: vec![network.parse().unwrap()],
    })
}

/// The decision for shop/web → `endpoint`: what denies is any of `ingress`, `lockdown` (another policy for ingress
/// without rules), `rule` (one that admits other pods) and `egress`. `caveat` adds a point that the API leaves open.
pub fn decision(endpoint: SocketAddr, pod: Option<&str>, denies: &[String]) -> Decision {
    let has = |word: &str| denies.iter().any(|denied| denied == word);
    let policy = |namespace: &str, name: &str, ingress, egress| {
        Arc::new(Policy {
            reference: PolicyRef::network_policy(namespace, name),
            subject: Selector::everything(),
            ingress,
            egress,
        })
    };
    let mut policies = Vec::new();
    if has("ingress") {
        policies.push(policy("ledger", "default-deny", Some(Vec::new()), None));
    }
    if has("lockdown") {
        policies.push(policy("ledger", "lockdown", Some(Vec::new()), None));
    }
    if has("rule") {
        let batch = RulePeer::Pods { namespaces: None, pods: Selector::labels([("app", "batch")]) };
        let rule = Rule { peers: vec![batch], ports: Vec::new() };
        policies.push(policy("ledger", "allow-batch", Some(vec![rule]), None));
    }
    if has("egress") {
        policies.push(policy("shop", "no-egress", None, Some(Vec::<Rule>::new())));
    }
    let namespaces = ["shop", "ledger"].map(|name| Namespace { name: name.into(), ..Namespace::default() });
    let flow = Flow {
        source: peer("shop/web", SOURCE.parse().unwrap()),
        destination: pod.map_or_else(|| Peer::external(endpoint.ip()), |pod| peer(pod, endpoint.ip())),
        protocol: Protocol::Tcp,
        port: endpoint.port(),
        service: None,
    };
    let mut decision = evaluate(&PolicyIndex::new(namespaces, policies), &flow, &Profile::UPSTREAM);
    assert_eq!(
        decision.is_allowed(),
        denies.iter().all(|word| word == "caveat"),
        "{denies:?} for {endpoint}"
    );
    if has("caveat") {
        decision.caveats.insert(Caveat::IpBlockOnPodAddress);
    }
    decision
}

fn peer(name: &str, ip: IpAddr) -> Peer {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let app = name.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit());
    let pod = Pod {
        namespace: namespace.into(),
        name: name.into(),
        labels: BTreeMap::from([("app".into(), app.into())]),
        ips: vec![ip],
        ..Pod::default()
    };
    Peer::pod(Arc::new(pod), ip)
}

/// The history of a decision: each with the moment it came into force.
pub fn history(endpoint: SocketAddr, pod: Option<&str>, changes: &[(i64, Vec<String>)]) -> EndpointDecision {
    let history = changes
        .iter()
        .map(|(since, denies)| (at(*since), Arc::new(decision(endpoint, pod, denies))))
        .collect();
    EndpointDecision { endpoint, history }
}

/// Dials in short, such as:
///
/// ```text
/// endpoint 10.244.1.8:5432 silent 8 again
/// service 10.96.3.7:5432 icmp 3/13 from 10.90.0.2
/// endpoint 10.244.1.8:5432 connected by 127.0.0.1:15001 uid 1337
/// endpoint 10.244.1.8:5432 connected by nobody-knows
/// endpoint 10.244.1.8:5432 reset
/// endpoint 10.244.1.8:5432 errno 24 immediate
/// ```
///
/// `even` after the count takes even ports alone, `earlier MS` makes a remembered one, `udp` a datagram,
/// `marked` one that announces an MSS of its own.
pub fn dials(line: &str, started: i64) -> Vec<Dial> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [purpose, remote, outcome, rest @ ..] = words.as_slice() else { panic!("too short: {line}") };
    let purpose = match *purpose {
        "service" => DialPurpose::ServiceAddress,
        "endpoint" => DialPurpose::Endpoint,
        "address" => DialPurpose::Address,
        "control" => DialPurpose::Control,
        "proxy" => DialPurpose::Proxy,
        other => panic!("no purpose {other}: {line}"),
    };
    let after = |word: &str| {
        rest.iter().position(|other| *other == word).and_then(|position| rest.get(position + 1)).copied()
    };
    let has = |word: &str| rest.contains(&word);
    let first = |what: &str| *rest.first().unwrap_or_else(|| panic!("{what} is missing: {line}"));
    let failed = |errno, queue| DialOutcome::Failed { errno, immediate: has("immediate"), queue };
    let (outcome, count) = match *outcome {
        "connected" => (
            DialOutcome::Connected {
                local_peer: match after("by") {
                    Some("nobody-knows") => Some(LocalPeer::Unknown),
                    socket => socket.map(|address| LocalPeer::Socket {
                        address: address.parse().unwrap(),
                        uid: after("uid").map_or(0, |uid| uid.parse().unwrap()),
                    }),
                },
            },
            after("times").map_or(1, |count| count.parse().unwrap()),
        ),
        "answered" => {
            (DialOutcome::Answered { bytes: 4 }, after("times").map_or(1, |count| count.parse().unwrap()))
        }
        "silent" => (DialOutcome::Silent, first("the count").parse().unwrap()),
        "reset" => (failed(111, Vec::new()), after("times").map_or(1, |count| count.parse().unwrap())),
        "icmp" => (failed(113, vec![icmp(first("type/code"), after("from"))]), 1),
        "errno" => (failed(first("the number").parse().unwrap(), Vec::new()), 1),
        "notAllowed" => (DialOutcome::NotAllowed, 1),
        "skipped" => (DialOutcome::Skipped, 1),
        other => panic!("no outcome {other}: {line}"),
    };
    let earlier: i64 = after("earlier").map_or(0, |ms| ms.parse().unwrap());
    let elapsed = if outcome == DialOutcome::Silent { 1_031 } else { 1 };
    let step = if has("even") { 2 } else { 1 };
    (0..count)
        .map(|number: u16| Dial {
            protocol: if has("udp") { Protocol::Udp } else { Protocol::Tcp },
            mss: has("marked").then_some(1_100),
            purpose,
            remote: remote.parse().unwrap_or_else(|_| panic!("no address: {line}")),
            local: Some(SocketAddr::new(SOURCE.parse().unwrap(), 40_000 + number * step)),
            started: at(started - earlier),
            elapsed: std::time::Duration::from_millis(elapsed),
            retransmits: u32::from(has("again")),
            outcome: outcome.clone(),
        })
        .collect()
}

/// `3/13`, or `6:1/1` for IPv6.
fn icmp(word: &str, from: Option<&str>) -> IcmpError {
    let (v6, word) = word.strip_prefix("6:").map_or((false, word), |word| (true, word));
    let (kind, code) = word.split_once('/').expect("type/code");
    IcmpError {
        v6,
        kind: kind.parse().unwrap(),
        code: code.parse().unwrap(),
        offender: from.map(|from| from.parse().unwrap()),
    }
}
