//! Sets of ports of all protocols.

use std::fmt;
use std::ops::RangeInclusive;

use peerwalk_model::Protocol;

use crate::policy::{Ports, RulePort};
use crate::span::{self, Span};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// A set of ports, each of a protocol and with a number from 1 to 65535. Equal sets are equal values.
///
/// Prints as `TCP 80,8080-8090,UDP 53`, `All Connections` or `No Connections`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet(
    /// Sorted and disjoint; the protocol's place in the upper, the number in the lower 16 bits. No port has the number
    /// 0, so no span reaches from one protocol into the next.
    Box<[Span<u32>]>,
);

impl PortSet {
    /// No port.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every port of every protocol.
    pub fn all() -> Self {
        PROTOCOLS.iter().map(|protocol| (*protocol, 1..=u16::MAX)).collect()
    }

    /// These ports of one protocol. A number 0 is left out.
    pub fn of(protocol: Protocol, numbers: RangeInclusive<u16>) -> Self {
        [(protocol, numbers)].into_iter().collect()
    }

    /// Whether it has no port.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has every port of every protocol.
    pub fn is_all(&self) -> bool {
        self.0.len() == PROTOCOLS.len() && *self == Self::all()
    }

    /// Whether it has this port.
    pub fn contains(&self, protocol: Protocol, number: u16) -> bool {
        span::contains(&self.0, place(protocol) | u32::from(number))
    }

    /// What is in one of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::union_of([self, other])
    }

    /// What is in one of them.
    pub fn union_of<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(span::normal(sets.into_iter().flat_map(|set| set.0.iter().copied()).collect()).into())
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(span::both(&self.0, &other.0).into())
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(span::without(&self.0, &other.0).into())
    }

    /// Its intervals, by protocol and number; intervals of one protocol have a gap between them.
    pub fn iter(&self) -> impl Iterator<Item = (Protocol, RangeInclusive<u16>)> + '_ {
        self.0.iter().filter_map(|&(first, last)| {
            let protocol = PROTOCOLS.iter().find(|protocol| place(**protocol) == first & !0xffff);
            protocol.map(|protocol| (*protocol, number(first)..=number(last)))
        })
    }

    /// The ports of items that name numbers; names stand for nothing here.
    pub(crate) fn listed<'a>(items: impl IntoIterator<Item = &'a RulePort>) -> Self {
        let ranges = items.into_iter().filter_map(|item| match &item.ports {
            Ports::All => Some((item.protocol, 1..=u16::MAX)),
            Ports::Numbers(range) => Some((item.protocol, range.clone())),
            Ports::Named(_) => None,
        });
        ranges.collect()
    }
}

impl FromIterator<(Protocol, RangeInclusive<u16>)> for PortSet {
    fn from_iter<I: IntoIterator<Item = (Protocol, RangeInclusive<u16>)>>(ranges: I) -> Self {
        let spans = ranges.into_iter().filter(|(_, numbers)| !numbers.is_empty() && *numbers.end() > 0);
        let spans = spans.map(|(protocol, numbers)| {
            let place = place(protocol);
            (place | u32::from(*numbers.start()).max(1), place | u32::from(*numbers.end()))
        });
        Self(span::normal(spans.collect()).into())
    }
}

/// Where the numbers of a protocol begin.
fn place(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1 << 16,
        Protocol::Sctp => 2 << 16,
    }
}

/// The lower 16 bits.
fn number(coordinate: u32) -> u16 {
    u16::try_from(coordinate & 0xffff).unwrap_or(u16::MAX)
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("All Connections");
        }
        if self.is_empty() {
            return f.write_str("No Connections");
        }
        let mut last = None;
        for (protocol, numbers) in self.iter() {
            match last {
                None => write!(f, "{protocol} ")?,
                Some(last) if last == protocol => f.write_str(",")?,
                Some(_) => write!(f, ",{protocol} ")?,
            }
            last = Some(protocol);
            if numbers.start() == numbers.end() {
                write!(f, "{}", numbers.start())?;
            } else {
                write!(f, "{}-{}", numbers.start(), numbers.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
