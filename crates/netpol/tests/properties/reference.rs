//! A second reading of the policy APIs, written for clarity only, straight from the Kubernetes objects. It shares no code
//! with the engine.

mod of_cluster;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use peerwalk_netpol::{
    Flow, HostNetwork, NamedPort, NamedPorts, Peer, PeerKind, Pod, Profile, ServiceAddress,
};

use super::generate::Cluster;

pub fn allowed(cluster: &Cluster, flow: &Flow, profile: Profile) -> bool {
    side(cluster, flow, profile, true) && side(cluster, flow, profile, false)
}

fn side(cluster: &Cluster, flow: &Flow, profile: Profile, egress: bool) -> bool {
    let (subject, peer) =
        if egress { (&flow.source, &flow.destination) } else { (&flow.destination, &flow.source) };
    let PeerKind::Pod(pod) = &subject.kind else { return true };
    let itself = matches!(&peer.kind, PeerKind::Pod(other) if other.name == pod.name);
    if pod.finished || (itself && flow.service.is_none()) {
        return true;
    }
    let of_cluster = |tier| {
        let subject = !pod.host_network || profile.host_network == HostNetwork::Ignored;
        if subject { of_cluster::tier(cluster, flow, profile, egress, tier) } else { None }
    };
    if let Some(decided) = of_cluster("Admin") {
        return decided;
    }
    let isolating: Vec<&NetworkPolicy> = cluster
        .objects
        .iter()
        .filter(|policy| policy.metadata.namespace.as_ref() == Some(&pod.namespace))
        .filter(|policy| has_type(policy, if egress { "Egress" } else { "Ingress" }))
        .filter(|policy| {
            let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
            selector.is_none_or(|selector| selects(selector, &pod.labels))
        })
        .collect();
    if isolating.is_empty() {
        return of_cluster("Baseline").unwrap_or(true);
    }
    let subject =
        !pod.host_network || matches!(profile.host_network, HostNetwork::AsPod | HostNetwork::Ignored);
    if !subject || itself || own_node(pod, peer, profile) {
        return true;
    }
    let admits = |rule: &RawRule| admits(cluster, rule, &pod.namespace, flow, egress, profile);
    isolating.iter().any(|policy| rules(policy, egress).iter().any(admits))
}

fn admits(
    cluster: &Cluster,
    (peers, ports): &RawRule,
    namespace: &str,
    flow: &Flow,
    egress: bool,
    profile: Profile,
) -> bool {
    let peer = if egress { &flow.destination } else { &flow.source };
    let listed = |number| {
        ports.is_empty() || ports.iter().any(|item| port_matches(item, number, flow, egress, profile))
    };
    if let Some(service) = flow.service
        && egress
        && profile.service_address == ServiceAddress::Original
    {
        let selected = peers
            .iter()
            .any(|item| item.ip_block.is_none() && peer_matches(cluster, item, namespace, peer, profile));
        let outside = Peer::external(service.ip());
        let held = peers.is_empty()
            || peers.iter().any(|item| peer_matches(cluster, item, namespace, &outside, profile));
        return (selected && listed(flow.port)) || (held && listed(service.port()));
    }
    let fits = |item| peer_matches(cluster, item, namespace, peer, profile);
    (peers.is_empty() || peers.iter().any(fits)) && listed(flow.port)
}

fn is_pod(pod: &Pod, profile: Profile) -> bool {
    let as_node = matches!(profile.host_network, HostNetwork::AsNode | HostNetwork::InEveryNamespace);
    !(pod.finished || pod.host_network && as_node)
}

fn own_node(pod: &Pod, peer: &Peer, profile: Profile) -> bool {
    let own = match &peer.kind {
        PeerKind::Node(node) => pod.node.as_ref() == Some(&node.name),
        PeerKind::Pod(other) => other.host_network && !is_pod(other, profile) && other.node == pod.node,
        PeerKind::External => false,
    };
    own && profile.own_node && !pod.host_network
}

fn has_type(policy: &NetworkPolicy, name: &str) -> bool {
    let Some(spec) = &policy.spec else { return name == "Ingress" };
    match spec.policy_types.as_deref().unwrap_or_default() {
        [] => name == "Ingress" || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        types => types.iter().any(|given| given == name),
    }
}

type RawRule = (Vec<NetworkPolicyPeer>, Vec<NetworkPolicyPort>);

