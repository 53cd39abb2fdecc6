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

/// What a host-network pod is to a policy: "limited to 2 possibilities" by the NetworkPolicy documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostNetwork {
    /// Its node: never selected, only seen by its address. The common model.
    AsNode,
    /// A pod like any other.
    AsPod,
}

impl Profile {
    /// What the sig-network e2e tests require, and the common model where they require nothing.
    pub const UPSTREAM: Self = Self {
        name: "upstream",
        ip_block_matches_pods: true,
        networks_match_pods: true,
        host_network: HostNetwork::AsNode,
        own_node: true,
        nodes: true,
        init_container_ports: true,
        named_ports: NamedPorts::All,
        service_address: ServiceAddress::Translated,
        ipv6: true,
    };

    /// Whether selectors can see it: not a pod that has finished, nor one that counts as its node.
    pub(crate) fn sees_as_pod(self, pod: &Pod) -> bool {
        !pod.finished && (!pod.host_network || self.host_network == HostNetwork::AsPod)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::UPSTREAM
    }
}
