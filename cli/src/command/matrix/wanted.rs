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

/// Whether an end is one of those that are wanted; all are, where none is named.
pub fn fits(wanted: &[Wanted], peer: &Peer) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted.holds(peer))
}

/// Whether an end is in a namespace.
pub fn is_in(namespace: &str, peer: &Peer) -> bool {
    matches!(peer, Peer::Workload(of) if of.namespace == namespace)
}
