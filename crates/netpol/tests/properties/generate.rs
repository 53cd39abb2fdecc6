//! Random small clusters, in which policies meet pods often.

mod of_cluster;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use peerwalk_netpol::{
    ClusterPolicy, Flow, NamedPort, Namespace, Node, Peer, Pod, Policy, PolicyIndex, Protocol, Rule, lower,
};
use proptest::collection::{btree_map, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::Value;

use super::up_to;

const NAMESPACES: [&str; 3] = ["one", "two", "three"];
const NODES: [&str; 2] = ["node-1", "node-2"];
const PORTS: [u16; 3] = [53, 80, 8080];
const NAMES: [&str; 3] = ["dns", "http", "admin"];
const OUTSIDE: [&str; 3] = ["192.0.2.7", "198.51.100.9", "2001:db8::7"];
/// Blocks, each with parts of it that may be excepted.
const BLOCKS: [(&str, &[&str]); 7] = [
    ("10.96.0.0/12", &["10.96.0.10/32"]),
    ("0.0.0.0/0", &["10.0.0.0/8", "192.0.2.0/24", "10.244.0.0/30"]),
    ("10.244.0.0/16", &["10.244.0.0/30", "10.244.0.5/32"]),
    ("10.0.1.0/24", &["10.0.1.2/32"]),
    ("192.0.2.0/24", &["192.0.2.7/32"]),
    ("::/0", &["fd00::/8", "2001:db8::/32"]),
    ("fd00:10:244::/64", &["fd00:10:244::2/127"]),
];

/// A cluster, and flows in it.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub namespaces: Vec<Namespace>,
    pub nodes: Vec<Arc<Node>>,
    pub objects: Vec<NetworkPolicy>,
    /// In one half of the clusters, none.
    pub of_cluster: Vec<Value>,
    pub flows: Vec<Flow>,
}

impl Cluster {
    pub fn policies(&self) -> Vec<Policy> {
        let lowered = self.objects.iter().map(lower::network_policy);
        lowered.collect::<Result<_, _>>().expect("generated policies are valid")
    }

    pub fn cluster_policies(&self) -> Vec<ClusterPolicy> {
        let lowered = self.of_cluster.iter().map(|object| match object["kind"].as_str() {
            Some("AdminNetworkPolicy") => lower::admin_network_policy(object),
            Some("BaselineAdminNetworkPolicy") => lower::baseline_admin_network_policy(object),
            _ => lower::cluster_network_policy(object),
        });
        lowered.collect::<Result<_, _>>().expect("generated policies are valid")
    }

    pub fn index(&self) -> PolicyIndex {
        self.indexed(self.policies(), self.cluster_policies())
    }

    /// The same cluster with other policies.
    pub fn indexed(
        &self,
        policies: impl IntoIterator<Item = Policy>,
        of_cluster: impl IntoIterator<Item = ClusterPolicy>,
    ) -> PolicyIndex {
        PolicyIndex::new(self.namespaces.iter().cloned(), policies.into_iter().map(Arc::new))
            .with_cluster_policies(of_cluster.into_iter().map(Arc::new))
            .with_nodes(self.nodes.iter().cloned())
    }
}

pub fn cluster() -> impl Strategy<Value = Cluster> {
    let namespaces = vec(labels(), NAMESPACES.len()).prop_map(|labels| {
        let named = NAMESPACES.iter().zip(labels);
        named.map(|(name, labels)| Namespace { name: (*name).to_owned(), labels }).collect::<Vec<_>>()
    });
    let objects = vec(object(), up_to(5)).prop_map(|mut objects| {
        for (number, object) in objects.iter_mut().enumerate() {
            object.metadata.name = Some(format!("policy-{number}"));
        }
        objects
    });
    let of_cluster = prop_oneof![Just(Vec::new()), of_cluster::objects()];
    let nodes = vec(labels(), NODES.len()).prop_map(|labels| {
        let numbered = labels.into_iter().enumerate();
        numbered.map(|(number, labels)| Arc::new(node(number, labels))).collect::<Vec<_>>()
    });
    let ends = nodes.prop_flat_map(|nodes| (Just(nodes.clone()), ends(nodes)));
    let flows = vec((any::<Index>(), any::<Index>(), port(), service()), 12);
    (namespaces, objects, of_cluster, ends, flows).prop_map(
        |(namespaces, objects, of_cluster, (nodes, ends), flows)| {
            let flows = flows.iter().map(|(source, destination, (protocol, port), service)| Flow {
                source: source.get(&ends).clone(),
                destination: destination.get(&ends).clone(),
                protocol: *protocol,
                port: *port,
                service: *service,
            });
            let flows = flows.collect();
            Cluster { namespaces, nodes, objects, of_cluster, flows }
        },
    )
}

