//! Every pair that has a port, in blocks: sets of sources times sets of destinations. Work and memory grow with what is
//! told, not with the number of pairs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ends::{EndId, HOSTS, PODS};
use super::row::{Row, Steps};
use super::table::{ALL, NONE, PortsId};
use super::{End, Matrix, place};
use crate::port_set::PortSet;
use crate::span::{self, Span};
use peerwalk_model::Direction;

/// Sources of which each reaches each of the destinations on the same ports.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    sources: &'a [Span<u32>],
    destinations: &'a [Span<u32>],
    /// The ports; never none.
    pub ports: &'a PortSet,
}

impl Block<'_> {
    /// Runs of sources: the first and the last.
    pub fn sources(&self) -> impl Iterator<Item = (EndId, EndId)> + '_ {
        self.sources.iter().map(|span| (EndId(span.0), EndId(span.1)))
    }

    /// Runs of destinations: the first and the last.
    pub fn destinations(&self) -> impl Iterator<Item = (EndId, EndId)> + '_ {
        self.destinations.iter().map(|span| (EndId(span.0), EndId(span.1)))
    }

    /// How many pairs it has.
    pub fn pairs(&self) -> u64 {
        let count =
            |spans: &[Span<u32>]| spans.iter().map(|span| u64::from(span.1 - span.0) + 1).sum::<u64>();
        count(self.sources) * count(self.destinations)
    }
}

impl Matrix {
    /// Visits every pair of ends inside the cluster that has a port, each in one block.
    ///
    /// Three sorts of pairs are left to the reader: an end and itself, or another of the same pod (always every port);
    /// ends with addresses of different families (never any); and places at which nobody stands any more.
    pub fn for_each_block(&self, mut visit: impl FnMut(Block<'_>)) {
        Pairs { matrix: self, both: HashMap::new() }.blocks(&mut visit);
    }
}

/// Where pods stand that have the same row.
struct Group<'a> {
    row: Option<&'a Arc<Row>>,
    spans: Vec<Span<u32>>,
}

struct Pairs<'a> {
    matrix: &'a Matrix,
    both: HashMap<(PortsId, PortsId), PortSet>,
}

impl<'a> Pairs<'a> {
    fn blocks(&mut self, visit: &mut impl FnMut(Block<'_>)) {
        let sources = self.groups(Direction::Egress);
        let destinations = self.groups(Direction::Ingress);
        let open: Vec<Span<u32>> = destinations
            .iter()
            .filter(|group| group.row.is_none())
            .flat_map(|group| group.spans.clone())
            .collect();
        for group in &sources {
            self.open(group, &open, visit);
        }
        self.isolated(&sources, &destinations, visit);
        self.hosts(visit);
    }

    /// Pods by their rows of a direction; the other half of the line has few ends and is asked one by one.
    fn groups(&self, direction: Direction) -> Vec<Group<'a>> {
        let matrix = self.matrix;
        let mut groups: Vec<Group<'a>> = vec![Group { row: None, spans: Vec::new() }];
        let mut known: HashMap<*const Row, usize> = HashMap::new();
        for (class, rows) in matrix.ends.classes.iter().zip(&matrix.rows) {
            let number = match &rows[place(direction)] {
                None => 0,
                Some(row) => *known.entry(Arc::as_ptr(row)).or_insert_with(|| {
                    groups.push(Group { row: Some(row), spans: Vec::new() });
                    groups.len() - 1
                }),
            };
            groups[number].spans.extend(class.spans.iter().filter(|span| span.1 < HOSTS));
        }
        for group in &mut groups {
            group.spans = span::normal(std::mem::take(&mut group.spans));
        }
        groups
    }

