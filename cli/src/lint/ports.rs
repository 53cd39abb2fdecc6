//! Names of ports that no destination of their rule has.

use std::sync::Arc;

use peerwalk_model::{Direction, Protocol};
use peerwalk_netpol::{
    ClusterPeer, ClusterPolicy, ClusterPort, Pod, PodSet, Policy, Ports, Rule, RulePeer, Selector,
};

use super::pods::Pods;
use super::rules::{of, of_cluster, ports_field};
use super::{Code, Findings, Severity};

/// How many names are told.
const NAMES: usize = 5;

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    for policy in &found.cluster.policies {
        for (way, index, rule) in of(policy) {
            named_ports(found, pods, policy, (way, index), rule);
        }
    }
    for policy in &found.cluster.cluster_policies {
        cluster_ports(found, pods, policy);
    }
}

/// Whom a rule leads to.
#[derive(Default)]
struct Destinations<'a> {
    pods: Vec<&'a Arc<Pod>>,
    /// There is a block, and in blocks only pods have port names.
    blocks: bool,
    /// More pods may be among them: those without an address in blocks, and those of namespaces without known labels.
    unsure: Vec<&'a Arc<Pod>>,
    /// It may lead to pods that every cluster has and that were not read.
    elsewhere: bool,
}

/// A name is resolved on the destination: the subject of ingress, the peer of egress.
fn destinations<'a>(pods: &'a Pods, policy: &'a Policy, way: Direction, rule: &'a Rule) -> Destinations<'a> {
    let namespace = &*policy.reference.namespace;
    let mut all = Destinations::default();
    match way {
        Direction::Ingress => all.pods.extend(pods.of(namespace, &policy.subject)),
        Direction::Egress if rule.peers.is_empty() => {
            all.pods.extend(pods.all());
            all.elsewhere = pods.goes_elsewhere(&Selector::everything());
        }
        Direction::Egress => {
            for peer in &rule.peers {
                match peer {
                    RulePeer::Pods { namespaces, pods: selector } => {
                        all.pods.extend(pods.peers(namespace, namespaces.as_ref(), selector));
                        all.elsewhere |= namespaces.as_ref().is_some_and(|of| pods.goes_elsewhere(of));
                        if namespaces.as_ref().is_some_and(|of| pods.unsure(of, selector).is_some()) {
                            all.unsure.extend(pods.all().filter(|pod| selector.matches(&pod.labels)));
                        }
                    }
                    RulePeer::IpBlock { .. } => {
                        all.blocks = true;
                        let held = |pod: &&Arc<Pod>| pod.ips.iter().any(|ip| peer.holds(*ip));
                        all.pods.extend(pods.all().filter(held));
                        all.unsure.extend(pods.all().filter(|pod| pod.ips.is_empty()));
                    }
                }
            }
        }
    }
    all
}

fn named_ports(
    found: &mut Findings<'_>,
    pods: &Pods,
    policy: &Policy,
    (way, index): (Direction, usize),
    rule: &Rule,
) {
    let all = destinations(pods, policy, way, rule);
    // What selects nobody is told once, and not again of its ports.
    if all.pods.is_empty() && !all.blocks {
        return;
    }
    for (item, port) in rule.ports.iter().enumerate() {
        let Ports::Named(name) = &port.ports else { continue };
        if has(&all.pods, name, Some(port.protocol)) {
            continue;
        }
        // Without any pod nothing is known of the names that they have.
        let open = pods.is_empty() || has(&all.unsure, name, Some(port.protocol));
        if open && !all.blocks {
            continue;
        }
        let (severity, message) = if open {
            let message = format!(
                "no pod with a port named {name} is known to be in the block, and outside the cluster no port has a name"
            );
            (Severity::Note, message)
        } else if all.pods.is_empty() {
            let message = format!(
                "the block holds no pod with a port named {name}, and outside the cluster no port has a name"
            );
            (Severity::Warning, message)
        } else {
            let (severity, read) = if all.elsewhere {
                (Severity::Note, " among what was read")
            } else {
                (Severity::Warning, "")
            };
            let protocol = port.protocol;
            let message =
                format!("no destination of the rule{read} has a port named {name} with protocol {protocol}");
            (severity, message)
        };
        let remedy = remedy(&all.pods, name, Some(port.protocol));
        let field = format!("spec.{way}[{index}].ports[{item}].port");
        found.add(severity, Code::NamedPortWithoutOwner, (&policy.reference, field), message, remedy);
    }
}

fn has(pods: &[&Arc<Pod>], name: &str, protocol: Option<Protocol>) -> bool {
    let mut ports = pods.iter().flat_map(|pod| &pod.named_ports);
    ports.any(|port| {
        // One without a number stands for no port.
        port.name == name && port.number != 0 && protocol.is_none_or(|protocol| port.protocol == protocol)
    })
}

fn remedy(destinations: &[&Arc<Pod>], name: &str, protocol: Option<Protocol>) -> String {
    let known = || destinations.iter().flat_map(|pod| &pod.named_ports).filter(|port| port.number != 0);
    let of_name = known().find(|port| port.name == name);
    if let (Some(port), Some(_)) = (of_name, protocol) {
        return format!("write protocol: {}, which the containers have for {name}", port.protocol);
    }
    let mut names: Vec<String> =
        known().map(|port| format!("{} ({}/{})", port.name, port.number, port.protocol)).collect();
    names.sort();
    names.dedup();
    names.truncate(NAMES);
    match (names.is_empty(), destinations.is_empty()) {
        (true, true) => "use the number of the port".to_owned(),
        (true, false) => "use the number of the port, or give a container's port this name".to_owned(),
        (false, _) => format!("use a number, or one of the names that there are: {}", names.join(", ")),
    }
}

/// The API refuses names where a rule is about more than pods.
fn cluster_ports(found: &mut Findings<'_>, pods: &Pods, policy: &ClusterPolicy) {
    for (way, index, rule) in of_cluster(policy) {
        let sets = || {
            rule.peers.iter().filter_map(|peer| match peer {
                ClusterPeer::Pods(set) => Some(set),
                _ => None,
            })
        };
        // The subject of a policy may have pods elsewhere too.
        let (destinations, sets): (Vec<&Arc<Pod>>, Vec<&PodSet>) = match way {
            Direction::Ingress => (pods.set(&policy.subject), vec![&policy.subject]),
            Direction::Egress => (sets().flat_map(|set| pods.set(set)).collect(), sets().collect()),
        };
        let sure = sets.iter().all(|set| pods.is_sure(set));
        let elsewhere = sets.iter().any(|set| pods.goes_elsewhere(&set.namespaces));
        let severity = if elsewhere { Severity::Note } else { Severity::Warning };
        if destinations.is_empty() || !sure {
            continue;
        }
        for (item, port) in rule.ports.iter().enumerate() {
            let ClusterPort::Named(name) = port else { continue };
            if has(&destinations, name, None) {
                continue;
            }
            let kind = policy.reference.kind;
            let field = format!("spec.{way}[{index}].{}[{item}]", ports_field(kind));
            let read = if elsewhere { " among what was read" } else { "" };
            let message = format!("no destination of the rule{read} has a port named {name}");
            let of = (&policy.reference, field);
            let remedy = remedy(&destinations, name, None);
            found.add(severity, Code::NamedPortWithoutOwner, of, message, remedy);
        }
    }
}
