//! All pairs of a folder as rows of np-guard's text format, `SRC => DST : CONN`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net};
use peerwalk_netpol::{
    ClusterPeer, ClusterPort, Direction, Flow, Peer, PolicyIndex, Ports, Profile, Protocol, RulePeer,
    evaluate,
};

use super::manifests::Manifests;

/// Both ends included.
type Addresses = (u32, u32);

pub fn rows(manifests: &Manifests) -> BTreeSet<String> {
    let index = index(manifests);
    let ports = elementary_ports(manifests);
    let workloads: Vec<(String, Peer)> = manifests
        .workloads
        .iter()
        .map(|(name, pod)| (name.clone(), Peer::pod(pod.clone(), pod.ips[0])))
        .collect();
    let sources = externals(manifests, Direction::Ingress);
    let destinations = externals(manifests, Direction::Egress);
    let mut rows = BTreeSet::new();
    let mut add = |source: &(String, Peer), destination: &(String, Peer)| {
        let connections = connections(&index, &source.1, &destination.1, &ports);
        if !connections.is_empty() {
            rows.insert(format!("{} => {} : {connections}", source.0, destination.0));
        }
    };
    for one in &workloads {
        for other in workloads.iter().filter(|other| other.0 != one.0) {
            add(one, other);
        }
        for external in &destinations {
            add(one, external);
        }
        for external in &sources {
            add(external, one);
        }
    }
    rows
}

pub fn index(manifests: &Manifests) -> PolicyIndex {
    PolicyIndex::new(manifests.namespaces.iter().cloned(), manifests.policies.iter().cloned())
        .with_cluster_policies(manifests.of_cluster.iter().cloned())
}

/// Workloads and blocks of addresses by their names.
pub fn ends(manifests: &Manifests) -> BTreeMap<String, Peer> {
    let workloads = manifests.workloads.iter();
    let workloads = workloads.map(|(name, pod)| (name.clone(), Peer::pod(pod.clone(), pod.ips[0])));
    let outside = [Direction::Ingress, Direction::Egress].into_iter();
    workloads.chain(outside.flat_map(|direction| externals(manifests, direction))).collect()
}

/// The blocks that the rules of one direction cut the addresses into.
fn externals(manifests: &Manifests, direction: Direction) -> Vec<(String, Peer)> {
    let mut starts = BTreeSet::from([0]);
    let mut cut = |cidr: Ipv4Net, except: &[IpNet]| {
        for (first, last) in without(range(cidr), except) {
            starts.insert(first);
            starts.extend(last.checked_add(1));
        }
    };
    let rules = manifests.policies.iter().filter_map(|policy| policy.rules(direction)).flatten();
    for peer in rules.flat_map(|rule| &rule.peers) {
        if let RulePeer::IpBlock { cidr: IpNet::V4(cidr), except } = peer {
            cut(*cidr, except);
        }
    }
    let rules = manifests.of_cluster.iter().flat_map(|policy| policy.rules(direction));
    for peer in rules.flat_map(|rule| &rule.peers) {
        let ClusterPeer::Networks(networks) = peer else { continue };
        for network in networks {
            if let IpNet::V4(cidr) = network {
                cut(*cidr, &[]);
            }
        }
    }
    let starts: Vec<u32> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u32::MAX]);
    let named = |(first, last): (u32, u32)| {
        let name = format!("{}-{}[External]", Ipv4Addr::from(first), Ipv4Addr::from(last));
        (name, Peer::external(Ipv4Addr::from(first).into()))
    };
    starts.iter().copied().zip(ends).map(named).collect()
}

fn range(net: Ipv4Net) -> Addresses {
    (net.network().into(), net.broadcast().into())
}

/// What is left of a block without its exceptions.
fn without(block: Addresses, except: &[IpNet]) -> Vec<Addresses> {
    let mut left = vec![block];
    for except in except {
        let IpNet::V4(except) = except else { continue };
        let (from, to) = range(*except);
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

/// The ranges of ports between which no rule and no port name makes a difference.
pub fn elementary_ports(manifests: &Manifests) -> Vec<RangeInclusive<u16>> {
    let mut starts = BTreeSet::from([1]);
    let mut cut = |range: RangeInclusive<u16>| {
        starts.insert((*range.start()).max(1));
        starts.extend(range.end().checked_add(1));
    };
    for policy in &manifests.policies {
        let rules = [Direction::Ingress, Direction::Egress].into_iter().filter_map(|way| policy.rules(way));
        for port in rules.flatten().flat_map(|rule| &rule.ports) {
            if let Ports::Numbers(range) = &port.ports {
                cut(range.clone());
            }
        }
    }
    for policy in &manifests.of_cluster {
        let rules = [Direction::Ingress, Direction::Egress].into_iter().flat_map(|way| policy.rules(way));
        for port in rules.flat_map(|rule| &rule.ports) {
            if let ClusterPort::Numbers(port) = port
                && let Ports::Numbers(range) = &port.ports
            {
                cut(range.clone());
            }
        }
    }
    for port in manifests.workloads.values().flat_map(|pod| &pod.named_ports) {
        cut(port.number..=port.number);
    }
    let starts: Vec<u16> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u16::MAX]);
    starts.iter().copied().zip(ends).map(|(first, last)| first..=last).collect()
}

/// What is allowed between two ends, as np-guard writes it; empty when nothing is.
fn connections(
    index: &PolicyIndex,
    source: &Peer,
    destination: &Peer,
    ports: &[RangeInclusive<u16>],
) -> String {
    let allowed = |protocol, port| {
        let (source, destination) = (source.clone(), destination.clone());
        let flow = Flow { source, destination, protocol, port, service: None };
        evaluate(index, &flow, &Profile::NP_GUARD).is_allowed()
    };
    let mut groups = Vec::new();
    let mut everything = true;
    for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ports.iter().filter(|range| allowed(protocol, *range.start())) {
            match ranges.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(*range.start()) => {
                    *last = *last.start()..=*range.end();
                }
                _ => ranges.push(range.clone()),
            }
        }
        everything &= ranges == [1..=u16::MAX];
        if !ranges.is_empty() {
            let ranges: Vec<String> = ranges.iter().map(printed).collect();
            groups.push(format!("{protocol} {}", ranges.join(",")));
        }
    }
    if everything { "All Connections".to_owned() } else { groups.join(",") }
}

fn printed(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}
