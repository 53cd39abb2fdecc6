//! Whether the other end is one that a rule admits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_model::Direction;

use super::answer::Answer;
use super::{Question, near, unknown};
use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::difference::PeerDifference;
use crate::flow::PeerKind;
use crate::policy::RulePeer;
use crate::profile::HostNetwork;
use crate::selector::{Requirement, Selector};

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
        let by_namespace = match namespaces {
            Some(selector) => unknown::selects(selector, namespace_labels, self.is_namespace_given),
            None => Answer::certain(pod.namespace == **policy_namespace),
        };
        let mut differences = match namespaces {
            Some(selector) => self.namespace_labels_unmet(pod, namespace_labels, selector),
            None if by_namespace.holds => Vec::new(),
            None => vec![PeerDifference::OtherNamespace {
                admitted: Arc::clone(policy_namespace),
                actual: pod.namespace.clone(),
            }],
        };
        differences.extend(pods.unmet(&pod.labels).map(|requirement| PeerDifference::PodLabel {
            requirement: requirement.clone(),
            actual: pod.labels.get(&requirement.key).cloned(),
        }));
        let selected = by_namespace.and(Answer::certain(pods.matches(&pod.labels)));
        if !pod.host_network {
            return (selected, differences);
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
        (selected.and(Answer::doubtful(as_pod, Caveat::HostNetworkPeer)), differences)
    }

    /// What a selector of namespaces asks that the one of a pod does not meet, or is not known to.
    pub(super) fn namespace_labels_unmet(
        &self,
        pod: &Pod,
        labels: &BTreeMap<String, String>,
        selector: &Selector,
    ) -> Vec<PeerDifference> {
        let difference = |requirement: &Requirement| {
            let (namespace, requirement) = (pod.namespace.clone(), requirement.clone());
            if self.is_unknown_of_namespace(&requirement) {
                return PeerDifference::UnknownNamespace { namespace, requirement };
            }
            let actual = labels.get(&requirement.key).cloned();
            PeerDifference::NamespaceLabel { namespace, requirement, actual }
        };
        selector.unmet(labels).map(difference).collect()
    }

    fn block(&self, item: &RulePeer, cidr: IpNet, except: &[IpNet]) -> (Answer, Vec<PeerDifference>) {
        let address = self.peer.ip.to_canonical();
        let Answer { holds: held, doubts } = self.held(&[cidr], except);
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
        // Where the profile does not apply blocks to such an address, another reading would, wherever the pod will be.
        let is_unknown = !doubts.is_empty() && read && applies;
        let matters = held || (!doubts.is_empty() && !is_unknown);
        if is_unknown {
            answer.doubts.extend(doubts);
        }
        if matters && !read {
            answer.doubts.insert(Caveat::Ipv6);
        }
        if matters && is_pod {
            answer.doubts.insert(Caveat::IpBlockOnPodAddress);
        }
        let holds_node = |address: &IpAddr| item.holds(*address);
        let on_node = if self.is_unplaced() { matters } else { nodes.iter().any(holds_node) };
        if on_node && !nodes.is_empty() {
            answer.doubts.insert(Caveat::IpBlockOnNodeAddress);
        }
        // A source outside the pod network may come through a Service with a node's address instead of its own.
        if self.direction == Direction::Ingress && self.flow.service.is_some() && !is_pod {
            answer.doubts.insert(Caveat::TranslatedAddress);
        }
        let differences = if holds {
            Vec::new()
        } else if is_unknown {
            vec![PeerDifference::UnknownAddress { networks: vec![cidr], except: except.to_vec() }]
        } else if matters && is_pod {
            vec![PeerDifference::PodAddress { cidr, address }]
        } else if matters && read {
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

fn block_difference(cidr: IpNet, except: &[IpNet], address: IpAddr) -> PeerDifference {
    match except.iter().find(|except| except.contains(&address)) {
        Some(except) if cidr.contains(&address) => {
            PeerDifference::Excepted { cidr, except: *except, address }
        }
        _ => PeerDifference::OutsideBlock { cidr, address },
    }
}
