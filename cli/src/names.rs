//! Policies with rules by names of domains: which addresses those stand for, only DNS says.

use peerwalk_manifests::Cluster;
use peerwalk_model::Direction;
use peerwalk_netpol::{ClusterPeer, PolicyRef};

/// Policies that have such a rule.
pub fn policies(cluster: &Cluster) -> impl Iterator<Item = &PolicyRef> {
    let by_names = |peer: &ClusterPeer| matches!(peer, ClusterPeer::DomainNames(_));
    let policies = cluster.cluster_policies.iter().filter(move |policy| {
        // Only what pods connect to has names.
        policy.rules(Direction::Egress).iter().flat_map(|rule| &rule.peers).any(by_names)
    });
    policies.map(|policy| &policy.reference)
}
