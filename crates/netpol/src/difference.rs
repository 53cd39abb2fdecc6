//! What separates a flow from what a rule says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::{PolicyRef, RulePort};
use crate::selector::Requirement;

/// A rule that would have admitted the flow but for one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearestMiss {
    /// Which policy.
    pub policy: PolicyRef,
    /// The rule, from 1.
    pub rule: usize,
    /// Its name; empty where it has none.
    pub name: String,
    /// The one thing.
    pub difference: Difference,
}

/// The one thing that kept a rule from matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The peer is not the right one.
    Peer(PeerDifference),
    /// The port is not among those listed.
    Port(Vec<PortDifference>),
}

/// What separates a peer from an item of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerDifference {
    /// The item selects pods, and the other end is none: an address outside, a node, or a finished pod.
    NotAPod,
    /// The item selects pods, and the other end is a host-network pod, which the profile treats as its node.
    HostNetworkPod,
    /// The item has no `namespaceSelector`, so it selects pods of the policy's own namespace.
    OtherNamespace {
        /// The policy's namespace.
        admitted: Arc<str>,
        /// The pod's namespace.
        actual: String,
    },
    /// The labels of the pod's namespace do not meet a requirement.
    NamespaceLabel {
        /// The pod's namespace.
        namespace: String,
        /// What is required.
        requirement: Requirement,
        /// The value it has.
        actual: Option<String>,
    },
    /// A requirement is about a label of the pod's namespace, which was not given.
    UnknownNamespace {
        /// The pod's namespace.
        namespace: String,
        /// What is required.
        requirement: Requirement,
    },
    /// The labels of the pod do not meet a requirement.
    PodLabel {
        /// What is required.
        requirement: Requirement,
        /// The value it has.
        actual: Option<String>,
    },
    /// The address is not in the block.
    OutsideBlock {
        /// The block.
        cidr: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// The address is in an exception of the block.
    Excepted {
        /// The block.
        cidr: IpNet,
        /// The exception.
        except: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// The block or network holds the address, but it is a pod's, and the profile says that they do not apply to pods.
    PodAddress {
        /// The block or network.
        cidr: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// The block holds the address, but it is a node's, and the profile says that they do not apply to nodes.
    NodeAddress {
        /// The block.
        cidr: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// The address is in none of the networks.
    OutsideNetworks {
        /// The networks.
        networks: Vec<IpNet>,
        /// The address.
        address: IpAddr,
    },
    /// The pod has no address yet, and whether the block or one of the networks will hold it is not known.
    UnknownAddress {
        /// The block or the networks.
        networks: Vec<IpNet>,
        /// Exceptions of the block.
        except: Vec<IpNet>,
    },
    /// The item selects nodes, and the other end is none, or none that the profile sees.
    NotANode,
    /// The labels of the node do not meet a requirement.
    NodeLabel {
        /// What is required.
        requirement: Requirement,
        /// The value it has.
        actual: Option<String>,
    },
    /// The item lists domain names, and which addresses they stand for is not known.
    DomainNames(Vec<String>),
    /// The rule has fields of a later version of the API: it accepts nothing.
    UnknownFields(Vec<String>),
    /// The rule is applied to the Service's own address and port, and does not admit these.
    ServiceAddress(SocketAddr),
    /// In the words of who evaluated it: this decision was read from a file.
    Told(String),
}

/// Why an item of `ports` does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortDifference {
    /// What the rule lists.
    pub listed: ListedPort,
    /// Why it is not the flow's port.
    pub reason: PortReason,
}

/// An item of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedPort {
    /// Ports of one protocol.
    Port(RulePort),
    /// A port of the destination pod by its name alone.
    Named(String),
}

/// Why an item of `ports` does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortReason {
    /// Another protocol; the number fits.
    OtherProtocol,
    /// Another number (and perhaps another protocol too).
    OtherNumber,
    /// The destination has no port of this name and protocol, or is no pod.
    NameUnresolved,
    /// The destination gives this name other numbers (and perhaps the protocol differs too).
    NameResolvesTo(Vec<u16>),
}
