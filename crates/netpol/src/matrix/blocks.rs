//! Blocks of addresses as intervals, and the parts into which the blocks of a cluster cut the addresses outside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::ends::{Addresses, Ends};
use super::rules::Peers;
use crate::policy::RulePeer;
use crate::span::{self, Coordinate, Span};

/// Addresses that no policy tells apart, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    /// The first.
    pub first: IpAddr,
    /// The last, of the same family.
    pub last: IpAddr,
}

/// A block with what it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub v4: Vec<Span<u32>>,
    pub v6: Vec<Span<u128>>,
    /// Whether it is a whole family.
    whole: bool,
}

impl Held {
    /// What a block holds, in the addresses that the profile reads.
    pub fn new(cidr: IpNet, except: &[IpNet], ipv6: bool) -> Self {
        let v4 = |net: &IpNet| match net {
            IpNet::V4(net) => Some((u32::from(net.network()), u32::from(net.broadcast()))),
            IpNet::V6(_) => None,
        };
        let v6 = |net: &IpNet| match net {
            IpNet::V6(net) if ipv6 => Some((u128::from(net.network()), u128::from(net.broadcast()))),
            _ => None,
        };
        let v4 = less(v4(&cidr), except.iter().filter_map(v4));
        let v6 = less(v6(&cidr), except.iter().filter_map(v6));
        let whole = v4 == [(0, u32::MAX)] || v6 == [(0, u128::MAX)];
        Self { v4, v6, whole }
    }

    /// These blocks together.
    pub fn networks(networks: &[IpNet], ipv6: bool) -> Self {
        let mut all = Self::default();
        for network in networks {
            let held = Self::new(*network, &[], ipv6);
            all.v4.extend(held.v4);
            all.v6.extend(held.v6);
            all.whole |= held.whole;
        }
        Self { v4: span::normal(all.v4), v6: span::normal(all.v6), ..all }
    }

    /// Everybody at these addresses, pods and nodes among them or not.
    pub fn peers(self, ends: &Ends, pods: bool, nodes: bool) -> Peers {
        let mut places = Vec::new();
        let inside = [pods.then_some(&ends.of_pods), nodes.then_some(&ends.of_nodes)];
        for addresses in inside.into_iter().flatten() {
            self.places(addresses, &mut places);
        }
        Peers { inside: span::of_values(places), v4: self.v4, v6: self.v6 }
    }

    fn places(&self, addresses: &Addresses, places: &mut Vec<u32>) {
        within(&self.v4, &addresses.v4, places);
        within(&self.v6, &addresses.v6, places);
        if self.whole {
            places.extend(&addresses.none);
        }
    }
}

fn less<T: Coordinate>(block: Option<Span<T>>, except: impl Iterator<Item = Span<T>>) -> Vec<Span<T>> {
    let block: Vec<Span<T>> = block.into_iter().collect();
    span::without(&block, &span::normal(except.collect()))
}

fn within<T: Coordinate>(spans: &[Span<T>], addresses: &[(T, u32)], places: &mut Vec<u32>) {
    for (first, last) in spans {
        let from = addresses.partition_point(|entry| entry.0 < *first);
        places.extend(addresses[from..].iter().take_while(|entry| entry.0 <= *last).map(|entry| entry.1));
    }
}

/// Where the addresses are cut: before the first and after the last of every block.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    v4: Vec<u32>,
    v6: Vec<u128>,
}

impl Cuts {
    pub fn add_peer(&mut self, peer: &RulePeer, ipv6: bool) {
        if let RulePeer::IpBlock { cidr, except } = peer {
            self.add(std::iter::once(cidr).chain(except), ipv6);
        }
    }

    pub fn add<'a>(&mut self, networks: impl IntoIterator<Item = &'a IpNet>, ipv6: bool) {
        for network in networks {
            let held = Held::new(*network, &[], ipv6);
            self.v4.extend(held.v4.iter().flat_map(|span| [Some(span.0), span.1.next()]).flatten());
            self.v6.extend(held.v6.iter().flat_map(|span| [Some(span.0), span.1.next()]).flatten());
        }
    }

    /// The parts, in order.
    pub fn ranges(self, ipv6: bool) -> Vec<AddressRange> {
        let v4 = parts(self.v4).into_iter().map(|(first, last)| AddressRange {
            first: Ipv4Addr::from(first).into(),
            last: Ipv4Addr::from(last).into(),
        });
        let v6 = parts(self.v6).into_iter().filter(|_| ipv6).map(|(first, last)| AddressRange {
            first: Ipv6Addr::from(first).into(),
            last: Ipv6Addr::from(last).into(),
        });
        v4.chain(v6).collect()
    }
}

fn parts<T: Coordinate>(mut cuts: Vec<T>) -> Vec<Span<T>> {
    cuts.push(T::FIRST);
    cuts.sort_unstable();
    cuts.dedup();
    let ends = cuts.iter().skip(1).filter_map(|cut| cut.previous()).chain([T::LAST]);
    cuts.iter().copied().zip(ends).collect()
}
