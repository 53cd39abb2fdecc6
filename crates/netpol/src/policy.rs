//! A policy after defaulting and validation, ready to be evaluated.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_model::{Direction, Protocol};

use crate::selector::Selector;

/// The kind of a policy object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PolicyKind {
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1` AdminNetworkPolicy.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1` BaselineAdminNetworkPolicy.
    BaselineAdminNetworkPolicy,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::AdminNetworkPolicy => "AdminNetworkPolicy",
            Self::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
        })
    }
}

/// The name of a policy object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct PolicyRef {
    /// Kind.
    pub kind: PolicyKind,
    /// Namespace; empty for the kinds that have none.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl PolicyRef {
    /// The name of a NetworkPolicy.
    pub fn network_policy(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind: PolicyKind::NetworkPolicy, namespace: namespace.into(), name: name.into() }
    }

    /// The name of a policy of a kind that belongs to the cluster.
    pub fn of_cluster(kind: PolicyKind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: Arc::default(), name: name.into() }
    }
}

impl fmt::Display for PolicyRef {
    /// `NetworkPolicy ledger/default-deny`, `ClusterNetworkPolicy tenants`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A policy: whom it isolates, and what it admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which object it is.
    pub reference: PolicyRef,
    /// The pods of its namespace that it applies to.
    pub subject: Selector,
    /// Rules for connections into the subject; `None` when the policy says nothing about ingress
    /// (`policyTypes` after defaulting), `Some` without rules when it admits nothing.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for connections out of the subject, in the same way.
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// The rules of a direction, or `None` when the policy does not isolate it.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

/// One rule: a connection is admitted when one of the peers and one of the ports match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The other ends; empty means everyone, pods or not.
    pub peers: Vec<RulePeer>,
    /// Ports of the destination; empty means every port of every protocol.
    pub ports: Vec<RulePort>,
}

/// One item of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RulePeer {
    /// Pods by their labels and the labels of their namespaces.
    Pods {
        /// `namespaceSelector`; `None` means the policy's own namespace.
        namespaces: Option<Selector>,
        /// `podSelector`; one that was not given selects all pods.
        pods: Selector,
    },
    /// Addresses.
    IpBlock {
        /// `cidr`.
        cidr: IpNet,
        /// `except`: parts that this item does not admit. It denies nothing.
        except: Vec<IpNet>,
    },
}

/// One item of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RulePort {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Which ports of it.
    pub ports: Ports,
}

/// Ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// All.
    All,
    /// `port` to `endPort`, both included.
    Numbers(RangeInclusive<u16>),
    /// The number that the destination pod gives this name.
    Named(String),
}

impl RulePort {
    /// One number.
    pub fn number(protocol: Protocol, number: u16) -> Self {
        Self { protocol, ports: Ports::Numbers(number..=number) }
    }
}

impl RulePeer {
    /// Whether an address lies in the block and in none of its exceptions. Never for pods by labels.
    pub fn holds(&self, address: IpAddr) -> bool {
        match self {
            Self::Pods { .. } => false,
            Self::IpBlock { cidr, except } => {
                let address = address.to_canonical();
                cidr.contains(&address) && !except.iter().any(|except| except.contains(&address))
            }
        }
    }
}

impl fmt::Display for RulePort {
    /// `80/TCP`, `8000-8999/TCP`, `http/TCP`, `every UDP port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ports {
            Ports::All => write!(f, "every {} port", self.protocol),
            Ports::Numbers(range) if range.start() == range.end() => {
                write!(f, "{}/{}", range.start(), self.protocol)
            }
            Ports::Numbers(range) => write!(f, "{}-{}/{}", range.start(), range.end(), self.protocol),
            Ports::Named(name) => write!(f, "{name}/{}", self.protocol),
        }
    }
}
