//! The JSON form: sources, each of which reaches each of the destinations. It grows with what policies tell apart, and with
//! workloads of one pod, which are no pair with themselves; not with the number of pairs.

use std::collections::BTreeMap;

use anyhow::Result;
use peerwalk_netpol::AddressRange;
use serde::Serialize;

use super::wanted::Filter;
use crate::pairs::{Open, Pairs, Peer};

/// The whole.
#[derive(Serialize)]
struct Document<'a> {
    profile: &'a str,
    rows: Vec<Row<'a>>,
}

/// A block.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'a> {
    from: Vec<&'a str>,
    to: Vec<&'a str>,
    ports: &'a str,
}

/// Places of sources and of destinations, and the ports.
type Block = (Vec<usize>, Vec<usize>, Open);

/// Prints them.
pub fn json(pairs: &Pairs, filter: &Filter<'_>, profile: &str) -> Result<String> {
    let ranges = pairs.from_outside.iter().chain(&pairs.to_outside).flatten().map(|(range, _)| (*range, 0));
    let mut ranges: BTreeMap<AddressRange, usize> = ranges.collect();
    let mut peers: Vec<Peer> = pairs.names.iter().cloned().map(Peer::Workload).collect();
    for (range, place) in &mut ranges {
        *place = peers.len();
        peers.push(Peer::Outside(*range));
    }
    let names: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let chosen = Chosen::new(&peers, filter);
    let mut all = inside(pairs, &chosen);
    let outside = outside(pairs, &ranges);
    all.extend(
        outside.iter().flat_map(|(from, to, open)| {
            chosen.parts(from, to).into_iter().map(|(from, to)| (from, to, *open))
        }),
    );
    all.sort();
    let mut sets: BTreeMap<Open, String> = BTreeMap::new();
    for (.., open) in &all {
        sets.entry(*open).or_insert_with(|| pairs.told(*open));
    }
    let named =
        |places: &[usize]| places.iter().filter_map(|place| names.get(*place).map(String::as_str)).collect();
    let rows = all.iter().map(|(from, to, open)| Row {
        from: named(from),
        to: named(to),
        ports: sets.get(open).map_or("", String::as_str),
    });
    Ok(serde_json::to_string(&Document { profile, rows: rows.collect() })? + "\n")
}

/// Blocks of workloads; those of the same destinations and ports together.
fn inside(pairs: &Pairs, chosen: &Chosen) -> Vec<Block> {
    let mut blocks: BTreeMap<(Vec<usize>, Open), Vec<usize>> = BTreeMap::new();
    for block in &pairs.blocks {
        for (from, to) in chosen.parts(&block.from, &block.to) {
            blocks.entry((to, block.open)).or_default().extend(from);
        }
    }
    let sorted = |((to, open), mut from): ((Vec<usize>, Open), Vec<usize>)| {
        from.sort_unstable();
        (from, to, open)
    };
    blocks.into_iter().map(sorted).collect()
}

/// Who reaches, or is reached by, the same ranges on the same ports is told together.
fn outside(pairs: &Pairs, ranges: &BTreeMap<AddressRange, usize>) -> Vec<Block> {
    let told = |all: &[Vec<(AddressRange, Open)>]| {
        let mut told: BTreeMap<(Vec<usize>, Open), Vec<usize>> = BTreeMap::new();
        for (place, open) in all.iter().enumerate() {
            let mut by_ports: BTreeMap<Open, Vec<usize>> = BTreeMap::new();
            for (range, open) in open {
                by_ports.entry(*open).or_default().extend(ranges.get(range));
            }
            for (open, places) in by_ports {
                told.entry((places, open)).or_default().push(place);
            }
        }
        told
    };
    let out = told(&pairs.to_outside).into_iter().map(|((ranges, open), from)| (from, ranges, open));
    let into = told(&pairs.from_outside).into_iter().map(|((ranges, open), to)| (ranges, to, open));
    out.chain(into).collect()
}

/// Which places are wanted.
struct Chosen {
    from: Vec<bool>,
    to: Vec<bool>,
    home: Vec<bool>,
}

impl Chosen {
    fn new(peers: &[Peer], filter: &Filter<'_>) -> Self {
        Self {
            from: peers.iter().map(|peer| filter.starts(peer)).collect(),
            to: peers.iter().map(|peer| filter.ends(peer)).collect(),
            home: peers.iter().map(|peer| filter.is_home(peer)).collect(),
        }
    }

    /// What is wanted of a block: from home to anywhere, and from elsewhere to home.
    fn parts(&self, from: &[usize], to: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
        let is = |of: &[bool], place: &usize| of.get(*place).copied().unwrap_or_default();
        let from = from.iter().filter(|place| is(&self.from, place)).copied();
        let to: Vec<usize> = to.iter().filter(|place| is(&self.to, place)).copied().collect();
        let (home, elsewhere): (Vec<usize>, Vec<usize>) = from.partition(|place| is(&self.home, place));
        let at_home: Vec<usize> = to.iter().filter(|place| is(&self.home, place)).copied().collect();
        let mut parts = vec![(home, to), (elsewhere, at_home)];
        parts.retain(|(from, to)| !from.is_empty() && !to.is_empty());
        parts
    }
}
