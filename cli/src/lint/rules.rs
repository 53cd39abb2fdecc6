//! Items of rules that never match, or not on every data plane.

use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_model::{Direction, Protocol};
use peerwalk_netpol::{
    ClusterPeer, ClusterPolicy, ClusterPort, Pod, Policy, PolicyRef, Ports, Rule, RulePeer,
};

use super::pods::Pods;
use super::{Code, Findings, Severity};

/// The rules of a policy that count, with their direction and place.
pub fn of(policy: &Policy) -> impl Iterator<Item = (Direction, usize, &Rule)> {
    [Direction::Ingress, Direction::Egress].into_iter().flat_map(|way| {
        let rules = policy.rules(way).unwrap_or_default();
        rules.iter().enumerate().map(move |(index, rule)| (way, index, rule))
    })
}

/// `from` or `to`.
pub fn peers_field(way: Direction) -> &'static str {
    match way {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    for policy in &found.cluster.policies {
        for (way, index, rule) in of(policy) {
            named_ports(found, pods, policy, (way, index), rule);
            for (item, peer) in rule.peers.iter().enumerate() {
                if let RulePeer::IpBlock { cidr, .. } = peer {
                    let field = format!("spec.{way}[{index}].{}[{item}].ipBlock.cidr", peers_field(way));
                    block(found, pods, &policy.reference, field, *cidr, peer);
                }
            }
        }
    }
    for policy in &found.cluster.cluster_policies {
        for way in [Direction::Ingress, Direction::Egress] {
            cluster_ports(found, pods, policy, way);
        }
    }
}

/// A name is resolved on the destination: the subject of ingress, the peer of egress.
fn named_ports(
    found: &mut Findings<'_>,
    pods: &Pods,
    policy: &Policy,
    (way, index): (Direction, usize),
    rule: &Rule,
) {
    let namespace = &*policy.reference.namespace;
    let destinations: Vec<&Arc<Pod>> = match way {
        Direction::Ingress => pods.of(namespace, &policy.subject).collect(),
        Direction::Egress if rule.peers.is_empty() => pods.all().collect(),
        Direction::Egress => rule.peers.iter().flat_map(|peer| peer_pods(pods, namespace, peer)).collect(),
    };
    // What selects nobody is told once, and not again of its ports.
    if destinations.is_empty() {
        return;
    }
    for (item, port) in rule.ports.iter().enumerate() {
        let Ports::Named(name) = &port.ports else { continue };
        if !has(&destinations, name, Some(port.protocol)) {
            let field = format!("spec.{way}[{index}].ports[{item}].port");
            let message =
                format!("no destination of the rule has a port named {name} with protocol {}", port.protocol);
            found.add(
                Severity::Warning,
                Code::NamedPortWithoutOwner,
                (&policy.reference, field),
                message,
                port_remedy(&destinations),
            );
        }
    }
}

fn peer_pods<'a>(pods: &'a Pods, namespace: &str, peer: &'a RulePeer) -> Vec<&'a Arc<Pod>> {
    match peer {
        RulePeer::Pods { namespaces, pods: selector } => pods.peers(namespace, namespaces.as_ref(), selector),
        RulePeer::IpBlock { .. } => {
            pods.all().filter(|pod| pod.ips.iter().any(|ip| peer.holds(*ip))).collect()
        }
    }
}

fn has(pods: &[&Arc<Pod>], name: &str, protocol: Option<Protocol>) -> bool {
    let mut ports = pods.iter().flat_map(|pod| &pod.named_ports);
    ports.any(|port| port.name == name && protocol.is_none_or(|protocol| port.protocol == protocol))
}

fn port_remedy(destinations: &[&Arc<Pod>]) -> String {
    let mut names: Vec<String> = destinations
        .iter()
        .flat_map(|pod| &pod.named_ports)
        .map(|port| format!("{} ({}/{})", port.name, port.number, port.protocol))
        .collect();
    names.sort();
    names.dedup();
    names.truncate(5);
    if names.is_empty() {
        return "use the number of the port, or give a container's port this name".to_owned();
    }
    format!("use a number, or one of the names that there are: {}", names.join(", "))
}

fn cluster_ports(found: &mut Findings<'_>, pods: &Pods, policy: &ClusterPolicy, way: Direction) {
    for (index, rule) in policy.rules(way).iter().enumerate() {
        let destinations: Vec<&Arc<Pod>> = match way {
            Direction::Ingress => pods.set(&policy.subject),
            Direction::Egress => rule
                .peers
                .iter()
                .flat_map(|peer| match peer {
                    ClusterPeer::Pods(set) => pods.set(set),
                    _ => Vec::new(),
                })
                .collect(),
        };
        if destinations.is_empty() {
            continue;
        }
        for (item, port) in rule.ports.iter().enumerate() {
            let ClusterPort::Named(name) = port else { continue };
            if !has(&destinations, name, None) {
                found.add(
                    Severity::Warning,
                    Code::NamedPortWithoutOwner,
                    (&policy.reference, format!("spec.{way}[{index}], port {}", item + 1)),
                    format!("no destination of the rule has a port named {name}"),
                    port_remedy(&destinations),
                );
            }
        }
    }
}

/// Blocks of everything are meant to be so; others that hold pods are often a surprise.
fn block(found: &mut Findings<'_>, pods: &Pods, of: &PolicyRef, field: String, cidr: IpNet, peer: &RulePeer) {
    if cidr.prefix_len() == 0 {
        return;
    }
    let services = &found.cluster.services;
    if cidr.prefix_len() == cidr.max_prefix_len()
        && let Some(service) = services.iter().find(|service| service.addresses.contains(&cidr.addr()))
    {
        let message = format!(
            "{} is the address of Service {}/{}, and policies see the pods behind it",
            cidr.addr(),
            service.namespace,
            service.name
        );
        let remedy = "select the pods behind the Service, with their own port";
        found.add(Severity::Warning, Code::BlockOfService, (of, field), message, remedy);
        return;
    }
    let network = found.cluster.pod_networks.iter().find(|net| net.contains(&cidr) || cidr.contains(*net));
    let pod = pods.all().find(|pod| !pod.host_network && pod.ips.iter().any(|ip| peer.holds(*ip)));
    let what = match (network, pod) {
        (_, Some(pod)) => format!("pod {}/{} has an address in {cidr}", pod.namespace, pod.name),
        (Some(network), None) => format!("{cidr} and the pod network {network} overlap"),
        (None, None) => return,
    };
    let message = format!("{what}: not every data plane applies blocks to pods (Cilium does not)");
    let remedy = "select pods by podSelector and namespaceSelector, and take their network out with except";
    found.add(Severity::Warning, Code::BlockOverPods, (of, field), message, remedy);
}
