//! A policy of the cluster's administrators after defaulting and validation: ClusterNetworkPolicy, and the two kinds
//! before it, AdminNetworkPolicy and BaselineAdminNetworkPolicy, which differ from it in nothing but names.

use ipnet::IpNet;
use peerwalk_model::Direction;

use crate::policy::{PolicyRef, RulePort};
use crate::selector::Selector;

/// Where a policy stands in the order of evaluation. Every tier is asked per direction: one that decides nothing, or
/// passes, leaves the answer to the next, and the last to the default, which allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Tier {
    /// ClusterNetworkPolicies of the tier `Admin`, and AdminNetworkPolicies.
    Admin,
    /// NetworkPolicies, which always decide for the pods they select.
    NetworkPolicy,
    /// ClusterNetworkPolicies of the tier `Baseline`, and the BaselineAdminNetworkPolicy.
    Baseline,
}

/// A policy of the cluster: of those that select a pod, the first rule that matches decides, in the order of tiers,
/// priorities, names and rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Which object it is.
    pub reference: PolicyRef,
    /// `Admin` or `Baseline`.
    pub tier: Tier,
    /// `spec.priority`, 0 to 1000; the lowest is asked first. Which of two with one priority is asked first is not
    /// defined by the API. The BaselineAdminNetworkPolicy has none and is asked last.
    pub priority: u16,
    /// The pods that it applies to. Host-network pods are never among them.
    pub subject: PodSet,
    /// Rules for connections into the subject, in order.
    pub ingress: Vec<ClusterRule>,
    /// Rules for connections out of the subject, in order.
    pub egress: Vec<ClusterRule>,
}

/// Pods by the labels of their namespaces and their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodSet {
    /// `namespaceSelector`.
    pub namespaces: Selector,
    /// `podSelector`; one that was not given selects all pods.
    pub pods: Selector,
}

/// What a rule does with a connection that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Action {
    /// Lets it pass, whatever later tiers say. `Allow` in v1alpha1.
    Accept,
    /// Does not let it pass.
    Deny,
    /// Leaves it to the next tier.
    Pass,
}

/// One rule: a connection is matched when one of the peers and one of the ports match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRule {
    /// `name`; may be empty.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// The other ends; never empty.
    pub peers: Vec<ClusterPeer>,
    /// Ports of the destination; empty means every port of every protocol.
    pub ports: Vec<ClusterPort>,
}

/// One item of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterPeer {
    /// `namespaces` or `pods`. Host-network pods are never among them.
    Pods(PodSet),
    /// `networks`: addresses, those of pods as well.
    Networks(Vec<IpNet>),
    /// `nodes`: nodes by their labels, at any of their addresses, and the host-network pods on them.
    Nodes(Selector),
    /// `domainNames`, with a leading `*.` for one or more labels. Which addresses they stand for is not known here.
    DomainNames(Vec<String>),
    /// An item of a later version of the API, with the names of its fields. A rule with one fails closed: `Accept`
    /// matches nothing, and every other action denies everything ("treat the rule as a 'Deny all' rule",
    /// network-policy-api `apis/v1alpha2`).
    Unknown(Vec<String>),
}

/// One item of `protocols` or `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterPort {
    /// Numbers of one protocol.
    Numbers(RulePort),
    /// The number and protocol that the destination pod gives this name.
    Named(String),
    /// An item of a later version of the API, with the names of its fields; its rule fails closed as with an unknown
    /// peer.
    Unknown(Vec<String>),
}

impl ClusterPolicy {
    /// By what policies of the cluster are ordered: the tier, the priority, and the name where those are equal.
    pub(crate) fn order(&self) -> (Tier, u16, &PolicyRef) {
        (self.tier, self.priority, &self.reference)
    }

    /// The rules of a direction.
    pub fn rules(&self, direction: Direction) -> &[ClusterRule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}
