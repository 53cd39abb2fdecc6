//! Whether a rule of a policy of the cluster matches.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use peerwalk_model::Direction;

use super::Question;
use super::answer::Answer;
use super::peer::any_of;
use super::translation::any;
use super::unknown;
use crate::caveat::Caveat;
use crate::cluster_policy::{Action, ClusterPeer, ClusterPort, ClusterRule, PodSet};
use crate::decision::RuleStep;
use crate::difference::PeerDifference;
use crate::flow::PeerKind;
use crate::profile::HostNetwork;
use crate::selector::Selector;

impl Question<'_> {
    /// How a rule compares with the flow, and whether it matches.
    pub(super) fn cluster_rule(&self, index: usize, rule: &ClusterRule) -> (RuleStep, Answer) {
        let unknown = unknown_fields(rule);
        let step = |action, peer, port| RuleStep {
            index,
            name: rule.name.clone(),
            action,
            unknown: unknown.clone(),
            peer,
            port,
        };
        match rule.action {
            Action::Accept if !unknown.is_empty() => {
                let why = vec![PeerDifference::UnknownFields(unknown.clone())];
                (step(Action::Accept, why, Vec::new()), Answer::doubtful(false, Caveat::UnknownField))
            }
            Action::Deny | Action::Pass if !unknown.is_empty() => {
                (step(Action::Deny, Vec::new(), Vec::new()), Answer::doubtful(true, Caveat::UnknownField))
            }
            action => {
                let (by_peer, mut peer) = any_of(rule.peers.iter().map(|item| self.cluster_peer(item)));
                let (by_port, mut port) = self.cluster_ports(&rule.ports);
                let mut matches = by_peer.and(by_port);
                if let Some(service) = self.flow.service
                    && self.direction == Direction::Egress
                {
                    let before = self.matches_before(rule, service);
                    matches = self.translated(service, before, matches, &mut peer, &mut port);
                }
                (step(action, peer, port), matches)
            }
        }
    }

    fn cluster_peer(&self, item: &ClusterPeer) -> (Answer, Vec<PeerDifference>) {
        match item {
            ClusterPeer::Pods(set) => self.pod_set(set),
            ClusterPeer::Networks(networks) => self.networks(networks),
            ClusterPeer::Nodes(selector) => self.nodes(selector),
            ClusterPeer::DomainNames(names) => {
                let why = PeerDifference::DomainNames(names.clone());
                // A pod is found by the names that the cluster's DNS makes for it, and by no other (NPEP-133).
                let of_pods = self.peer.as_pod().is_some_and(|pod| !pod.finished && !pod.host_network);
                let answer = if of_pods && !names.iter().any(|name| may_name_a_pod(name)) {
                    Answer::certain(false)
                } else {
                    Answer::doubtful(false, Caveat::DomainNames)
                };
                (answer, vec![why])
            }
            ClusterPeer::Unknown(_) => (Answer::certain(false), Vec::new()),
        }
    }

    /// Host-network pods are never selected, says the API.
    fn pod_set(&self, set: &PodSet) -> (Answer, Vec<PeerDifference>) {
        let (Some(pod), Some(labels)) = (self.peer.as_pod(), &self.namespace_labels) else {
            return (Answer::certain(false), vec![PeerDifference::NotAPod]);
        };
        if pod.finished {
            return (Answer::certain(false), vec![PeerDifference::NotAPod]);
        }
        let mut differences = Vec::new();
        if pod.host_network && self.profile.host_network != HostNetwork::Ignored {
            differences.push(PeerDifference::HostNetworkPod);
        }
        let seen = differences.is_empty();
        differences.extend(self.namespace_labels_unmet(pod, labels, &set.namespaces));
        differences.extend(set.pods.unmet(&pod.labels).map(|requirement| PeerDifference::PodLabel {
            requirement: requirement.clone(),
            actual: pod.labels.get(&requirement.key).cloned(),
        }));
        let by_label = Answer::certain(seen && set.pods.matches(&pod.labels));
        let by_namespace = unknown::selects(&set.namespaces, labels, self.is_namespace_given);
        (by_label.and(by_namespace), differences)
    }

    /// Those of pods as well: "cluster-internal traffic will be checked against the rule as well".
    fn networks(&self, networks: &[IpNet]) -> (Answer, Vec<PeerDifference>) {
        let address = self.peer.ip.to_canonical();
        let held = self.held(networks, &[]);
        let outside = || vec![PeerDifference::OutsideNetworks { networks: networks.to_vec(), address }];
        if held == Answer::certain(false) {
            return (held, outside());
        }
        if !self.reads(address) {
            return (Answer::doubtful(false, Caveat::Ipv6), outside());
        }
        if let Some(cidr) = holding(networks, address).or_else(|| networks.first().copied())
            && self.peer_is_pod()
            && !self.profile.networks_match_pods
        {
            let why = PeerDifference::PodAddress { cidr, address };
            return (Answer::doubtful(false, Caveat::NetworksOnPodAddress), vec![why]);
        }
        let not_known = || PeerDifference::UnknownAddress { networks: networks.to_vec(), except: Vec::new() };
        let why = if held.holds { Vec::new() } else { vec![not_known()] };
        (held, why)
    }

    /// Nodes at the addresses of their status, and so the host-network pods on them.
    fn nodes(&self, selector: &Selector) -> (Answer, Vec<PeerDifference>) {
        let not_a_node = || vec![PeerDifference::NotANode];
        let node = match &self.peer.kind {
            PeerKind::Node(node) if node.addresses.contains(&self.peer.ip) => Some(node),
            PeerKind::Pod(pod) if pod.host_network && !pod.finished => self.index.node_of(pod),
            PeerKind::Pod(_) | PeerKind::Node(_) | PeerKind::External => {
                return (Answer::certain(false), not_a_node());
            }
        };
        let differences: Vec<PeerDifference> = match node {
            Some(node) => {
                let unmet = selector.unmet(&node.labels);
                unmet
                    .map(|requirement| PeerDifference::NodeLabel {
                        requirement: requirement.clone(),
                        actual: node.labels.get(&requirement.key).cloned(),
                    })
                    .collect()
            }
            None if selector.requirements.is_empty() => Vec::new(),
            None => return (Answer::doubtful(false, Caveat::UnknownNode), not_a_node()),
        };
        if self.profile.nodes || !differences.is_empty() {
            return (Answer::certain(differences.is_empty()), differences);
        }
        (Answer::doubtful(false, Caveat::NodePeer), not_a_node())
    }

    /// What the rule says of the Service's own address and port; selectors see the pods behind it.
    fn matches_before(&self, rule: &ClusterRule, service: SocketAddr) -> Answer {
        let selected = rule.peers.iter().map(|item| match item {
            ClusterPeer::Pods(_) | ClusterPeer::Nodes(_) | ClusterPeer::DomainNames(_) => {
                self.cluster_peer(item).0
            }
            ClusterPeer::Networks(_) | ClusterPeer::Unknown(_) => Answer::certain(false),
        });
        let held = rule.peers.iter().any(|item| match item {
            ClusterPeer::Networks(networks) => {
                let address = service.ip().to_canonical();
                self.reads(address) && holding(networks, address).is_some()
            }
            _ => false,
        });
        let listed = any(rule.ports.iter().map(|item| match item {
            ClusterPort::Numbers(item) => {
                let mut listed = self.lists_before(item, service.port());
                listed.doubts.remove(&Caveat::EndPort);
                listed
            }
            ClusterPort::Named(_) | ClusterPort::Unknown(_) => Answer::certain(false),
        }));
        let listed = if rule.ports.is_empty() { Answer::certain(true) } else { listed };
        let by_label = any(selected).and(self.cluster_ports(&rule.ports).0);
        by_label.or(Answer::certain(held).and(listed))
    }
}

fn holding(networks: &[IpNet], address: IpAddr) -> Option<IpNet> {
    networks.iter().find(|network| network.contains(&address)).copied()
}

/// Whether a domain name could be a record of a pod or a headless Service: `….pod.DOMAIN`, `….svc.DOMAIN`, or whatever is
/// above these.
fn may_name_a_pod(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let of_cluster = name == "*.local" || name.ends_with(".cluster.local");
    of_cluster || name.split('.').any(|label| label == "svc" || label == "pod")
}

/// The fields that nobody knows, of all peers and ports of a rule.
fn unknown_fields(rule: &ClusterRule) -> Vec<String> {
    let peers = rule.peers.iter().filter_map(|peer| match peer {
        ClusterPeer::Unknown(fields) => Some(fields),
        _ => None,
    });
    let ports = rule.ports.iter().filter_map(|port| match port {
        ClusterPort::Unknown(fields) => Some(fields),
        _ => None,
    });
    peers.chain(ports).flatten().cloned().collect()
}