    /// Pairs whose destination no policy for ingress selects.
    fn open(&mut self, sources: &Group<'_>, open: &[Span<u32>], visit: &mut impl FnMut(Block<'_>)) {
        let mut by_ports: BTreeMap<PortsId, Vec<Span<u32>>> = BTreeMap::new();
        match sources.row {
            None => drop(by_ports.insert(ALL, vec![PODS])),
            Some(row) => {
                for (span, ports) in row.inside.pieces_in(PODS).filter(|(_, ports)| *ports != NONE) {
                    by_ports.entry(ports).or_default().push(span);
                }
            }
        }
        for (ports, spans) in by_ports {
            let destinations = span::both(&spans, open);
            self.tell(&sources.spans, &destinations, (ports, ALL), visit);
        }
    }

    /// Pairs whose destination is selected: sweeps over the sources, with the destinations that each may reach.
    fn isolated(
        &mut self,
        sources: &[Group<'a>],
        destinations: &[Group<'a>],
        visit: &mut impl FnMut(Block<'_>),
    ) {
        // From a place on, whether a destination's group is reached, on which ports.
        let mut events: Vec<(u32, usize, PortsId)> = Vec::new();
        for (number, group) in destinations.iter().enumerate() {
            let Some(row) = group.row else { continue };
            events.extend(row.inside.pieces_in(PODS).map(|(span, ports)| (span.0, number, ports)));
        }
        events.sort_unstable();
        let rows = sources.iter().flat_map(|group| group.spans.iter().map(|span| (*span, group.row)));
        let mut rows: Vec<(Span<u32>, Option<&Arc<Row>>)> = rows.collect();
        rows.sort_unstable_by_key(|(span, _)| span.0);
        let mut reached: BTreeMap<u32, (u32, PortsId)> = BTreeMap::new();
        let mut next = 0;
        for (span, row) in rows {
            let mut from = span.0;
            loop {
                while let Some((at, group, ports)) = events.get(next).filter(|event| event.0 <= from) {
                    debug_assert!(*at <= from, "events come in order");
                    for span in &destinations[*group].spans {
                        match *ports {
                            NONE => drop(reached.remove(&span.0)),
                            ports => drop(reached.insert(span.0, (span.1, ports))),
                        }
                    }
                    next += 1;
                }
                let to = events.get(next).map_or(span.1, |event| span.1.min(event.0 - 1));
                self.reached((from, to), row, &reached, visit);
                if to == span.1 {
                    break;
                }
                from = to + 1;
            }
        }
    }

    fn reached(
        &mut self,
        sources: Span<u32>,
        row: Option<&Arc<Row>>,
        reached: &BTreeMap<u32, (u32, PortsId)>,
        visit: &mut impl FnMut(Block<'_>),
    ) {
        if reached.is_empty() {
            return;
        }
        let all = Steps::constant(ALL);
        let row = row.map_or(&all, |row| &row.inside);
        let mut by_ports: BTreeMap<(PortsId, PortsId), Vec<Span<u32>>> = BTreeMap::new();
        for ((first, last), egress) in row.pieces_in(PODS).filter(|(_, ports)| *ports != NONE) {
            let begin = reached.range(..=first).next_back().map_or(first, |(begin, _)| *begin);
            for (begin, (end, ingress)) in reached.range(begin..=last) {
                let (begin, end) = ((*begin).max(first), (*end).min(last));
                if begin <= end {
                    by_ports.entry((egress, *ingress)).or_default().push((begin, end));
                }
            }
        }
        for (ports, destinations) in by_ports {
            self.tell(&[sources], &destinations, ports, visit);
        }
    }

    /// Pairs with nodes and host-network pods.
    fn hosts(&mut self, visit: &mut impl FnMut(Block<'_>)) {
        for (host, _) in self.matrix.ends.hosts() {
            let end = End::Inside(EndId(host));
            for run in self.matrix.reached_from(end).inside {
                let destinations = [(run.first.0, run.last.0)];
                visit(Block { sources: &[(host, host)], destinations: &destinations, ports: &run.ports });
            }
            for run in self.matrix.reaching(end).inside.iter().filter(|run| run.first.0 < HOSTS) {
                let sources = [(run.first.0, run.last.0.min(PODS.1))];
                visit(Block { sources: &sources, destinations: &[(host, host)], ports: &run.ports });
            }
        }
    }

    fn tell(
        &mut self,
        sources: &[Span<u32>],
        destinations: &[Span<u32>],
        ports: (PortsId, PortsId),
        visit: &mut impl FnMut(Block<'_>),
    ) {
        if sources.is_empty() || destinations.is_empty() {
            return;
        }
        let table = &self.matrix.table;
        let ports = match ports {
            (ALL, ports) | (ports, ALL) => table.set(ports),
            (one, other) => self.both.entry((one, other)).or_insert_with(|| table.both(one, other)),
        };
        if !ports.is_empty() {
            visit(Block { sources, destinations, ports });
        }
    }
}
