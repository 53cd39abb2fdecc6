//! Pairs in blocks, as the matrix has them.

use std::collections::HashMap;

use peerwalk_netpol::{End, EndId, Matrix};

use super::alike::Sort;
use super::{Block, Known, Open};

/// The ends of a workload.
pub(super) struct Ends {
    sorts: Vec<OfSort>,
    /// It is one end in the blocks of the matrix.
    single: Option<EndId>,
    /// Its pair with itself is in them as well.
    told: bool,
}

/// The ends of pods that are alike: of the first at each of its addresses, and of another where it is asked about.
#[derive(Default)]
struct OfSort {
    ends: Vec<EndId>,
    another: Vec<EndId>,
    several: bool,
}

impl Ends {
    /// The ends that others meet.
    pub fn all(&self) -> impl Iterator<Item = EndId> + '_ {
        self.sorts.iter().flat_map(|sort| sort.ends.iter().copied())
    }

    /// Whether it has pods that reach each other.
    pub fn itself(&self) -> bool {
        self.sorts.len() > 1 || self.sorts.iter().any(|sort| sort.several)
    }

    /// One pod of it, and another.
    fn among_itself(&self) -> impl Iterator<Item = (EndId, EndId)> + '_ {
        self.sorts.iter().enumerate().flat_map(move |(place, sort)| {
            let others = self.sorts.iter().enumerate().filter(move |(other, _)| *other != place);
            let others = others.flat_map(|(_, other)| &other.ends).chain(&sort.another);
            others.flat_map(|other| sort.ends.iter().map(|end| (*end, *other)))
        })
    }
}

/// The ends of each workload.
pub(super) fn ends(matrix: &Matrix, sorts: &[Vec<Sort>]) -> Vec<Ends> {
    let mut places: HashMap<(&str, &str, &str), Vec<EndId>> = HashMap::new();
    for (id, member) in matrix.ends() {
        if let Some(pod) = member.as_pod() {
            places.entry((&pod.namespace, &pod.name, &pod.uid)).or_default().push(id);
        }
    }
    let of = |sorts: &Vec<Sort>| {
        let sorts: Vec<OfSort> = sorts
            .iter()
            .map(|sort| {
                let mut ends = sort.pods().map(|pod| {
                    let place = (&*pod.namespace, &*pod.name, &*pod.uid);
                    places.get(&place).cloned().unwrap_or_default()
                });
                let (first, another) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
                OfSort { ends: first, another, several: sort.are_several() }
            })
            .collect();
        let single = match sorts.as_slice() {
            // Blocks are of one family.
            [OfSort { ends, .. }] => match ends.as_slice() {
                [end] if is_ipv4(matrix, *end) != Some(false) => Some(*end),
                _ => None,
            },
            _ => None,
        };
        // What its blocks say of an end and itself is what holds for two pods there; where the other was asked for, not.
        let told = single.is_some() && sorts.iter().all(|sort| sort.several && sort.another.is_empty());
        Ends { sorts, single, told }
    };
    sorts.iter().map(of).collect()
}

/// The family of an end; none where it has no address yet.
pub(super) fn is_ipv4(matrix: &Matrix, end: EndId) -> Option<bool> {
    matrix.member(end).and_then(|member| member.ip).map(|ip| ip.is_ipv4())
}

/// Whether both may have an address of one family: one without any may get it.
fn meet(matrix: &Matrix, one: EndId, other: EndId) -> bool {
    match (is_ipv4(matrix, one), is_ipv4(matrix, other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

/// Blocks of workloads with one end each as the matrix has them, and pairs with others one by one: what all their ends
/// have, and what some have.
pub(super) fn all(matrix: &Matrix, ends: &[Ends], known: &mut Known) -> Vec<Block> {
    let single: HashMap<EndId, usize> =
        ends.iter().enumerate().filter_map(|(place, of)| Some((of.single?, place))).collect();
    let told = |place: &usize| ends.get(*place).is_some_and(|of| of.told);
    let mut found = Vec::new();
    matrix.for_each_block(|block| {
        let places = |runs: &mut dyn Iterator<Item = (EndId, EndId)>| -> Vec<usize> {
            let ends = runs.flat_map(|(first, last)| first.to(last));
            let mut places: Vec<usize> = ends.filter_map(|end| single.get(&end).copied()).collect();
            places.sort_unstable();
            places
        };
        let (from, to) = (places(&mut block.sources()), places(&mut block.destinations()));
        if !from.is_empty() && !to.is_empty() {
            let number = known.number(block.ports);
            let open = Open { all: number, some: number };
            let mut tell = |from, to| found.push(Block { from, to, open });
            without_itself(from, to, told, &mut tell);
        }
    });
    for (from, source) in ends.iter().enumerate() {
        for (to, destination) in ends.iter().enumerate() {
            let meeting: Vec<(EndId, EndId)> = if from == to {
                if source.told { Vec::new() } else { source.among_itself().collect() }
            } else if source.single.is_some() && destination.single.is_some() {
                continue;
            } else {
                source.all().flat_map(|one| destination.all().map(move |other| (one, other))).collect()
            };
            let sets = meeting
                .into_iter()
                .filter(|(one, other)| meet(matrix, *one, *other))
                .map(|(one, other)| matrix.ports(End::Inside(one), End::Inside(other)));
            if let Some(open) = known.open(sets) {
                found.push(Block { from: vec![from], to: vec![to], open });
            }
        }
    }
    found
}

/// A block in parts that have no pair of one and itself, but where that is told.
fn without_itself(
    from: Vec<usize>,
    to: Vec<usize>,
    told: impl Fn(&usize) -> bool,
    tell: &mut impl FnMut(Vec<usize>, Vec<usize>),
) {
    let on_both = |place: &usize| !told(place) && to.binary_search(place).is_ok();
    let (both, from): (Vec<usize>, Vec<usize>) = from.into_iter().partition(on_both);
    let others: Vec<usize> = to.iter().filter(|place| both.binary_search(place).is_err()).copied().collect();
    if !both.is_empty() && !others.is_empty() {
        tell(both.clone(), others);
    }
    if !from.is_empty() {
        tell(from, to);
    }
    each_to_others(&both, tell);
}

/// Each of them to all others, by halves: as many parts as there are of them, not as there are pairs.
fn each_to_others(places: &[usize], tell: &mut impl FnMut(Vec<usize>, Vec<usize>)) {
    if places.len() < 2 {
        return;
    }
    let (one, other) = places.split_at(places.len() / 2);
    tell(one.to_vec(), other.to_vec());
    tell(other.to_vec(), one.to_vec());
    each_to_others(one, tell);
    each_to_others(other, tell);
}
