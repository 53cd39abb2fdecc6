//! The form of a case.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use peerwalk_netpol::{
    Caveat, Flow, NamedPort, Namespace, Node, Peer, Pod, PolicyIndex, PolicyRef, Protocol, Verdict, lower,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default)]
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    nodes: BTreeMap<String, GivenNode>,
    /// By `namespace/name`.
    pods: BTreeMap<String, GivenPod>,
    policies: Vec<Value>,
    #[serde(default)]
    unreadable: Vec<PolicyRef>,
    pub flows: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenNode {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenPod {
    /// None for a pod that has none yet.
    #[serde(default)]
    ip: Option<IpAddr>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    ports: Vec<GivenPort>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenPort {
    name: String,
    #[serde(default)]
    protocol: Protocol,
    number: u16,
    #[serde(default)]
    init: bool,
}

/// A flow, and what is said of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// `namespace/name` of a pod, the name of a node, or an address.
    from: String,
    to: String,
    #[serde(default)]
    protocol: Protocol,
    port: u16,
    #[serde(default)]
    service: Option<SocketAddr>,
    /// What the profile `upstream` says.
    pub expect: Verdict,
    #[serde(default)]
    pub caveats: BTreeSet<Caveat>,
    #[serde(default)]
    pub undecided: bool,
    /// What a direction says in a sentence.
    #[serde(default)]
    pub egress: Option<String>,
    #[serde(default)]
    pub ingress: Option<String>,
    /// Tier, policy and the rule that matches, of every policy that was asked.
    #[serde(default)]
    pub egress_chain: Option<Vec<String>>,
    #[serde(default)]
    pub miss: Option<String>,
    #[serde(default)]
    pub fixes: Option<Vec<String>>,
    /// What other profiles say.
    #[serde(default)]
    pub profiles: BTreeMap<String, Verdict>,
}

impl Case {
    pub fn index(&self) -> PolicyIndex {
        let namespaces = self.namespaces.iter();
        let namespaces =
            namespaces.map(|(name, labels)| Namespace { name: name.clone(), labels: labels.clone() });
        let (mut policies, mut of_cluster) = (Vec::new(), Vec::new());
        for object in &self.policies {
            let kind = object["kind"].as_str().unwrap_or_default();
            let lowered = match kind {
                "NetworkPolicy" => {
                    let object = serde_json::from_value(object.clone()).expect("a NetworkPolicy decodes");
                    policies.push(Arc::new(
                        lower::network_policy(&object).expect("the case's policies are valid"),
                    ));
                    continue;
                }
                "ClusterNetworkPolicy" => lower::cluster_network_policy(object),
                "AdminNetworkPolicy" => lower::admin_network_policy(object),
                "BaselineAdminNetworkPolicy" => lower::baseline_admin_network_policy(object),
                other => panic!("no policies of kind {other:?} are known"),
            };
            of_cluster
                .push(Arc::new(lowered.unwrap_or_else(|e| panic!("the case's policies are valid: {e}"))));
        }
        PolicyIndex::new(namespaces, policies)
            .with_cluster_policies(of_cluster)
            .with_nodes(self.nodes.iter().map(|(name, given)| Arc::new(node(name, given))))
            .with_unreadable(self.unreadable.iter().cloned())
    }

    pub fn flow(&self, expected: &Expected) -> Flow {
        Flow {
            source: self.peer(&expected.from),
            destination: self.peer(&expected.to),
            protocol: expected.protocol,
            port: expected.port,
            service: expected.service,
        }
    }

    fn peer(&self, name: &str) -> Peer {
        if let Some((namespace, short)) = name.split_once('/') {
            let given = self.pods.get(name).unwrap_or_else(|| panic!("no pod {name}"));
            let ip = given.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
            return Peer::pod(Arc::new(pod(namespace, short, given)), ip);
        }
        match self.nodes.get(name) {
            Some(given) => Peer::node(Arc::new(node(name, given)), given.addresses[0]),
            None => Peer::external(name.parse().unwrap_or_else(|_| panic!("{name} is nobody"))),
        }
    }
}

fn node(name: &str, given: &GivenNode) -> Node {
    Node { name: name.to_owned(), labels: given.labels.clone(), addresses: given.addresses.clone() }
}

fn pod(namespace: &str, name: &str, given: &GivenPod) -> Pod {
    let named = given.ports.iter().map(|port| NamedPort {
        name: port.name.clone(),
        protocol: port.protocol,
        number: port.number,
        init: port.init,
    });
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: given.labels.clone(),
        ips: given.ip.into_iter().collect(),
        node: given.node.clone(),
        host_network: given.host_network,
        named_ports: named.collect(),
        ..Pod::default()
    }
}
