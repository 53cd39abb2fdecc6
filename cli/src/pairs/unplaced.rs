//! Pods whose address is not known, where policies have blocks that may hold it.

use ipnet::IpNet;
use peerwalk_manifests::Cluster;
use peerwalk_netpol::{ClusterPeer, Direction, Pod, Profile, RulePeer};

/// What is said of rows then: nobody knows them.
const NOTE: &str = "note: pods without an address, as those of workloads in files, are taken as in no ipBlock and no networks \
                    but those of all addresses; where others will hold them, rows are not as listed here (`peerwalk explain` \
                    tells of one pair whether that decides)";

/// What to say, where a block may hold a pod that has no address yet.
pub fn note(cluster: &Cluster, profile: Profile) -> Option<&'static str> {
    let pods = || {
        let all = cluster.workloads.iter().flat_map(|workload| &workload.pods);
        all.filter(|pod| !pod.finished && pod.ips.is_empty())
    };
    pods().next()?;
    let blocks = blocks(cluster);
    let is_held = |pod: &Pod| {
        blocks.iter().any(|block| {
            let read = match block.of {
                Kind::Block => profile.ip_block_matches_pods,
                Kind::Networks => profile.networks_match_pods,
            };
            // A host-network pod is at an address of its node.
            if pod.host_network {
                profile.ip_block_matches_nodes
            } else {
                read && may_hold(cluster, block.net)
            }
        })
    };
    pods().any(|pod| is_held(pod)).then_some(NOTE)
}

/// Whether a block has room for pods, as far as nodes say where those are.
fn may_hold(cluster: &Cluster, block: IpNet) -> bool {
    let networks = &cluster.pod_networks;
    let meets = |network: &IpNet| network.contains(&block) || block.contains(network);
    networks.is_empty() || networks.iter().any(meets)
}

enum Kind {
    Block,
    Networks,
}

struct Held {
    net: IpNet,
    of: Kind,
}

/// Every block of a rule, and every exception, that is not all of a family.
fn blocks(cluster: &Cluster) -> Vec<Held> {
    let ways = [Direction::Ingress, Direction::Egress];
    let mut found = Vec::new();
    for policy in &cluster.policies {
        let rules = ways.into_iter().flat_map(|way| policy.rules(way).unwrap_or_default());
        for peer in rules.flat_map(|rule| &rule.peers) {
            if let RulePeer::IpBlock { cidr, except } = peer {
                found.extend(
                    std::iter::once(cidr).chain(except).map(|net| Held { net: *net, of: Kind::Block }),
                );
            }
        }
    }
    for policy in &cluster.cluster_policies {
        for peer in ways.into_iter().flat_map(|way| policy.rules(way)).flat_map(|rule| &rule.peers) {
            if let ClusterPeer::Networks(networks) = peer {
                found.extend(networks.iter().map(|net| Held { net: *net, of: Kind::Networks }));
            }
        }
    }
    found.retain(|held| held.net.prefix_len() > 0);
    found
}