/// A rule after lowering.
pub fn rule() -> impl Strategy<Value = Rule> {
    object_with(vec(ingress_rule(), 1).prop_map(Some), Just(None), Just(Some(vec!["Ingress".to_owned()])))
        .prop_map(|mut object| {
            object.metadata.name = Some("any".to_owned());
            let policy = lower::network_policy(&object).expect("generated policies are valid");
            policy.ingress.expect("the policy has an ingress rule").remove(0)
        })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let text = |words: &'static [&'static str]| select(words).prop_map(str::to_owned);
    btree_map(text(&["app", "tier", "team"]), text(&["a", "b"]), up_to(3))
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![3 => Just(Protocol::Tcp), 2 => Just(Protocol::Udp), 1 => Just(Protocol::Sctp)]
}

fn port() -> impl Strategy<Value = (Protocol, u16)> {
    (protocol(), select(&PORTS[..]))
}

/// What was dialled before the translation.
fn service() -> impl Strategy<Value = Option<SocketAddr>> {
    let ip = select(vec!["10.96.0.10", "10.244.0.77", "fd00:10:96::10"]).prop_map(str::parse::<IpAddr>);
    let address = (ip, select(&PORTS[..]));
    weighted(0.6, address.prop_map(|(ip, port)| SocketAddr::new(ip.expect("an address"), port)))
}

/// Pods of every sort in both families, nodes, and addresses outside.
fn ends(nodes: Vec<Arc<Node>>) -> impl Strategy<Value = Vec<Peer>> {
    vec(pod(), 1..7).prop_map(move |pods| {
        let mut ends: Vec<Peer> =
            OUTSIDE.iter().map(|ip| Peer::external(ip.parse().expect("an address"))).collect();
        ends.extend(nodes.iter().map(|node| Peer::node(Arc::clone(node), node.addresses[0])));
        for (number, mut pod) in pods.into_iter().enumerate() {
            pod.name = format!("pod-{number}");
            pod.ips =
                match NODES.iter().position(|node| pod.host_network && pod.node.as_deref() == Some(*node)) {
                    Some(node) => node_addresses(node),
                    None => addresses(
                        &format!("10.244.0.{}", number + 1),
                        &format!("fd00:10:244::{}", number + 1),
                    ),
                };
            let pod = Arc::new(pod);
            ends.extend(pod.ips.iter().map(|ip| Peer::pod(Arc::clone(&pod), *ip)));
        }
        ends
    })
}

fn node(number: usize, labels: BTreeMap<String, String>) -> Node {
    Node { name: NODES[number].to_owned(), labels, addresses: node_addresses(number) }
}

fn node_addresses(number: usize) -> Vec<IpAddr> {
    addresses(&format!("10.0.1.{}", number + 1), &format!("fd00:10:1::{}", number + 1))
}

fn addresses(v4: &str, v6: &str) -> Vec<IpAddr> {
    [v4, v6].map(|ip| ip.parse().expect("an address")).to_vec()
}

fn pod() -> impl Strategy<Value = Pod> {
    let named = (select(&NAMES[..]), port(), weighted(0.2, Just(())));
    let named = named.prop_map(|(name, (protocol, number), init)| NamedPort {
        name: name.to_owned(),
        protocol,
        number,
        init: init.is_some(),
    });
    let sort = prop_oneof![7 => Just((false, false)), 2 => Just((true, false)), 1 => Just((false, true))];
    (select(&NAMESPACES[..]), labels(), select(&NODES[..]), vec(named, up_to(4)), sort).prop_map(
        |(namespace, labels, node, named_ports, (host_network, finished))| Pod {
            namespace: namespace.to_owned(),
            labels,
            node: Some(node.to_owned()),
            host_network,
            finished,
            named_ports,
            ..Pod::default()
        },
    )
}

