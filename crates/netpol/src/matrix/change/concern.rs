//! Whether a rule may say something else after a pod came, or a namespace got other labels.

use std::net::IpAddr;

use ipnet::IpNet;
use peerwalk_model::Direction;

use crate::cluster::Pod;
use crate::cluster_policy::{ClusterPeer, ClusterPolicy, ClusterPort, PodSet};
use crate::matrix::ends::Ends;
use crate::matrix::words::{Label, Query};
use crate::policy::{Policy, Ports, RulePeer};
use crate::selector::Selector;

/// What happened.
pub(super) enum Concern {
    /// A namespace had these labels before.
    Namespace { number: u32, before: Vec<Label> },
    /// A pod came.
    Pod {
        namespace: u32,
        /// Its labels, where selectors see it.
        class: Option<u32>,
        host: bool,
        ips: Vec<IpAddr>,
    },
}

impl Concern {
    pub fn pod(pod: &Pod, namespace: u32, class: Option<u32>) -> Self {
        let ips = pod.ips.iter().map(IpAddr::to_canonical).collect();
        Self::Pod { namespace, class, host: pod.host_network, ips }
    }

    pub fn policy(&self, ends: &Ends, policy: &Policy, namespace: u32) -> bool {
        [Direction::Egress, Direction::Ingress].iter().any(|direction| {
            policy.rules(*direction).into_iter().flatten().any(|rule| {
                let egress = *direction == Direction::Egress;
                let names = egress && rule.ports.iter().any(|port| matches!(port.ports, Ports::Named(_)));
                // Everybody is everybody, now as before, but for what the names of ports stand for.
                (rule.peers.is_empty() && names && matches!(self, Self::Pod { .. }))
                    || rule.peers.iter().any(|peer| self.peer(ends, peer, namespace))
            })
        })
    }

    fn peer(&self, ends: &Ends, peer: &RulePeer, of: u32) -> bool {
        match (self, peer) {
            (Self::Namespace { .. }, RulePeer::Pods { namespaces, .. }) => {
                namespaces.as_ref().is_some_and(|selector| self.flips(ends, selector))
            }
            (Self::Pod { namespace, .. }, RulePeer::Pods { namespaces: None, pods }) => {
                *namespace == of && self.has_labels(ends, pods)
            }
            (Self::Pod { host, .. }, RulePeer::Pods { namespaces: Some(namespaces), pods }) => {
                let everybody = namespaces.requirements.is_empty() && pods.requirements.is_empty();
                (*host && everybody) || (self.has_namespace(ends, namespaces) && self.has_labels(ends, pods))
            }
            (Self::Pod { .. }, RulePeer::IpBlock { cidr, .. }) => self.is_within(std::slice::from_ref(cidr)),
            (Self::Namespace { .. }, RulePeer::IpBlock { .. }) => false,
        }
    }

    pub fn cluster_policy(&self, ends: &Ends, policy: &ClusterPolicy) -> bool {
        [Direction::Egress, Direction::Ingress].iter().any(|direction| {
            policy.rules(*direction).iter().any(|rule| {
                let unknown = |port: &ClusterPort| matches!(port, ClusterPort::Unknown(_));
                rule.ports.iter().any(unknown) || rule.peers.iter().any(|peer| self.cluster_peer(ends, peer))
            })
        })
    }

    fn cluster_peer(&self, ends: &Ends, peer: &ClusterPeer) -> bool {
        match (self, peer) {
            (Self::Namespace { .. }, ClusterPeer::Pods(set)) => self.flips(ends, &set.namespaces),
            (Self::Pod { .. }, ClusterPeer::Pods(PodSet { namespaces, pods })) => {
                self.has_namespace(ends, namespaces) && self.has_labels(ends, pods)
            }
            (Self::Pod { .. }, ClusterPeer::Networks(networks)) => self.is_within(networks),
            (Self::Pod { host, .. }, ClusterPeer::Nodes(_)) => *host,
            (Self::Pod { .. } | Self::Namespace { .. }, _) => false,
        }
    }

    /// Whether a selector selects the namespace now and did not before, or the other way round.
    fn flips(&self, ends: &Ends, selector: &Selector) -> bool {
        let Self::Namespace { number, before } = self else { return false };
        let query = Query::new(selector, &ends.words);
        query.matches(before) != ends.namespace_labels.matches(*number, &query)
    }

    fn has_namespace(&self, ends: &Ends, selector: &Selector) -> bool {
        let Self::Pod { namespace, .. } = self else { return false };
        ends.namespace_labels.matches(*namespace, &Query::new(selector, &ends.words))
    }

    fn has_labels(&self, ends: &Ends, selector: &Selector) -> bool {
        let Self::Pod { class: Some(class), .. } = self else { return false };
        ends.class_labels.matches(*class, &Query::new(selector, &ends.words))
    }

    fn is_within(&self, networks: &[IpNet]) -> bool {
        let Self::Pod { ips, .. } = self else { return false };
        ips.iter().any(|ip| networks.iter().any(|network| network.contains(ip)))
    }
}
