//! Pods of one workload that no policy of a cluster tells apart.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_manifests::{Cluster, Workload};
use peerwalk_netpol::{ClusterPeer, Direction, NamedPort, Pod, Profile, RulePeer};

use crate::flows;

/// With more blocks than these, addresses are compared themselves.
const BLOCKS: usize = 1000;

/// Tells pods apart.
pub struct Alike {
    /// Every block of a rule.
    blocks: Vec<IpNet>,
    /// Whether it matters on which node a pod is.
    nodes: bool,
    profile: Profile,
    /// Whether policies speak of IPv6: where none does, nothing is said of it for pods without an address.
    pub ipv6: bool,
}

/// Pods of one workload that are alike.
pub struct Sort {
    first: Arc<Pod>,
    /// Another, where there is one.
    another: Option<Arc<Pod>>,
    /// What there is between two of them needs no other: it is what rows say of one.
    is_told: bool,
}

impl Sort {
    /// Whether there are several.
    pub fn are_several(&self) -> bool {
        self.another.is_some()
    }

    /// The pods that stand for all: the first, and another where it has to be asked about.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        std::iter::once(&self.first).chain(self.another.as_ref().filter(|_| !self.is_told))
    }
}

/// What policies see of a pod.
#[derive(PartialEq, Eq, Hash)]
struct Seen<'a> {
    labels: Vec<(&'a str, &'a str)>,
    ports: Vec<(&'a str, u16, u8, bool)>,
    host_network: bool,
    node: Option<&'a str>,
    families: (usize, usize),
    blocks: Vec<usize>,
    ips: Vec<IpAddr>,
}

impl Alike {
    pub fn new(cluster: &Cluster, profile: Profile) -> Self {
        let ways = [Direction::Ingress, Direction::Egress];
        let rules = cluster.policies.iter().flat_map(|policy| {
            ways.into_iter()
                .flat_map(|way| policy.rules(way).unwrap_or_default())
                .flat_map(|rule| &rule.peers)
        });
        let mut blocks: HashSet<IpNet> = HashSet::new();
        for peer in rules {
            if let RulePeer::IpBlock { cidr, except } = peer {
                blocks.insert(*cidr);
                blocks.extend(except);
            }
        }
        for policy in &cluster.cluster_policies {
            for peer in ways.into_iter().flat_map(|way| policy.rules(way)).flat_map(|rule| &rule.peers) {
                if let ClusterPeer::Networks(networks) = peer {
                    blocks.extend(networks);
                }
            }
        }
        let ipv6 = profile.ipv6 && blocks.iter().any(|block| matches!(block, IpNet::V6(_)));
        blocks.retain(|block| block.prefix_len() > 0);
        let mut pods = cluster.workloads.iter().flat_map(|workload| &workload.pods);
        Self {
            blocks: blocks.into_iter().collect(),
            nodes: !cluster.nodes.is_empty() || pods.any(|pod| pod.host_network),
            profile,
            ipv6,
        }
    }

    /// The pods of a workload that run, by what policies see of them.
    pub fn sorts(&self, workload: &Workload) -> Vec<Sort> {
        let running: Vec<&Arc<Pod>> = workload.pods.iter().filter(|pod| !pod.finished).collect();
        let mut sorts: Vec<Sort> = Vec::new();
        let mut known: HashMap<Option<Seen<'_>>, usize> = HashMap::new();
        for pod in &running {
            // One alone is like no other, whatever it is.
            match known.entry((running.len() > 1).then(|| self.seen(pod))) {
                Entry::Vacant(place) => {
                    place.insert(sorts.len());
                    let another = workload.several.then(|| flows::another(pod));
                    sorts.push(Sort { first: Arc::clone(pod), another, is_told: false });
                }
                Entry::Occupied(place) => {
                    let sort = sorts.get_mut(*place.get());
                    if let Some(sort) = sort.filter(|sort| sort.another.is_none()) {
                        sort.another = Some(Arc::clone(pod));
                    }
                }
            }
        }
        if let [sort] = sorts.as_mut_slice() {
            sort.is_told =
                !sort.first.host_network && matches!(sort.first.ips.as_slice(), [] | [IpAddr::V4(_)]);
        }
        sorts
    }

    fn seen<'a>(&self, pod: &'a Pod) -> Seen<'a> {
        let port = |port: &'a NamedPort| (port.name.as_str(), port.number, port.protocol as u8, port.init);
        let many = self.blocks.len() > BLOCKS;
        let held = |block: &IpNet| pod.ips.iter().any(|ip| block.contains(ip));
        let matter =
            pod.host_network || self.profile.ip_block_matches_pods || self.profile.networks_match_pods;
        let blocks = self.blocks.iter().enumerate().filter(|(_, block)| matter && !many && held(block));
        Seen {
            labels: pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            ports: pod.named_ports.iter().map(port).collect(),
            host_network: pod.host_network,
            node: pod.node.as_deref().filter(|_| self.nodes),
            families: (
                pod.ips.iter().filter(|ip| ip.is_ipv4()).count(),
                pod.ips.iter().filter(|ip| ip.is_ipv6()).count(),
            ),
            blocks: blocks.map(|(place, _)| place).collect(),
            ips: if many && matter { pod.ips.clone() } else { Vec::new() },
        }
    }
}
