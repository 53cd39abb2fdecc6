//! All pairs of workloads: who reaches whom, on which ports, and what is open to addresses outside.

mod alike;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use peerwalk_manifests::{Cluster, Workload, WorkloadName};
use peerwalk_netpol::{AddressRange, Direction, End, EndId, Matrix, Objects, Pod, PortSet, Profile};

use alike::Alike;

/// Who reaches whom. Pairs and ranges that are not listed are closed.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The workloads, ordered.
    pub names: Vec<WorkloadName>,
    /// By source: places of what it reaches, ascending, and the ports.
    pub inside: Vec<Vec<(usize, Open)>>,
    /// By workload: the addresses outside that reach it.
    pub from_outside: Vec<Vec<(AddressRange, Open)>>,
    /// By workload: the addresses outside that it reaches.
    pub to_outside: Vec<Vec<(AddressRange, Open)>>,
    sets: Vec<PortSet>,
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

/// What a cluster's matrix is computed from.
pub fn objects(cluster: &Cluster) -> Objects {
    Objects {
        namespaces: cluster.namespaces.clone(),
        pods: cluster.workloads.iter().flat_map(|workload| workload.pods.iter().cloned()).collect(),
        nodes: cluster.nodes.clone(),
        policies: cluster.policies.clone(),
        cluster_policies: cluster.cluster_policies.clone(),
    }
}

impl Pairs {
    /// Computes them for the workloads that are chosen.
    pub fn new(cluster: &Cluster, profile: Profile, chosen: impl Fn(&WorkloadName) -> bool) -> Self {
        let matrix = Matrix::new(&objects(cluster), profile);
        let places = places(&matrix);
        let alike = Alike::new(cluster, profile);
        let mut pairs = Self::default();
        let mut known = Known::default();
        let mut ends: Vec<Vec<EndId>> = Vec::new();
        for workload in cluster.workloads.iter().filter(|workload| chosen(&workload.name)) {
            let of = ends_of(workload, &alike, &places);
            if !of.is_empty() {
                pairs.names.push(workload.name.clone());
                ends.push(of);
            }
        }
        for (source, from) in ends.iter().enumerate() {
            let reached =
                ends.iter().enumerate().filter(|(place, _)| *place != source).filter_map(|(place, to)| {
                    let meeting = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
                    let sets = meeting
                        .filter(|(from, to)| may_meet(&matrix, **from, **to))
                        .map(|(from, to)| matrix.ports(End::Inside(*from), End::Inside(*to)));
                    Some((place, known.open(sets)?))
                });
            pairs.inside.push(reached.collect());
            let exposure = |direction| -> Vec<Vec<(AddressRange, PortSet)>> {
                from.iter().map(|end| matrix.exposure(End::Inside(*end), direction)).collect()
            };
            pairs.from_outside.push(overlay(&exposure(Direction::Ingress), &mut known));
            pairs.to_outside.push(overlay(&exposure(Direction::Egress), &mut known));
        }
        pairs.sets = known.sets;
        pairs
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
        let mut rows = Vec::new();
        let named = |place: usize| self.names.get(place).cloned().map(Peer::Workload);
        for (place, reached) in self.inside.iter().enumerate() {
            let Some(from) = named(place) else { continue };
            rows.extend(reached.iter().filter_map(|(to, open)| Some((from.clone(), named(*to)?, *open))));
            let out = self.to_outside.get(place).into_iter().flatten();
            rows.extend(out.map(|(range, open)| (from.clone(), Peer::Outside(*range), *open)));
            let into = self.from_outside.get(place).into_iter().flatten();
            rows.extend(into.map(|(range, open)| (Peer::Outside(*range), from.clone(), *open)));
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

/// Whether both have addresses of one family, or may get some.
fn may_meet(matrix: &Matrix, one: EndId, other: EndId) -> bool {
    let family = |end| matrix.member(end)?.ip.map(|ip| ip.is_ipv4());
    match (family(one), family(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

/// The ends of pods by namespace and name.
type Places<'a> = HashMap<(&'a str, &'a str, &'a str), Vec<EndId>>;

fn places(matrix: &Matrix) -> Places<'_> {
    let mut places: Places<'_> = HashMap::new();
    for (id, member) in matrix.ends() {
        if let Some(pod) = member.as_pod() {
            places.entry(key(pod)).or_default().push(id);
        }
    }
    places
}

fn key(pod: &Pod) -> (&str, &str, &str) {
    (&pod.namespace, &pod.name, &pod.uid)
}

/// The ends of a workload: of pods that no policy tells apart only the first.
fn ends_of(workload: &Workload, alike: &Alike, places: &Places<'_>) -> Vec<EndId> {
    let pods = alike.distinct(&workload.pods);
    pods.into_iter().filter_map(|pod| places.get(&key(pod))).flatten().copied().collect()
}

/// Sets of ports, each once.
#[derive(Default)]
struct Known {
    sets: Vec<PortSet>,
    numbers: HashMap<PortSet, u32>,
}

impl Known {
    fn number(&mut self, set: PortSet) -> u32 {
        if let Some(number) = self.numbers.get(&set) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
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
        let some = self.number(some);
        Some(Open { all: if alike { some } else { self.number(all) }, some })
    }
}

/// What is open to ranges of addresses at several ends together.
fn overlay(ends: &[Vec<(AddressRange, PortSet)>], known: &mut Known) -> Vec<(AddressRange, Open)> {
    if let [one] = ends {
        let open =
            one.iter().filter_map(|(range, set)| Some((*range, known.open(std::iter::once(set.clone()))?)));
        return open.collect();
    }
    // Ends of one workload differ in families: each says something of its own alone.
    let mut found = Vec::new();
    for v4 in [true, false] {
        let of_family: Vec<Vec<&(AddressRange, PortSet)>> = ends
            .iter()
            .map(|end| end.iter().filter(|(range, _)| range.first.is_ipv4() == v4).collect())
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
    let mut points: BTreeMap<IpAddr, ()> = BTreeMap::new();
    let mut last: Option<IpAddr> = None;
    for range in ranges {
        points.insert(range.first, ());
        match next(range.last) {
            Some(after) => {
                points.insert(after, ());
            }
            None => last = Some(range.last),
        }
    }
    let points: Vec<IpAddr> = points.into_keys().collect();
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
