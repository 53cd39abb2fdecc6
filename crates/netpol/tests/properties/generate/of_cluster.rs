//! Random policies of the cluster, in all three kinds, as a server has them.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::{NAMES, PORTS, protocol, selector, up_to};

const NETWORKS: [&str; 7] =
    ["0.0.0.0/0", "10.244.0.0/30", "10.0.1.0/24", "10.96.0.0/12", "192.0.2.0/24", "::/0", "fd00:10:244::/64"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cluster,
    Admin,
    Baseline,
}

/// Up to three policies, and perhaps the baseline that there can be one of. Every rule has a name of its own.
pub fn objects() -> impl Strategy<Value = Vec<Value>> {
    let kinds = prop_oneof![2 => Just(Kind::Cluster), 1 => Just(Kind::Admin)];
    let some = vec(kinds.prop_flat_map(object), up_to(3));
    (some, weighted(0.3, object(Kind::Baseline))).prop_map(|(some, baseline)| {
        let mut objects = some;
        for (number, object) in objects.iter_mut().enumerate() {
            object["metadata"]["name"] = format!("policy-{number}").into();
        }
        objects.extend(baseline);
        for object in &mut objects {
            for way in ["ingress", "egress"] {
                let rules = object["spec"][way].as_array_mut().into_iter().flatten();
                for (number, rule) in rules.enumerate() {
                    rule["name"] = format!("{way}-{number}").into();
                }
            }
        }
        objects
    })
}

fn object(kind: Kind) -> impl Strategy<Value = Value> {
    let rules = |egress| vec(rule(kind, egress), up_to(3));
    let tier = select(vec!["Admin", "Baseline"]);
    (tier, 1..4_u16, subject(), rules(false), rules(true)).prop_map(
        move |(tier, priority, subject, ingress, egress)| {
            let mut spec = json!({ "subject": subject, "ingress": ingress, "egress": egress });
            if kind != Kind::Baseline {
                spec["priority"] = priority.into();
            }
            let name = match kind {
                Kind::Cluster => {
                    spec["tier"] = tier.into();
                    "ClusterNetworkPolicy"
                }
                Kind::Admin => "AdminNetworkPolicy",
                Kind::Baseline => "BaselineAdminNetworkPolicy",
            };
            json!({ "kind": name, "metadata": { "name": "default" }, "spec": spec })
        },
    )
}

fn labels() -> impl Strategy<Value = Value> {
    selector().prop_map(|selector| serde_json::to_value(selector).expect("a selector has a form"))
}

fn subject() -> impl Strategy<Value = Value> {
    let all = Just(json!({ "namespaces": {} }));
    prop_oneof![1 => all, 2 => pods()]
}

fn pods() -> impl Strategy<Value = Value> {
    let namespaces = labels().prop_map(|labels| json!({ "namespaces": labels }));
    let both = (labels(), labels()).prop_map(
        |(namespaces, pods)| json!({ "pods": { "namespaceSelector": namespaces, "podSelector": pods } }),
    );
    prop_oneof![namespaces, both]
}

fn rule(kind: Kind, egress: bool) -> impl Strategy<Value = Value> {
    let accept = if kind == Kind::Cluster { "Accept" } else { "Allow" };
    let actions = if kind == Kind::Baseline { vec![accept, "Deny"] } else { vec![accept, "Deny", "Pass"] };
    let peers = vec(peer(kind, egress), 1..=2);
    (select(actions), peers, weighted(0.5, vec(port(kind), 1..=2))).prop_map(move |(action, peers, ports)| {
        let mut rule = Map::from_iter([("action".to_owned(), Value::from(action))]);
        // Only pods have named ports, which the server insists on.
        let of_pods = |peer: &Value| peer.get("namespaces").or(peer.get("pods")).is_some();
        let only_pods = peers.iter().all(of_pods);
        rule.insert(if egress { "to" } else { "from" }.to_owned(), peers.into());
        let mut ports = ports.unwrap_or_default();
        ports
            .retain(|port| only_pods || port.get("namedPort").or(port.get("destinationNamedPort")).is_none());
        if !ports.is_empty() {
            rule.insert(if kind == Kind::Cluster { "protocols" } else { "ports" }.to_owned(), ports.into());
        }
        Value::from(rule)
    })
}

fn peer(kind: Kind, egress: bool) -> BoxedStrategy<Value> {
    let unknown = Just(json!({ "sheep": { "colour": "black" } }));
    if !egress {
        return prop_oneof![20 => pods(), 1 => unknown].boxed();
    }
    let networks = subsequence(NETWORKS.to_vec(), 1..=2).prop_map(|networks| json!({ "networks": networks }));
    let nodes = labels().prop_map(|labels| json!({ "nodes": labels }));
    let names = Just(json!({ "domainNames": ["example.com", "*.one.svc.cluster.local"] }));
    let names = if kind == Kind::Baseline { Just(json!({ "nodes": {} })).boxed() } else { names.boxed() };
    prop_oneof![20 => pods(), 16 => networks, 4 => nodes, 2 => names, 1 => unknown].boxed()
}

fn port(kind: Kind) -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        3 => select(&PORTS[..]).prop_map(|port| (port, port)),
        1 => select(vec![(54_u16, 80_u16), (54, 8079), (80, 8080)]),
    ];
    let listed = (protocol(), numbers).prop_map(move |(protocol, (start, end))| {
        let protocol = protocol.to_string();
        match (kind == Kind::Cluster, start == end) {
            (true, true) => json!({ protocol.to_lowercase(): { "destinationPort": { "number": start } } }),
            (true, false) => {
                let range = json!({ "range": { "start": start, "end": end } });
                json!({ protocol.to_lowercase(): { "destinationPort": range } })
            }
            (false, true) => json!({ "portNumber": { "protocol": protocol, "port": start } }),
            (false, false) => json!({ "portRange": { "protocol": protocol, "start": start, "end": end } }),
        }
    });
    let named = select(&NAMES[..]).prop_map(move |name| match kind {
        Kind::Cluster => json!({ "destinationNamedPort": name }),
        Kind::Admin | Kind::Baseline => json!({ "namedPort": name }),
    });
    let unknown = Just(json!({ "icmp": { "type": 8 } }));
    prop_oneof![12 => listed, 6 => named, 1 => unknown]
}
