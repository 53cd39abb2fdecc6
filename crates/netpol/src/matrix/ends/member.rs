//! Who stands at a place, and at which address.

use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Node, Pod};

/// A place on the line: a pod or a node at one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(pub(in crate::matrix) u32);

/// A pod or a node at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose place it is.
    pub owner: Owner,
    /// The address; `None` for a pod that has none yet, or is only a template. Of blocks, only those of a whole family hold
    /// it: what others will say is not known, and the matrix does not tell (see [`evaluate`](crate::evaluate)).
    pub ip: Option<IpAddr>,
    /// What selectors see of it; `None` for nodes and host-network pods that count as their nodes.
    pub(in crate::matrix) class: Option<u32>,
}

/// Whose place it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A pod; a host-network pod too.
    Pod(Arc<Pod>),
    /// A node itself.
    Node(Arc<Node>),
}

impl Member {
    /// The pod, if it is one.
    pub fn as_pod(&self) -> Option<&Arc<Pod>> {
        match &self.owner {
            Owner::Pod(pod) => Some(pod),
            Owner::Node(_) => None,
        }
    }

    /// Whether both are places of one pod.
    pub fn is_same_pod(&self, other: &Self) -> bool {
        match (&self.owner, &other.owner) {
            (Owner::Pod(one), Owner::Pod(other)) => one.is_same(other),
            _ => false,
        }
    }
}

/// Who has which address, ascending.
#[derive(Clone, Debug, Default)]
pub(in crate::matrix) struct Addresses {
    pub v4: Vec<(u32, u32)>,
    pub v6: Vec<(u128, u32)>,
    /// Who has none yet.
    pub none: Vec<u32>,
}

impl Addresses {
    pub fn push(&mut self, ip: Option<IpAddr>, place: u32) {
        match ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => self.v4.push((ip.into(), place)),
            Some(IpAddr::V6(ip)) => self.v6.push((ip.into(), place)),
            None => self.none.push(place),
        }
    }

    pub fn sort(&mut self) {
        self.v4.sort_unstable();
        self.v6.sort_unstable();
    }

    pub fn remove(&mut self, place: u32) {
        self.v4.retain(|entry| entry.1 != place);
        self.v6.retain(|entry| entry.1 != place);
        self.none.retain(|entry| *entry != place);
    }
}
