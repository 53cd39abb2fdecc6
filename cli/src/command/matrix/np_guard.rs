//! The text rows of np-guard's netpol-analyzer, `SRC => DST : CONN`, so that its users can compare and change over.
//!
//! A workload is represented by its first pod; addresses outside are the parts into which the blocks of rules cut them,
//! as they are, not joined where they do not differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use peerwalk_manifests::Cluster;
use peerwalk_netpol::{
    ClusterPeer, Direction, End, EndId, Matrix, Objects, PortSet, Profile, Protocol, RulePeer,
};

use crate::pairs::objects;

/// Both ends included.
type Addresses = (u32, u32);

/// All rows, sorted.
pub fn rows(cluster: &Cluster, profile: Profile) -> String {
    let mut rows: Vec<String> = pairs(cluster, profile)
        .into_iter()
        .filter(|pair| !pair.ports.is_empty())
        .map(|pair| format!("{} => {} : {}", pair.from, pair.to, connections(&pair.ports)))
        .collect();
    rows.sort();
    rows.into_iter().fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{row}");
        text
    })
}

/// One row.
pub struct Pair {
    /// `ns/name[Kind]` or `first-last[External]`.
    pub from: String,
    /// As `from`.
    pub to: String,
    /// What is open.
    pub ports: PortSet,
}

/// Every pair, open or not.
pub fn pairs(cluster: &Cluster, profile: Profile) -> Vec<Pair> {
    let representatives: BTreeMap<String, _> = cluster
        .workloads
        .iter()
        .filter_map(|workload| {
            let name = &workload.name;
            let named = format!("{}/{}[{}]", name.namespace, name.name, name.kind);
            Some((named, workload.pods.first()?))
        })
        .collect();
    let pods = representatives.values().map(|pod| (*pod).clone()).collect();
    let matrix = Matrix::new(&Objects { nodes: Vec::new(), ..objects(cluster, pods) }, profile);
    let mut places: HashMap<(&str, &str, &str), EndId> = HashMap::new();
    for (id, member) in matrix.ends() {
        if let Some(pod) = member.as_pod() {
            places.entry((&pod.namespace, &pod.name, &pod.uid)).or_insert(id);
        }
    }
    let workloads: Vec<(&str, End)> = representatives
        .iter()
        .filter_map(|(name, pod)| {
            let place = places.get(&(&*pod.namespace, &*pod.name, &*pod.uid))?;
            Some((name.as_str(), End::Inside(*place)))
        })
        .collect();
    let (sources, destinations) =
        (externals(cluster, Direction::Ingress), externals(cluster, Direction::Egress));
    let mut found = Vec::new();
    let mut add = |(from, source): (&str, End), (to, destination): (&str, End)| {
        let ports = matrix.ports(source, destination);
        found.push(Pair { from: from.to_owned(), to: to.to_owned(), ports });
    };
    for one in &workloads {
        for other in workloads.iter().filter(|other| other.0 != one.0) {
            add(*one, *other);
        }
        for (name, end) in &destinations {
            add(*one, (name, *end));
        }
        for (name, end) in &sources {
            add((name, *end), *one);
        }
    }
    found
}

/// The parts that the blocks of one direction's rules cut the addresses into.
fn externals(cluster: &Cluster, direction: Direction) -> Vec<(String, End)> {
    let mut starts = BTreeSet::from([0]);
    let mut cut = |cidr: &IpNet, except: &[IpNet]| {
        let IpNet::V4(cidr) = cidr else { return };
        for (first, last) in without((cidr.network().into(), cidr.broadcast().into()), except) {
            starts.insert(first);
            starts.extend(last.checked_add(1));
        }
    };
    for policy in &cluster.policies {
        for peer in policy.rules(direction).into_iter().flatten().flat_map(|rule| &rule.peers) {
            if let RulePeer::IpBlock { cidr, except } = peer {
                cut(cidr, except);
            }
        }
    }
    for policy in &cluster.cluster_policies {
        for peer in policy.rules(direction).iter().flat_map(|rule| &rule.peers) {
            if let ClusterPeer::Networks(networks) = peer {
                for network in networks {
                    cut(network, &[]);
                }
            }
        }
    }
    let starts: Vec<u32> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u32::MAX]);
    let named = |(first, last): (u32, u32)| {
        let name = format!("{}-{}[External]", Ipv4Addr::from(first), Ipv4Addr::from(last));
        (name, End::Outside(IpAddr::V4(first.into())))
    };
    starts.iter().copied().zip(ends).map(named).collect()
}

/// What is left of a block without its exceptions.
fn without(block: Addresses, except: &[IpNet]) -> Vec<Addresses> {
    let mut left = vec![block];
    for except in except {
        let IpNet::V4(except) = except else { continue };
        let (from, to) = (u32::from(except.network()), u32::from(except.broadcast()));
        left = left
            .into_iter()
            .flat_map(|(first, last)| {
                let before = (from > first).then(|| (first, last.min(from.saturating_sub(1))));
                let after = (to < last).then(|| (first.max(to.saturating_add(1)), last));
                [before, after]
            })
            .flatten()
            .filter(|(first, last)| first <= last)
            .collect();
    }
    left
}

/// Protocols in the order of their names.
fn connections(ports: &PortSet) -> String {
    if ports.is_all() {
        return "All Connections".to_owned();
    }
    let mut groups = Vec::new();
    for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
        let ranges: Vec<String> = ports
            .iter()
            .filter(|(of, _)| *of == protocol)
            .map(|(_, range)| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            })
            .collect();
        if !ranges.is_empty() {
            groups.push(format!("{protocol} {}", ranges.join(",")));
        }
    }
    groups.join(",")
}
