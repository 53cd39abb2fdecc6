//! All pairs of workloads: who reaches whom, on which ports, and what is open to addresses outside.

mod alike;
mod blocks;
mod unplaced;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_manifests::{Cluster, WorkloadName};
use peerwalk_netpol::{AddressRange, Direction, End, Matrix, Objects, Pod, PortSet, Profile};

use alike::{Alike, Sort};
pub use unplaced::note as unplaced;

/// Who reaches whom. Pairs and ranges that are not listed are closed.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The workloads, ordered.
    pub names: Vec<WorkloadName>,
    /// By workload: whether it has pods that reach each other, and so is a pair with itself.
    pub itself: Vec<bool>,
    /// Every pair of them that is open, in one block. A pod and itself are none.
    pub blocks: Vec<Block>,
    /// By workload: the addresses outside that reach it.
    pub from_outside: Vec<Vec<(AddressRange, Open)>>,
    /// By workload: the addresses outside that it reaches.
    pub to_outside: Vec<Vec<(AddressRange, Open)>>,
    sets: Vec<PortSet>,
}

/// Sources of which each reaches each of the destinations, by their places among the names.
#[derive(Clone, Debug)]
pub struct Block {
    /// The sources, ascending.
    pub from: Vec<usize>,
    /// The destinations, ascending.
    pub to: Vec<usize>,
    /// On which ports.
    pub open: Open,
}

/// A set of ports of these pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Open {
    all: u32,
    some: u32,
}

impl Open {
    /// Whether not all pods of the two have the same ports.
    pub fn is_partial(self) -> bool {
        self.all != self.some
    }
}

/// What a cluster's matrix is computed from, with these pods.
pub fn objects(cluster: &Cluster, pods: Vec<Arc<Pod>>) -> Objects {
    Objects {
        namespaces: cluster.namespaces.clone(),
        pods,
        nodes: cluster.nodes.clone(),
        policies: cluster.policies.clone(),
        cluster_policies: cluster.cluster_policies.clone(),
    }
}

impl Pairs {
    /// Computes them.
    pub fn new(cluster: &Cluster, profile: Profile) -> Self {
        let alike = Alike::new(cluster, profile);
        let mut pairs = Self::default();
        let mut sorts: Vec<Vec<Sort>> = Vec::new();
        for workload in &cluster.workloads {
            let of = alike.sorts(workload);
            if !of.is_empty() {
                pairs.names.push(workload.name.clone());
                sorts.push(of);
            }
        }
        let pods = sorts.iter().flatten().flat_map(Sort::pods).cloned().collect();
        let matrix = Matrix::new(&objects(cluster, pods), profile);
        let ends = blocks::ends(&matrix, &sorts);
        let mut known = Known::default();
        pairs.blocks = blocks::all(&matrix, &ends, &mut known);
        for of in &ends {
            pairs.itself.push(of.itself());
            let exposure = |direction| -> Vec<Exposed> {
                let at = |end| Exposed {
                    is_ipv4: blocks::is_ipv4(&matrix, end).or((!alike.ipv6).then_some(true)),
                    open: matrix.exposure(End::Inside(end), direction),
                };
                of.all().map(at).collect()
            };
            pairs.from_outside.push(overlay(&exposure(Direction::Ingress), &mut known));
            pairs.to_outside.push(overlay(&exposure(Direction::Egress), &mut known));
        }
        pairs.sets = known.sets;
        pairs
    }

    /// Every pair of workloads that is open, in no order.
    pub fn inside(&self) -> impl Iterator<Item = (usize, usize, Open)> + '_ {
        self.blocks.iter().flat_map(|block| {
            block.from.iter().flat_map(move |from| block.to.iter().map(move |to| (*from, *to, block.open)))
        })
    }

    /// The ports that are open between all pods of the two.
    pub fn ports(&self, open: Open) -> PortSet {
        self.sets.get(open.all as usize).cloned().unwrap_or_default()
    }

    /// The ports that are open between some pods of the two.
    pub fn some(&self, open: Open) -> PortSet {
        self.sets.get(open.some as usize).cloned().unwrap_or_default()
    }

    /// How an open set reads.
    pub fn told(&self, open: Open) -> String {
        if open.is_partial() {
            return format!("{} (some pods: {})", self.ports(open), self.some(open));
        }
        self.ports(open).to_string()
    }

    /// All rows, ordered by source and destination: workloads before addresses.
    pub fn rows(&self) -> Vec<(Peer, Peer, Open)> {
        let named = |place: usize| self.names.get(place).cloned().map(Peer::Workload);
        let inside = self.inside();
        let mut rows: Vec<(Peer, Peer, Open)> =
            inside.filter_map(|(from, to, open)| Some((named(from)?, named(to)?, open))).collect();
        for (place, name) in self.names.iter().enumerate() {
            let peer = || Peer::Workload(name.clone());
            let out = self.to_outside.get(place).into_iter().flatten();
            rows.extend(out.map(|(range, open)| (peer(), Peer::Outside(*range), *open)));
            let into = self.from_outside.get(place).into_iter().flatten();
            rows.extend(into.map(|(range, open)| (Peer::Outside(*range), peer(), *open)));
        }
        rows.sort();
        rows
    }
}

