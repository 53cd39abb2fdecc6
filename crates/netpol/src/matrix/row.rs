//! What the policies of one direction say of a subject to every peer.

use std::collections::HashMap;
use std::net::IpAddr;

use super::ends::Named;
use super::rules::{Peers, Share};
use super::table::{ALL, NONE, PortsId, Table};
use crate::cluster_policy::{Action, Tier};
use crate::port_set::PortSet;
use crate::span::{Coordinate, Span};

/// The ports on which a subject and each peer may speak in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub inside: Steps<u32>,
    pub v4: Steps<u32>,
    pub v6: Steps<u128>,
    /// Inside, for the subject's own node: NetworkPolicies do not apply there, those of the cluster do.
    pub own_node: Steps<u32>,
}

impl Row {
    /// That of a subject which nothing selects.
    pub fn open() -> Self {
        Self::constant(ALL)
    }

    pub fn constant(value: PortsId) -> Self {
        let (inside, own_node) = (Steps::constant(value), Steps::constant(value));
        Self { inside, v4: Steps::constant(value), v6: Steps::constant(value), own_node }
    }

    pub fn at(&self, ip: IpAddr) -> PortsId {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.at(ip.into()),
            IpAddr::V6(ip) => self.v6.at(ip.into()),
        }
    }
}

/// A value that changes at some places of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Steps<T> {
    first: PortsId,
    /// From this place on, this value; ascending, and each another than the one before.
    changes: Box<[(T, PortsId)]>,
}

impl<T: Coordinate> Steps<T> {
    pub fn constant(value: PortsId) -> Self {
        Self { first: value, changes: Box::default() }
    }

    pub fn at(&self, place: T) -> PortsId {
        let after = self.changes.partition_point(|change| change.0 <= place);
        after.checked_sub(1).map_or(self.first, |last| self.changes[last].1)
    }

    /// The whole line, in order.
    pub fn pieces(&self) -> impl Iterator<Item = (Span<T>, PortsId)> + '_ {
        self.pieces_in((T::FIRST, T::LAST))
    }

    /// A part of the line, in order.
    pub fn pieces_in(&self, span: Span<T>) -> impl Iterator<Item = (Span<T>, PortsId)> + '_ {
        let after = self.changes.partition_point(|change| change.0 <= span.0);
        let first = after.checked_sub(1).map_or(self.first, |last| self.changes[last].1);
        let changes = self.changes[after..].iter().take_while(move |change| change.0 <= span.1);
        let begins = std::iter::once((span.0, first)).chain(changes.copied());
        let ends = self.changes[after..].iter().take_while(move |change| change.0 <= span.1);
        let ends = ends.filter_map(|change| change.0.previous()).chain([span.1]);
        begins.zip(ends).map(|((begin, value), end)| ((begin, end), value))
    }

    /// Where two lines have other values, by whether two of them are the same.
    pub fn differences(
        &self,
        other: &Self,
        same: impl Fn(PortsId, PortsId) -> bool,
    ) -> Vec<(Span<T>, PortsId, PortsId)> {
        let (mut left, mut right) = (self.pieces().peekable(), other.pieces().peekable());
        let mut found: Vec<(Span<T>, PortsId, PortsId)> = Vec::new();
        while let (Some((a, before)), Some((b, after))) = (left.peek(), right.peek()) {
            if !same(*before, *after) {
                found.push(((a.0.max(b.0), a.1.min(b.1)), *before, *after));
            }
            let (a, b) = (a.1, b.1);
            if a <= b {
                left.next();
            }
            if b <= a {
                right.next();
            }
        }
        found
    }
}

/// Everything that selects one subject in one direction, in the order of evaluation.
pub(super) struct Selecting<'a> {
    pub cluster: Vec<(Tier, &'a [Share])>,
    /// `None` when no NetworkPolicy isolates the subject.
    pub network: Option<Vec<&'a Share>>,
}

/// One share with its ports for this subject.
struct Ready<'a> {
    tier: Tier,
    action: Action,
    peers: &'a Peers,
    ports: PortSet,
}

pub(super) fn row(selecting: &Selecting<'_>, named: &[Named], table: &mut Table) -> Row {
    let mut ready: Vec<Ready<'_>> = Vec::new();
    for (tier, shares) in &selecting.cluster {
        ready.extend(shares.iter().map(|share| Ready::new(*tier, share, named)));
    }
    let network = selecting.network.iter().flatten();
    ready.extend(network.map(|share| Ready::new(Tier::NetworkPolicy, share, named)));
    let isolation = if selecting.network.is_some() { Isolation::Isolated } else { Isolation::None };
    let mut judge = Judge { ready: &ready, isolation, table, known: HashMap::new() };
    let inside = steps(&ready, |peers| &peers.inside, &mut judge);
    let v4 = steps(&ready, |peers| &peers.v4, &mut judge);
    let v6 = steps(&ready, |peers| &peers.v6, &mut judge);
    let own_node = match (selecting.cluster.is_empty(), &selecting.network) {
        (true, _) => Steps::constant(ALL),
        (false, None) => inside.clone(),
        (false, Some(_)) => {
            let mut judge = Judge { isolation: Isolation::Exempt, known: HashMap::new(), ..judge };
            steps(&ready, |peers| &peers.inside, &mut judge)
        }
    };
    Row { inside, v4, v6, own_node }
}

