//! Where the API leaves room, the reading of a data plane.

use crate::cluster::Pod;

/// How a data plane reads what the API leaves open. The readings that decide an answer are listed with it as
/// [`Caveat`](crate::Caveat)s, whatever the profile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as people give it.
    pub name: &'static str,
    /// Whether an `ipBlock` of a NetworkPolicy applies to the addresses of pods.
    pub ip_block_matches_pods: bool,
    /// Whether an `ipBlock` of a NetworkPolicy applies to the addresses of nodes, and so of host-network pods that count as
    /// their nodes.
    pub ip_block_matches_nodes: bool,
    /// Whether `networks` of a policy of the cluster apply to the addresses of pods, as its API requires.
    pub networks_match_pods: bool,
    /// What a host-network pod is to a policy.
    pub host_network: HostNetwork,
    /// Whether a pod and its own node always reach each other.
    pub own_node: bool,
    /// Whether `nodes` of a policy of the cluster are read; where not, they match nobody.
    pub nodes: bool,
    /// Whether names of ports of restartable init containers count.
    pub init_container_ports: bool,
    /// Which ports a name stands for.
    pub named_ports: NamedPorts,
    /// Where egress policies see a connection to a Service.
    pub service_address: ServiceAddress,
    /// Whether IPv6 addresses are read; where not, blocks and networks of them match nobody.
    pub ipv6: bool,
}

/// Which ports of a pod a name stands for when several containers use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedPorts {
    /// All of them.
    All,
    /// The first, in the order of containers.
    First,
    /// The first of the protocol, in the order of containers.
    FirstOfProtocol,
    /// Not read in NetworkPolicies: every port of the protocol. The API requires otherwise.
    Unread,
}

/// Where egress policies see a connection to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAddress {
    /// After its translation: at the endpoint's address and port.
    Translated,
    /// Before it: at the Service's own address and port, with selectors of pods resolved to the Services that select the
    /// same pods.
    Original,
}

/// What a host-network pod is to a NetworkPolicy: "limited to 2 possibilities" by its documentation, and some data planes
/// stand between them. Policies of the cluster never select one, says their API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostNetwork {
    /// Its node: never selected, only seen by its address. The common model.
    AsNode,
    /// Its node, but an item that selects all pods of all namespaces holds it too.
    InEveryNamespace,
    /// As the subject its node, as the other end a pod like any other.
    AsPeer,
    /// A pod like any other.
    AsPod,
    /// Not looked at: a pod like any other, even to policies of the cluster.
    Ignored,
}

impl HostNetwork {
    /// Whether NetworkPolicies apply to it.
    pub fn is_subject(self) -> bool {
        matches!(self, Self::AsPod | Self::Ignored)
    }

    /// Whether selectors of NetworkPolicies see it at the other end.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::AsPeer | Self::AsPod | Self::Ignored)
    }
}

impl Profile {
    /// What the sig-network e2e tests require, and the common model where they require nothing.
    pub const UPSTREAM: Self = Self {
        name: "upstream",
        ip_block_matches_pods: true,
        ip_block_matches_nodes: true,
        networks_match_pods: true,
        host_network: HostNetwork::AsNode,
        own_node: true,
        nodes: true,
        init_container_ports: true,
        named_ports: NamedPorts::All,
        service_address: ServiceAddress::Translated,
        ipv6: true,
    };

    /// What np-guard/netpol-analyzer reads, which enforces nothing: addresses in rules are never those of pods, IPv4
    /// alone, host networking and nodes are not looked at, of the ports of a name the first among the regular
    /// containers counts (its `pkg/netpol/eval`; found by reproducing its results).
    pub const NP_GUARD: Self = Self {
        name: "np-guard",
        ip_block_matches_pods: false,
        ip_block_matches_nodes: true,
        networks_match_pods: false,
        host_network: HostNetwork::Ignored,
        own_node: false,
        nodes: false,
        init_container_ports: false,
        named_ports: NamedPorts::First,
        service_address: ServiceAddress::Translated,
        ipv6: false,
    };

    /// Calico: blocks become nets that hold pods too, host-network pods are their host; names of all init containers
    /// count (projectcalico/calico#8885), of which those that end are not known here.
    pub const CALICO: Self = Self { name: "calico", ..Self::UPSTREAM };

    /// Cilium: an `ipBlock` selects no identity of the cluster, so no pod and no node (cilium/cilium#9209,
    /// `Documentation/network/kubernetes/policy.rst`; nodes with `--policy-cidr-match-mode=nodes`, which is not the default).
    pub const CILIUM: Self = Self {
        name: "cilium",
        ip_block_matches_pods: false,
        ip_block_matches_nodes: false,
        ..Self::UPSTREAM
    };

    /// Antrea: port names are those of `spec.containers`
    /// (`pkg/controller/networkpolicy/networkpolicy_controller.go`).
    pub const ANTREA: Self = Self { name: "antrea", init_container_ports: false, ..Self::UPSTREAM };

    /// OVN-Kubernetes: ACLs on the CIDR of a block hold pods too; an empty `namespaceSelector` holds host-network traffic
    /// as well (ovn-org/ovn-kubernetes#3669); the name of a port is read as the number 0, which is every port of the protocol
    /// (`addPortPolicy` in `go-controller/pkg/ovn/gress_policy.go`; ovn-kubernetes/ovn-kubernetes#2117).
    pub const OVN_KUBERNETES: Self = Self {
        name: "ovn-kubernetes",
        host_network: HostNetwork::InEveryNamespace,
        named_ports: NamedPorts::Unread,
        ..Self::UPSTREAM
    };

    /// kube-router: blocks are sets of networks that hold pods too, and a rule of its own lets the local node in
    /// (`pkg/controllers/netpol/pod.go`); port names are those of `spec.containers` (`grabNamedPortFromPod` in
    /// `pkg/controllers/netpol/policy.go`).
    pub const KUBE_ROUTER: Self = Self { name: "kube-router", init_container_ports: false, ..Self::UPSTREAM };

    /// The AWS VPC CNI: its controller counts host-network pods among the peers and not among the subjects
    /// (`endpoints.go` of amazon-network-policy-controller-k8s), and its agent filters egress at the pod's own interface,
    /// before the translation of a Service's address; of a port's name the first of the protocol in `spec.containers` counts
    /// (`LookupContainerPortAndName` in `pkg/k8s/pod_utils.go`).
    pub const AWS_VPC_CNI: Self = Self {
        name: "aws-vpc-cni",
        host_network: HostNetwork::AsPeer,
        init_container_ports: false,
        named_ports: NamedPorts::FirstOfProtocol,
        service_address: ServiceAddress::Original,
        ..Self::UPSTREAM
    };

    /// All that have a name.
    pub const ALL: [Self; 8] = [
        Self::UPSTREAM,
        Self::NP_GUARD,
        Self::CALICO,
        Self::CILIUM,
        Self::ANTREA,
        Self::OVN_KUBERNETES,
        Self::KUBE_ROUTER,
        Self::AWS_VPC_CNI,
    ];

    /// The one of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Whether selectors can see it: not a pod that has finished, nor one that counts as its node.
    pub(crate) fn sees_as_pod(self, pod: &Pod) -> bool {
        !pod.finished && (!pod.host_network || self.host_network.is_peer())
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::UPSTREAM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::by_name(profile.name), Some(profile));
        }
        assert_eq!(Profile::by_name("weave"), None);
    }
}