fn rules(policy: &NetworkPolicy, egress: bool) -> Vec<RawRule> {
    let spec = policy.spec.clone().unwrap_or_default();
    if egress {
        let rules = spec.egress.unwrap_or_default().into_iter();
        rules.map(|rule| (rule.to.unwrap_or_default(), rule.ports.unwrap_or_default())).collect()
    } else {
        let rules = spec.ingress.unwrap_or_default().into_iter();
        rules.map(|rule| (rule.from.unwrap_or_default(), rule.ports.unwrap_or_default())).collect()
    }
}

fn peer_matches(
    cluster: &Cluster,
    item: &NetworkPolicyPeer,
    policy_namespace: &str,
    peer: &Peer,
    profile: Profile,
) -> bool {
    let everything = |selector: &LabelSelector| {
        selector.match_labels.iter().flatten().count() + selector.match_expressions.iter().flatten().count()
            == 0
    };
    let everybody = item.namespace_selector.as_ref().is_some_and(everything)
        && item.pod_selector.as_ref().is_none_or(everything);
    let pod = match &peer.kind {
        PeerKind::Pod(pod) if is_pod(pod, profile) => Some(pod),
        PeerKind::Pod(pod) if profile.host_network == HostNetwork::InEveryNamespace && everybody => {
            Some(pod).filter(|pod| !pod.finished)
        }
        _ => None,
    };
    if let Some(block) = &item.ip_block {
        let except = block.except.clone().unwrap_or_default();
        let of_node = match &peer.kind {
            PeerKind::Node(_) => true,
            PeerKind::Pod(pod) => !pod.finished && !is_pod(pod, profile),
            PeerKind::External => false,
        };
        let of_pod = matches!(&peer.kind, PeerKind::Pod(pod) if is_pod(pod, profile));
        return (!of_pod || profile.ip_block_matches_pods)
            && (!of_node || profile.ip_block_matches_nodes)
            && (peer.ip.is_ipv4() || profile.ipv6)
            && within(&block.cidr, peer.ip)
            && !except.iter().any(|part| within(part, peer.ip));
    }
    let Some(pod) = pod else { return false };
    let namespace_fits = match &item.namespace_selector {
        None => pod.namespace == policy_namespace,
        Some(selector) => {
            let found = cluster.namespaces.iter().find(|namespace| namespace.name == pod.namespace);
            selects(selector, &found.expect("every namespace is given").labels)
        }
    };
    namespace_fits && item.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
}

fn port_matches(item: &NetworkPolicyPort, number: u16, flow: &Flow, egress: bool, profile: Profile) -> bool {
    if item.protocol.as_deref().unwrap_or("TCP") != flow.protocol.to_string() {
        return false;
    }
    match &item.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            (*first..=item.end_port.unwrap_or(*first)).contains(&i32::from(number))
        }
        Some(IntOrString::String(_)) if profile.named_ports == NamedPorts::Unread => true,
        Some(IntOrString::String(name)) => match &flow.destination.kind {
            PeerKind::Pod(pod) if !pod.finished && (!egress || is_pod(pod, profile)) => {
                name_stands_for(pod, name, flow, profile)
            }
            _ => false,
        },
    }
}

/// Whether the pod gives the name to the flow's port.
fn name_stands_for(pod: &Pod, name: &str, flow: &Flow, profile: Profile) -> bool {
    let named = pod.named_ports.iter().filter(|port| port.name == *name);
    let mut counted: Vec<&NamedPort> =
        named.filter(|port| profile.init_container_ports || !port.init).collect();
    match profile.named_ports {
        NamedPorts::All | NamedPorts::Unread => {}
        NamedPorts::First => counted.truncate(1),
        NamedPorts::FirstOfProtocol => {
            counted.retain(|port| port.protocol == flow.protocol);
            counted.truncate(1);
        }
    }
    counted.iter().any(|port| port.protocol == flow.protocol && port.number == flow.port)
}

/// Compares the leading bits.
fn within(cidr: &str, address: IpAddr) -> bool {
    let (network, length) = cidr.split_once('/').expect("a network has a length");
    let length: usize = length.parse().expect("the length is a number");
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
        IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
    };
    let (network, address) = (bits(network.parse().expect("an address")), bits(address));
    network.len() == address.len() && network[..length] == address[..length]
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|requirement| {
        let values = requirement.values.clone().unwrap_or_default();
        let value = labels.get(&requirement.key);
        match requirement.operator.as_str() {
            "In" => value.is_some_and(|value| values.contains(value)),
            "NotIn" => !value.is_some_and(|value| values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("{other} is no operator"),
        }
    });
    exact && expressions
}
