//! The points of an answer that the Kubernetes API leaves to the implementation.

use std::fmt;

/// A point left to the data plane that decided: under another permitted reading, the answer would be, or
/// could be, the other one. A point that made no difference to the verdict is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Caveat {
    /// An `ipBlock` holds the address of a pod. The API says blocks "should be cluster-external IPs"; the
    /// sig-network e2e tests require the match, Cilium does not match by default.
    IpBlockOnPodAddress,
    /// An `ipBlock` holds an address of a node or host-network pod. Which of its addresses a node uses as
    /// source, and whether blocks see nodes at all (Cilium: not by default), is up to the data plane.
    IpBlockOnNodeAddress,
    /// The subject is a host-network pod. The API lets data planes treat it as a pod or as its node.
    HostNetworkSubject,
    /// The other end is a host-network pod: selected as a pod, or seen as its node's address.
    HostNetworkPeer,
    /// A named port was resolved only through an init container (a native sidecar). Several data planes read
    /// the regular containers alone.
    InitContainerPort,
    /// A named port stands for several numbers of the destination (names are unique per container, not per
    /// pod), and some data planes take only one of them.
    AmbiguousNamedPort,
    /// The pod reaches itself through a Service address (kubernetes/kubernetes#95879).
    Hairpin,
    /// The pod's own node is reached from the pod. The documentation says this is always allowed; the API
    /// text says so only for the way in, and Calico makes the way out a setting.
    OwnNode,
    /// The connection goes through a Service, and a rule decided that would say otherwise of the Service's own
    /// address and port; the API leaves open whether it sees them before or after translation. For ingress, the
    /// source of an `ipBlock` may have been translated too.
    TranslatedAddress,
    /// A port beyond the first of a range decided. Data planes without support for `endPort` enforce only the
    /// first one.
    EndPort,
    /// The namespace of the subject, or the cluster, holds a policy that could not be read; see
    /// [`PolicyIndex::with_unreadable`](crate::PolicyIndex::with_unreadable).
    UnreadablePolicy,
    /// A rule of a policy of the cluster lists domain names. Which addresses they stand for is not known here; they are
    /// read as none. Names of pods are those of the cluster's DNS alone.
    DomainNames,
    /// A rule of a policy of the cluster has a field of a later version of the API. It fails closed, as the API says,
    /// where the data plane does not know the field either.
    UnknownField,
    /// Two policies of the cluster with one priority match and disagree. Which of them is applied is not defined; the
    /// first by name is taken.
    EqualPriority,
    /// `networks` of a policy of the cluster hold the address of a pod. The API requires the match; the profile says
    /// otherwise.
    NetworksOnPodAddress,
    /// `nodes` of a policy of the cluster, an experimental field that the profile does not read.
    NodePeer,
    /// `nodes` of a policy of the cluster, and the labels of the host-network pod's node are not known.
    UnknownNode,
    /// A block or network that may hold the address of a pod that has none yet, as a template of pods in a file; it is read
    /// as holding none.
    UnknownAddress,
    /// A selector asks for a label of a namespace that was not given. It is read as having
    /// `kubernetes.io/metadata.name` alone.
    UnknownNamespace,
    /// A network of IPv6, which the profile does not read.
    Ipv6,
    /// A port's name in a NetworkPolicy. The API requires that it is resolved; the profile reads every port instead.
    PortName,
}

impl Caveat {
    /// Whether no choice of a data plane answers it, because it is about what cannot be known here.
    pub fn is_unknowable(self) -> bool {
        matches!(
            self,
            Self::UnreadablePolicy
                | Self::DomainNames
                | Self::UnknownNode
                | Self::UnknownAddress
                | Self::UnknownNamespace
        )
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IpBlockOnPodAddress => "whether an ipBlock applies to the address of a pod",
            Self::IpBlockOnNodeAddress => "whether an ipBlock applies to the address of a node",
            Self::HostNetworkSubject => "whether policies apply to a host-network pod",
            Self::HostNetworkPeer => "whether a host-network pod is selected as a pod or seen as its node",
            Self::InitContainerPort => "whether a port name of an init container counts",
            Self::AmbiguousNamedPort => "which number a port name stands for when containers share it",
            Self::Hairpin => "whether policies apply to a pod that reaches itself through a Service",
            Self::OwnNode => "whether a pod may always reach its own node",
            Self::TranslatedAddress => "whether a rule sees the address and port before or after translation",
            Self::EndPort => "whether a range of ports counts beyond its first port",
            Self::UnreadablePolicy => "what a policy that could not be read says",
            Self::DomainNames => "which addresses the domain names of a rule stand for",
            Self::UnknownField => "what a field of a later version of the API means to a rule",
            Self::EqualPriority => "which of two policies with one priority is applied",
            Self::NetworksOnPodAddress => "whether networks apply to the address of a pod",
            Self::NodePeer => "whether a rule about nodes is read",
            Self::UnknownNode => "which labels the node of a host-network pod has",
            Self::UnknownAddress => "whether a block holds the address of a pod that has none yet",
            Self::UnknownNamespace => "which labels a namespace that was not given has",
            Self::Ipv6 => "whether networks of IPv6 are read",
            Self::PortName => "whether the name of a port is read",
        })
    }
}
