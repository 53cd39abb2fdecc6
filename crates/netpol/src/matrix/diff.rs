//! What differs between two matrices: other policies, other pods, or both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use peerwalk_model::Direction;

use super::blocks::AddressRange;
use super::ends::{EndId, Member, Owner};
use super::row::{Row, Steps};
use super::table::{ALL, NONE, PortsId};
use super::{End, Matrix};
use crate::port_set::PortSet;
use crate::span::Coordinate;

/// A pair that has other ports than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairDifference {
    /// Who connects.
    pub source: Party,
    /// Who is connected to.
    pub destination: Party,
    /// The ports before; none for a pair that was not there.
    pub before: PortSet,
    /// The ports after; none for a pair that is not there any more.
    pub after: PortSet,
}

/// One side of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// A pod or node at one of its addresses.
    Inside(Member),
    /// Addresses outside.
    Outside(AddressRange),
}

/// An end by the name and address of whose it is, which two matrices may share.
type Key<'a> = (bool, &'a str, &'a str, Option<IpAddr>);

fn key(member: &Member) -> Key<'_> {
    match &member.owner {
        Owner::Pod(pod) => (false, &pod.namespace, &pod.name, member.ip),
        Owner::Node(node) => (true, "", &node.name, member.ip),
    }
}

/// The places of one end, before and after.
#[derive(Clone, Copy, Default)]
struct Places {
    before: Option<EndId>,
    after: Option<EndId>,
}

impl Matrix {
    /// The pairs whose ports differ in `after`, ordered by source and destination, those with addresses outside last. Ends
    /// are the same when their names and addresses are. Where both have the same pods and nodes, only what policies
    /// decide otherwise is looked at.
    pub fn diff(&self, after: &Self) -> Vec<PairDifference> {
        let mut ends: BTreeMap<Key<'_>, Places> = BTreeMap::new();
        for (place, member) in self.ends() {
            ends.entry(key(member)).or_default().before = Some(place);
        }
        for (place, member) in after.ends() {
            ends.entry(key(member)).or_default().after = Some(place);
        }
        let diff = Diff { before: self, after, same: self.table.translation(&after.table) };
        let mut found = Vec::new();
        if self.has_the_ends_of(after) {
            for (source, destination) in diff.candidates() {
                let [source, destination] =
                    [source, destination].map(|place| Places { before: Some(place), after: Some(place) });
                found.extend(diff.pair(source, destination));
            }
        } else {
            for source in ends.values() {
                found.extend(ends.values().filter_map(|destination| diff.pair(*source, *destination)));
            }
        }
        for end in ends.values() {
            diff.outside(*end, &mut found);
        }
        found
    }
}

impl Matrix {
    /// Whether the same pods and nodes stand at the same places of both; labels of nodes are no matter of places.
    fn has_the_ends_of(&self, other: &Self) -> bool {
        let is_same = |one: &Member, other: &Member| match (&one.owner, &other.owner) {
            (Owner::Pod(one), Owner::Pod(other)) => Arc::ptr_eq(one, other) || one == other,
            (Owner::Node(one), Owner::Node(other)) => one.name == other.name,
            _ => false,
        };
        let mut others = other.ends();
        let all = self.ends().all(|(place, member)| {
            others.next().is_some_and(|(other_place, other)| {
                place == other_place
                    && (member.ip, member.class) == (other.ip, other.class)
                    && is_same(member, other)
            })
        });
        all && others.next().is_none() && self.profile() == other.profile()
    }
}

struct Diff<'a> {
    before: &'a Matrix,
    after: &'a Matrix,
    /// What a number of the one after is in the one before.
    same: Vec<Option<PortsId>>,
}

