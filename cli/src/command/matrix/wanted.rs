//! `--from`, `--to` and `--namespace`: which pairs are wanted.

use std::net::IpAddr;

use crate::pairs::Peer;

/// Ends that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A workload; without a name all of the namespace.
    Workload {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: Option<String>,
    },
    /// Addresses outside.
    Outside,
    /// Ranges that hold an address.
    Address(IpAddr),
}

impl Wanted {
    /// Reads `shop/web`, `shop/*`, `outside`, `192.0.2.7`.
    ///
    /// # Errors
    /// Where it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "outside" {
            return Ok(Self::Outside);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.contains('/') => Ok(Self::Workload {
                namespace: namespace.to_owned(),
                name: Some(name).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned),
            }),
            _ => Err("write NAMESPACE/NAME, NAMESPACE/* for all of it, an address, or outside".to_owned()),
        }
    }

    /// Whether it is outside the cluster.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Outside | Self::Address(_))
    }

    fn holds(&self, peer: &Peer) -> bool {
        match (self, peer) {
            (Self::Workload { namespace, name }, Peer::Workload(of)) => {
                of.namespace == *namespace && name.as_ref().is_none_or(|name| of.name == *name)
            }
            (Self::Outside, Peer::Outside(_)) => true,
            (Self::Address(address), Peer::Outside(range)) => {
                address.is_ipv4() == range.first.is_ipv4() && (range.first..=range.last).contains(address)
            }
            _ => false,
        }
    }
}

/// Which pairs are wanted.
pub struct Filter<'a> {
    /// From one of these; from all, where none is named.
    pub from: &'a [Wanted],
    /// To one of these; to all, where none is named.
    pub to: &'a [Wanted],
    /// With an end in this namespace.
    pub namespace: Option<&'a str>,
}

impl Filter<'_> {
    /// Whether a pair is wanted.
    pub fn holds(&self, from: &Peer, to: &Peer) -> bool {
        self.starts(from) && self.ends(to) && (self.is_home(from) || self.is_home(to))
    }

    /// Whether pairs from there may be wanted.
    pub fn starts(&self, peer: &Peer) -> bool {
        fits(self.from, peer)
    }

    /// Whether pairs to there may be wanted.
    pub fn ends(&self, peer: &Peer) -> bool {
        fits(self.to, peer)
    }

    /// Whether an end is in the namespace, or any will do.
    pub fn is_home(&self, peer: &Peer) -> bool {
        self.namespace.is_none_or(|namespace| matches!(peer, Peer::Workload(of) if of.namespace == namespace))
    }
}

fn fits(wanted: &[Wanted], peer: &Peer) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted.holds(peer))
}