impl<'a> Ready<'a> {
    fn new(tier: Tier, share: &'a Share, named: &[Named]) -> Self {
        Self { tier, action: share.action, peers: &share.peers, ports: share.ports_of(named) }
    }
}

/// Sweeps over a line, with the shares that hold each part of it.
fn steps<T: Coordinate>(
    ready: &[Ready<'_>],
    line: impl Fn(&Peers) -> &Vec<Span<T>>,
    judge: &mut Judge<'_, '_>,
) -> Steps<T> {
    let mut events: Vec<(T, u32)> = Vec::new();
    for (number, share) in (0..).zip(ready) {
        for (first, last) in line(share.peers) {
            events.push((*first, number));
            events.extend(last.next().map(|next| (next, number)));
        }
    }
    events.sort_unstable();
    let mut active: Vec<u32> = Vec::new();
    let mut first = judge.of(&active);
    let mut changes: Vec<(T, PortsId)> = Vec::new();
    for at in events.chunk_by(|one, other| one.0 == other.0) {
        for (_, number) in at {
            match active.binary_search(number) {
                Ok(place) => drop(active.remove(place)),
                Err(place) => active.insert(place, *number),
            }
        }
        let (place, value) = (at[0].0, judge.of(&active));
        if place == T::FIRST {
            first = value;
        } else if value != changes.last().map_or(first, |last| last.1) {
            changes.push((place, value));
        }
    }
    Steps { first, changes: changes.into() }
}

/// What NetworkPolicies mean to the subject.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Isolation {
    /// None selects it.
    None,
    /// What they do not admit is denied.
    Isolated,
    /// They select it, and do not apply to this peer, which they admit.
    Exempt,
}

/// Decides what a set of shares says together.
struct Judge<'a, 'r> {
    ready: &'a [Ready<'r>],
    isolation: Isolation,
    table: &'a mut Table,
    known: HashMap<Box<[u32]>, PortsId>,
}

impl Judge<'_, '_> {
    fn of(&mut self, active: &[u32]) -> PortsId {
        if let Some(known) = self.known.get(active) {
            return *known;
        }
        let value = self.decide(active);
        self.known.insert(active.into(), value);
        value
    }

    fn decide(&mut self, active: &[u32]) -> PortsId {
        let ready = self.ready;
        let of = |tier: Tier| {
            let shares = active.iter().filter_map(|number| ready.get(*number as usize));
            shares.filter(move |share| share.tier == tier)
        };
        // Without policies of the cluster, which is most rows.
        let ordered = of(Tier::Admin).next().is_some() || of(Tier::Baseline).next().is_some();
        match self.isolation {
            Isolation::None | Isolation::Exempt if !ordered => return ALL,
            Isolation::Isolated if active.is_empty() => return NONE,
            _ => {}
        }
        let admin = tier(PortSet::all(), of(Tier::Admin));
        let mut allowed = vec![admin.accepted];
        match self.isolation {
            Isolation::None => {
                let baseline = tier(admin.undecided, of(Tier::Baseline));
                allowed.extend([baseline.accepted, baseline.undecided]);
            }
            Isolation::Isolated => {
                let admitted = PortSet::union_of(of(Tier::NetworkPolicy).map(|share| &share.ports));
                allowed.push(admitted.intersection(&admin.undecided));
            }
            Isolation::Exempt => allowed.push(admin.undecided),
        }
        self.table.id(PortSet::union_of(&allowed))
    }
}

struct Outcome {
    accepted: PortSet,
    /// What no rule matched, and what was passed on.
    undecided: PortSet,
}

/// Every rule takes its part of what those before it left.
fn tier<'a>(asked: PortSet, shares: impl Iterator<Item = &'a Ready<'a>>) -> Outcome {
    let mut left = asked;
    let (mut accepted, mut passed) = (Vec::new(), Vec::new());
    for share in shares {
        if left.is_empty() {
            break;
        }
        let taken = left.intersection(&share.ports);
        left = left.difference(&taken);
        match share.action {
            Action::Accept => accepted.push(taken),
            Action::Pass => passed.push(taken),
            Action::Deny => {}
        }
    }
    passed.push(left);
    Outcome { accepted: PortSet::union_of(&accepted), undecided: PortSet::union_of(&passed) }
}

impl Selecting<'_> {
    /// Whether the subject's named ports matter.
    pub fn names_ports(&self) -> bool {
        let cluster = self.cluster.iter().flat_map(|(_, shares)| shares.iter());
        let network = self.network.iter().flatten().copied();
        cluster.chain(network).any(|share| !share.names.is_empty())
    }
}
