//! The rule to add that lets pods ask DNS.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_netpol::PolicyKind;
use serde_json::{Value, json};

use super::servers::Server;

/// What CoreDNS and those before it are known by.
const LABEL: &str = "k8s-app";
/// The label that every namespace has.
const NAME: &str = "kubernetes.io/metadata.name";

/// For a NetworkPolicy.
pub fn rule(servers: &[Server]) -> String {
    let ports: Vec<Value> =
        ports(servers).iter().map(|(protocol, port)| json!({"port": port, "protocol": protocol})).collect();
    format!(r#"{{"to":[{}],"ports":{}}}"#, selectors(servers), Value::from(ports))
}

/// For a policy of the cluster.
pub fn of_cluster(kind: PolicyKind, servers: &[Server]) -> String {
    let all = ports(servers);
    let all = all.iter();
    let (action, field, ports): (_, _, Vec<Value>) = if kind == PolicyKind::ClusterNetworkPolicy {
        let item = |(protocol, port): &(&str, u16)| json!({protocol.to_lowercase(): {"destinationPort": {"number": port}}});
        ("Accept", "protocols", all.map(item).collect())
    } else {
        let item =
            |(protocol, port): &(&str, u16)| json!({"portNumber": {"port": port, "protocol": protocol}});
        ("Allow", "ports", all.map(item).collect())
    };
    format!(
        r#"{{"name":"dns","action":"{action}","to":[{{"pods":{}}}],"{field}":{}}}"#,
        selectors(servers),
        Value::from(ports)
    )
}

/// The pods that answer, by what they are known by, or all that one of them is labelled with.
fn selectors(servers: &[Server]) -> Value {
    let Some(pod) = servers.first().map(|server| &server.pod) else { return json!({}) };
    let labels: BTreeMap<&str, &str> = match pod.labels.get(LABEL) {
        Some(value) => BTreeMap::from([(LABEL, value.as_str())]),
        None => pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
    };
    json!({
        "namespaceSelector": {"matchLabels": {NAME: pod.namespace}},
        "podSelector": {"matchLabels": labels},
    })
}

/// Each with UDP, and with TCP for what does not fit into it.
fn ports(servers: &[Server]) -> Vec<(&'static str, u16)> {
    let numbers: BTreeSet<u16> = servers.iter().map(|server| server.port).collect();
    numbers.into_iter().flat_map(|port| ["UDP", "TCP"].map(|protocol| (protocol, port))).collect()
}
