//! Whether the other end is one that a rule admits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_model::Direction;

use super::answer::Answer;
use super::{Question, near};
use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::difference::PeerDifference;
use crate::flow::PeerKind;
use crate::policy::RulePeer;
use crate::profile::HostNetwork;
use crate::selector::Selector;

impl Question<'_> {
    /// Whether one of the items of `from` or `to` matches; if none does, what separates the nearest.
    pub(super) fn peers(
        &self,
        policy_namespace: &Arc<str>,
        items: &[RulePeer],
    ) -> (Answer, Vec<PeerDifference>) {
        if items.is_empty() {
            return (Answer::certain(true), Vec::new());
        }
        any_of(items.iter().map(|item| match item {
            RulePeer::Pods { namespaces, pods } => self.pods(policy_namespace, namespaces.as_ref(), pods),
            RulePeer::IpBlock { cidr, except } => self.block(item, *cidr, except),
        }))
    }

    pub(super) fn pods(
        &self,
        policy_namespace: &Arc<str>,
        namespaces: Option<&Selector>,
        pods: &Selector,
    ) -> (Answer, Vec<PeerDifference>) {
        let (Some(pod), Some(namespace_labels)) = (self.peer.as_pod(), &self.namespace_labels) else {
            return (Answer::certain(false), vec![PeerDifference::NotAPod]);
        };
        if pod.finished {
            return (Answer::certain(false), vec![PeerDifference::NotAPod]);
        }
        let mut differences = namespace_differences(policy_namespace, namespaces, pod, namespace_labels);
        differences.extend(pods.unmet(&pod.labels).map(|requirement| PeerDifference::PodLabel {
            requirement: requirement.clone(),
            actual: pod.labels.get(&requirement.key).cloned(),
        }));
        let selected = differences.is_empty();
        if !pod.host_network {
            return (Answer::certain(selected), differences);
        }
        let everybody = || {
            namespaces.is_some_and(|namespaces| namespaces.requirements.is_empty())
                && pods.requirements.is_empty()
        };
        let in_every_namespace = self.profile.host_network == HostNetwork::InEveryNamespace;
        let as_pod = self.profile.host_network.is_peer() || (in_every_namespace && everybody());
        if !as_pod {
            differences.insert(0, PeerDifference::HostNetworkPod);
        }
        let answer =
            if selected { Answer::doubtful(as_pod, Caveat::HostNetworkPeer) } else { Answer::certain(false) };
        (answer, differences)
    }

    fn block(&self, item: &RulePeer, cidr: IpNet, except: &[IpNet]) -> (Answer, Vec<PeerDifference>) {
        let address = self.peer.ip.to_canonical();
        let held = item.holds(address);
        let is_pod = self.peer_is_pod();
        let read = self.reads(address);
        let nodes = self.node_addresses();
        let applies = if is_pod {
            self.profile.ip_block_matches_pods
        } else {
            nodes.is_empty() || self.profile.ip_block_matches_nodes
        };
        let holds = held && read && applies;
        let mut answer = Answer::certain(holds);
        if held && !read {
            answer.doubts.insert(Caveat::Ipv6);
        }
        if is_pod && held {
            answer.doubts.insert(Caveat::IpBlockOnPodAddress);
        }
        if nodes.iter().any(|address| item.holds(*address)) {
            answer.doubts.insert(Caveat::IpBlockOnNodeAddress);
        }
        // A source outside the pod network may come through a Service with a node's address instead of its own.
        if self.direction == Direction::Ingress && self.flow.service.is_some() && !is_pod {
            answer.doubts.insert(Caveat::TranslatedAddress);
        }
        let differences = if holds {
            Vec::new()
        } else if held && is_pod {
            vec![PeerDifference::PodAddress { cidr, address }]
        } else if held && read {
            vec![PeerDifference::NodeAddress { cidr, address }]
        } else {
            vec![block_difference(cidr, except, address)]
        };
        (answer, differences)
    }

    /// Whether networks of the family of an address are read.
    pub(super) fn reads(&self, address: IpAddr) -> bool {
        address.is_ipv4() || self.profile.ipv6
    }

    /// When the other end is a node, or seen as one: the address used and all that it is known to have.
    fn node_addresses(&self) -> Vec<IpAddr> {
        let known = match &self.peer.kind {
            PeerKind::Node(node) => &node.addresses,
            PeerKind::Pod(pod) if !pod.finished && !self.profile.sees_as_pod(pod) => &pod.ips,
            PeerKind::Pod(_) | PeerKind::External => return Vec::new(),
        };
        std::iter::once(self.peer.ip).chain(known.iter().copied()).collect()
    }
}

/// Whether one of the items matches; if none does, what separates the nearest.
pub(super) fn any_of(
    items: impl Iterator<Item = (Answer, Vec<PeerDifference>)>,
) -> (Answer, Vec<PeerDifference>) {
    let mut answer = Answer::certain(false);
    let mut nearest: Option<Vec<PeerDifference>> = None;
    for (matches, differences) in items {
        answer = answer.or(matches);
        if nearest.as_ref().is_none_or(|nearest| near::distance(&differences) < near::distance(nearest)) {
            nearest = Some(differences);
        }
    }
    (answer, nearest.unwrap_or_default())
}

fn namespace_differences(
    policy_namespace: &Arc<str>,
    namespaces: Option<&Selector>,
    pod: &Pod,
    labels: &BTreeMap<String, String>,
) -> Vec<PeerDifference> {
    match namespaces {
        Some(selector) => selector
            .unmet(labels)
            .map(|requirement| PeerDifference::NamespaceLabel {
                namespace: pod.namespace.clone(),
                requirement: requirement.clone(),
                actual: labels.get(&requirement.key).cloned(),
            })
            .collect(),
        None if pod.namespace == **policy_namespace => Vec::new(),
        None => vec![PeerDifference::OtherNamespace {
            admitted: Arc::clone(policy_namespace),
            actual: pod.namespace.clone(),
        }],
    }
}

fn block_difference(cidr: IpNet, except: &[IpNet], address: IpAddr) -> PeerDifference {
    match except.iter().find(|except| except.contains(&address)) {
        Some(except) if cidr.contains(&address) => {
            PeerDifference::Excepted { cidr, except: *except, address }
        }
        _ => PeerDifference::OutsideBlock { cidr, address },
    }
}
