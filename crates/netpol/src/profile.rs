//! Where the API leaves room, the reading of a data plane.

use crate::cluster::Pod;

/// How a data plane reads what the API leaves open. The readings that decide an answer are listed with it as
/// [`Caveat`](crate::Caveat)s, whatever the profile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whether an `ipBlock` applies to the addresses of pods.
    pub ip_block_matches_pods: bool,
    /// What a host-network pod is to a policy.
    pub host_network: HostNetwork,
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
    pub const UPSTREAM: Self = Self { ip_block_matches_pods: true, host_network: HostNetwork::AsNode };

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
