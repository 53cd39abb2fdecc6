//! What one end reaches, who reaches it, and all pairs in runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use peerwalk_model::Direction;

use super::blocks::AddressRange;
use super::ends::EndId;
use super::row::Steps;
use super::table::NONE;
use super::{End, Matrix};
use crate::port_set::PortSet;
use crate::span::Coordinate;

/// Everybody that one end reaches, or that reaches it, in runs with the same ports. Ends and addresses that are not
/// listed are not reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Inside the cluster, ascending.
    pub inside: Vec<Reached<EndId>>,
    /// Outside, ascending; parts that differ in nothing are one.
    pub outside: Vec<(AddressRange, PortSet)>,
}

/// Neighbours on the line of ends, and the ports of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached<T> {
    /// The first.
    pub first: T,
    /// The last.
    pub last: T,
    /// The same for all of them.
    pub ports: PortSet,
}

impl EndId {
    /// Its number: pods of their own network count from 0 in the order of [`Matrix::ends`].
    pub fn number(self) -> u32 {
        self.0
    }

    /// All places from this one to another.
    pub fn to(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl Matrix {
    /// What can this end reach?
    pub fn reached_from(&self, source: End) -> Reach {
        self.reach(source, Direction::Egress)
    }

    /// Who can reach this end?
    pub fn reaching(&self, destination: End) -> Reach {
        self.reach(destination, Direction::Ingress)
    }

    fn reach(&self, end: End, direction: Direction) -> Reach {
        let mut inside: Vec<Reached<EndId>> = Vec::new();
        let mut open = None;
        for (place, _) in self.ends.members() {
            let other = End::Inside(EndId(place));
            let (source, destination) = match direction {
                Direction::Egress => (end, other),
                Direction::Ingress => (other, end),
            };
            let ids = self.both_directions(source, destination);
            match inside.last_mut() {
                Some(run) if open == Some(ids) && run.last.0 + 1 == place => run.last = EndId(place),
                _ => {
                    let ports = self.table.both(ids.0, ids.1);
                    open = (!ports.is_empty()).then_some(ids);
                    if open.is_some() {
                        inside.push(Reached { first: EndId(place), last: EndId(place), ports });
                    }
                }
            }
        }
        Reach { inside, outside: self.exposure(end, direction) }
    }

    /// The addresses outside that a pod reaches (egress) or that reach it (ingress), as runs with the same ports. Those
    /// of the other family than the end's own are left out.
    pub fn exposure(&self, end: End, direction: Direction) -> Vec<(AddressRange, PortSet)> {
        let End::Inside(place) = end else { return Vec::new() };
        let Some(member) = self.ends.member(place.0) else { return Vec::new() };
        let family = member.ip.map(|ip| ip.to_canonical().is_ipv4());
        let row = self.row(member, direction);
        let all = |first: IpAddr, last: IpAddr| vec![(AddressRange { first, last }, PortSet::all())];
        let mut found = Vec::new();
        if family != Some(false) {
            found.extend(row.map_or_else(
                || all(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()),
                |row| self.pieces(&row.v4, |ip| Ipv4Addr::from(ip).into()),
            ));
        }
        if family != Some(true) {
            found.extend(row.map_or_else(
                || all(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from(u128::MAX).into()),
                |row| self.pieces(&row.v6, |ip| Ipv6Addr::from(ip).into()),
            ));
        }
        found
    }

    fn pieces<T: Coordinate>(
        &self,
        steps: &Steps<T>,
        ip: impl Fn(T) -> IpAddr,
    ) -> Vec<(AddressRange, PortSet)> {
        let open = steps.pieces().filter(|(_, ports)| *ports != NONE);
        open.map(|((first, last), ports)| {
            (AddressRange { first: ip(first), last: ip(last) }, self.table.set(ports).clone())
        })
        .collect()
    }
}