fn object() -> impl Strategy<Value = NetworkPolicy> {
    let types = subsequence(vec!["Ingress".to_owned(), "Egress".to_owned()], 0..=2);
    object_with(
        weighted(0.7, vec(ingress_rule(), up_to(3))),
        weighted(0.7, vec(egress_rule(), up_to(3))),
        weighted(0.6, types),
    )
}

fn object_with(
    ingress: impl Strategy<Value = Option<Vec<NetworkPolicyIngressRule>>>,
    egress: impl Strategy<Value = Option<Vec<NetworkPolicyEgressRule>>>,
    policy_types: impl Strategy<Value = Option<Vec<String>>>,
) -> impl Strategy<Value = NetworkPolicy> {
    (select(&NAMESPACES[..]), weighted(0.7, selector()), ingress, egress, policy_types).prop_map(
        |(namespace, pod_selector, ingress, egress, policy_types)| {
            let mut object = NetworkPolicy {
                spec: Some(NetworkPolicySpec { pod_selector, ingress, egress, policy_types }),
                ..NetworkPolicy::default()
            };
            object.metadata.namespace = Some(namespace.to_owned());
            object
        },
    )
}

fn ingress_rule() -> impl Strategy<Value = NetworkPolicyIngressRule> {
    (peers(), ports()).prop_map(|(from, ports)| NetworkPolicyIngressRule { from, ports })
}

fn egress_rule() -> impl Strategy<Value = NetworkPolicyEgressRule> {
    (peers(), ports()).prop_map(|(to, ports)| NetworkPolicyEgressRule { to, ports })
}

fn peers() -> impl Strategy<Value = Option<Vec<NetworkPolicyPeer>>> {
    weighted(0.85, vec(peer(), up_to(2)))
}

fn ports() -> impl Strategy<Value = Option<Vec<NetworkPolicyPort>>> {
    weighted(0.5, vec(rule_port(), up_to(2)))
}

fn peer() -> impl Strategy<Value = NetworkPolicyPeer> {
    let pods = (weighted(0.7, selector()), weighted(0.5, selector())).prop_map(|(pods, namespaces)| {
        let neither = pods.is_none() && namespaces.is_none();
        NetworkPolicyPeer {
            ip_block: None,
            namespace_selector: namespaces,
            pod_selector: if neither { Some(LabelSelector::default()) } else { pods },
        }
    });
    let block = select(&BLOCKS[..]).prop_flat_map(|(cidr, parts)| {
        subsequence(parts.to_vec(), 0..=parts.len()).prop_map(move |except| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.to_owned(),
                except: Some(except.into_iter().map(str::to_owned).collect()),
            }),
            ..NetworkPolicyPeer::default()
        })
    });
    prop_oneof![2 => pods, 1 => block]
}

fn rule_port() -> impl Strategy<Value = NetworkPolicyPort> {
    let protocol = weighted(0.6, protocol().prop_map(|protocol| protocol.to_string()));
    let port = prop_oneof![
        1 => Just((None, None)),
        3 => select(&PORTS[..]).prop_map(|port| (Some(IntOrString::Int(port.into())), None)),
        1 => select(vec![80, 90, 8079, 8080]).prop_map(|end| (Some(IntOrString::Int(54)), Some(end))),
        2 => select(&NAMES[..]).prop_map(|name| (Some(IntOrString::String(name.to_owned())), None)),
    ];
    (protocol, port).prop_map(|(protocol, (port, end_port))| NetworkPolicyPort { end_port, port, protocol })
}

pub fn selector() -> impl Strategy<Value = LabelSelector> {
    let key = || select(vec!["app", "tier", "team"]).prop_map(str::to_owned);
    let values = || subsequence(vec!["a".to_owned(), "b".to_owned()], 1..=2);
    let with_values = (key(), select(vec!["In", "NotIn"]), values().prop_map(Some));
    let without = (key(), select(vec!["Exists", "DoesNotExist"]), Just(None));
    let requirement = prop_oneof![with_values, without].prop_map(|(key, operator, values)| {
        LabelSelectorRequirement { key, operator: operator.to_owned(), values }
    });
    let value = select(vec!["a", "b"]).prop_map(str::to_owned);
    (weighted(0.5, btree_map(key(), value, up_to(1))), weighted(0.3, vec(requirement, up_to(2))))
        .prop_map(|(match_labels, match_expressions)| LabelSelector { match_expressions, match_labels })
}