impl Diff<'_> {
    fn is_same(&self, before: PortsId, after: PortsId) -> bool {
        self.same.get(after.0 as usize).copied().flatten() == Some(before)
    }

    /// The pairs that one of both directions decides otherwise.
    fn candidates(&self) -> BTreeSet<(EndId, EndId)> {
        let open = Row::open();
        let mut found = BTreeSet::new();
        for ((class, before), after) in
            self.before.ends.classes.iter().zip(&self.before.rows).zip(&self.after.rows)
        {
            for (side, direction) in [Direction::Egress, Direction::Ingress].into_iter().enumerate() {
                let (before, after) = (&before[side], &after[side]);
                if before.is_none() && after.is_none() {
                    continue;
                }
                let (before, after) = (before.as_deref().unwrap_or(&open), after.as_deref().unwrap_or(&open));
                let same = |one, other| self.is_same(one, other);
                let mut spans = before.inside.differences(&after.inside, same);
                spans.extend(before.own_node.differences(&after.own_node, same));
                let subjects = || class.spans.iter().flat_map(|span| span.0..=span.1);
                for ((first, last), ..) in spans {
                    let peers = self.before.ends.members_in((first, last));
                    for (peer, _) in peers {
                        found.extend(subjects().map(|subject| match direction {
                            Direction::Egress => (EndId(subject), EndId(peer)),
                            Direction::Ingress => (EndId(peer), EndId(subject)),
                        }));
                    }
                }
            }
        }
        found
    }

    fn pair(&self, source: Places, destination: Places) -> Option<PairDifference> {
        let ports = |matrix: &Matrix, source: Option<EndId>, destination: Option<EndId>| {
            let pair = source.zip(destination);
            pair.map_or_else(PortSet::none, |(one, other)| matrix.ports(End::Inside(one), End::Inside(other)))
        };
        let before = ports(self.before, source.before, destination.before);
        let after = ports(self.after, source.after, destination.after);
        if before == after {
            return None;
        }
        let [source, destination] =
            [source, destination].map(|end| self.member(end).cloned().map(Party::Inside));
        Some(PairDifference { source: source?, destination: destination?, before, after })
    }

    fn member(&self, end: Places) -> Option<&Member> {
        let known = end.before.and_then(|place| self.before.member(place));
        known.or_else(|| end.after.and_then(|place| self.after.member(place)))
    }

    fn outside(&self, end: Places, found: &mut Vec<PairDifference>) {
        let Some(member) = self.member(end).filter(|member| member.as_pod().is_some()) else { return };
        let family = member.ip.map(|ip| ip.to_canonical().is_ipv4());
        for direction in [Direction::Egress, Direction::Ingress] {
            let (open, closed) = (Row::constant(ALL), Row::constant(NONE));
            let row =
                |matrix: &Matrix, place: Option<EndId>| match place.and_then(|place| matrix.member(place)) {
                    None => Err(()),
                    Some(member) => Ok(matrix.row(member, direction).map(Arc::clone)),
                };
            let (before, after) = (row(self.before, end.before), row(self.after, end.after));
            if matches!((&before, &after), (Ok(None), Ok(None))) {
                continue;
            }
            let steps = |row: &Result<Option<Arc<Row>>, ()>| match row {
                Err(()) => closed.clone(),
                Ok(None) => open.clone(),
                Ok(Some(row)) => Row::clone(row),
            };
            let (before, after) = (steps(&before), steps(&after));
            let mut tell = |range: AddressRange, before: PortsId, after: PortsId| {
                let (own, other) = (Party::Inside(member.clone()), Party::Outside(range));
                let (source, destination) =
                    if direction == Direction::Egress { (own, other) } else { (other, own) };
                let (before, after) = (self.before.table.set(before), self.after.table.set(after));
                let (before, after) = (before.clone(), after.clone());
                found.push(PairDifference { source, destination, before, after });
            };
            if family != Some(false) {
                self.parts(&before.v4, &after.v4, |ip| Ipv4Addr::from(ip).into(), &mut tell);
            }
            if family != Some(true) {
                self.parts(&before.v6, &after.v6, |ip| Ipv6Addr::from(ip).into(), &mut tell);
            }
        }
    }

    fn parts<T: Coordinate>(
        &self,
        before: &Steps<T>,
        after: &Steps<T>,
        ip: impl Fn(T) -> IpAddr,
        tell: &mut impl FnMut(AddressRange, PortsId, PortsId),
    ) {
        for ((first, last), before, after) in before.differences(after, |one, other| self.is_same(one, other))
        {
            tell(AddressRange { first: ip(first), last: ip(last) }, before, after);
        }
    }
}