/// One end of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A workload.
    Workload(WorkloadName),
    /// Addresses outside the cluster.
    Outside(AddressRange),
}

impl fmt::Display for Peer {
    /// `shop/web[Deployment]`, `10.0.0.0/8[External]`, as np-guard writes them but for ranges that have a shorter name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(name) => write!(f, "{}/{}[{}]", name.namespace, name.name, name.kind),
            Self::Outside(range) => match network(range) {
                Some(network) => write!(f, "{network}[External]"),
                None => write!(f, "{}-{}[External]", range.first, range.last),
            },
        }
    }
}

/// The network that a range is, if it is one.
fn network(range: &AddressRange) -> Option<IpNet> {
    let length = match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        _ => return None,
    };
    let network = IpNet::new(range.first, u8::try_from(length).ok()?).ok()?;
    (network.network() == range.first && network.broadcast() == range.last).then_some(network)
}

/// Sets of ports, each once.
#[derive(Default)]
struct Known {
    sets: Vec<PortSet>,
    numbers: HashMap<PortSet, u32>,
}

impl Known {
    fn number(&mut self, set: &PortSet) -> u32 {
        if let Some(number) = self.numbers.get(set) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(set.clone());
        self.numbers.insert(set.clone(), number);
        number
    }

    /// What is open in all of them, and in some. None where nothing is.
    fn open(&mut self, mut sets: impl Iterator<Item = PortSet>) -> Option<Open> {
        let first = sets.next()?;
        let (mut all, mut some) = (first.clone(), first);
        for set in sets {
            if set != all {
                all = all.intersection(&set);
            }
            if set != some {
                some = some.union(&set);
            }
        }
        if some.is_empty() {
            return None;
        }
        let alike = all == some;
        let some = self.number(&some);
        Some(Open { all: if alike { some } else { self.number(&all) }, some })
    }
}

/// What is open at one end.
struct Exposed {
    /// Its family; none where it may be of both.
    is_ipv4: Option<bool>,
    open: Vec<(AddressRange, PortSet)>,
}

/// What is open to ranges of addresses at several ends together. Ends of one workload differ in families: each says
/// something of its own alone.
fn overlay(ends: &[Exposed], known: &mut Known) -> Vec<(AddressRange, Open)> {
    let mut found = Vec::new();
    for v4 in [true, false] {
        let of_family: Vec<Vec<&(AddressRange, PortSet)>> = ends
            .iter()
            .filter(|end| end.is_ipv4.is_none_or(|is_ipv4| is_ipv4 == v4))
            .map(|end| end.open.iter().filter(|(range, _)| range.first.is_ipv4() == v4).collect())
            .collect();
        let cuts = cuts(of_family.iter().flatten().map(|(range, _)| range));
        for range in cuts {
            let sets = of_family.iter().map(|end| {
                let held = end.iter().find(|(of, _)| of.first <= range.first && range.last <= of.last);
                held.map_or_else(PortSet::none, |(_, set)| set.clone())
            });
            if let Some(open) = known.open(sets) {
                found.push((range, open));
            }
        }
    }
    merged(found)
}

/// The parts into which ranges cut each other.
pub fn cuts<'a>(ranges: impl Iterator<Item = &'a AddressRange>) -> Vec<AddressRange> {
    let mut points: BTreeSet<IpAddr> = BTreeSet::new();
    let mut last: Option<IpAddr> = None;
    for range in ranges {
        points.insert(range.first);
        match next(range.last) {
            Some(after) => {
                points.insert(after);
            }
            None => last = Some(range.last),
        }
    }
    let points: Vec<IpAddr> = points.into_iter().collect();
    let mut found: Vec<AddressRange> = points
        .windows(2)
        .filter_map(|pair| match pair {
            [first, after] => Some(AddressRange { first: *first, last: before(*after)? }),
            _ => None,
        })
        .collect();
    if let (Some(last), Some(first)) = (last, points.last()) {
        found.push(AddressRange { first: *first, last });
    }
    found
}

/// Neighbours with the same ports become one.
pub fn merged<T: PartialEq + Copy>(ranges: Vec<(AddressRange, T)>) -> Vec<(AddressRange, T)> {
    let mut found: Vec<(AddressRange, T)> = Vec::new();
    for (range, open) in ranges {
        match found.last_mut() {
            Some((before, known)) if *known == open && next(before.last) == Some(range.first) => {
                before.last = range.last;
            }
            _ => found.push((range, open)),
        }
    }
    found
}

fn next(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(ip) => ip.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

fn before(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(ip) => ip.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}
