//! The connection that is asked about.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerwalk_model::{Direction, Protocol};

use crate::cluster::{Node, Pod};

/// A new connection, from its initiator to its responder. Replies are implied by it (conntrack), and source
/// ports never matter to a policy.
///
/// For a connection through a Service, the destination is the endpoint and its target port, because data
/// planes apply policies after the translation; `service` says what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who connects, and from which address.
    pub source: Peer,
    /// Who is connected to, and at which address.
    pub destination: Peer,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port of the destination.
    pub port: u16,
    /// The Service's address and port that the connection was opened to; `None` when nothing is translated, as
    /// for a headless Service.
    pub service: Option<SocketAddr>,
}

impl Flow {
    /// The end that a policy of this direction selects: the source for egress, the destination for ingress.
    pub fn subject(&self, direction: Direction) -> &Peer {
        match direction {
            Direction::Egress => &self.source,
            Direction::Ingress => &self.destination,
        }
    }

    /// The other end, which the rules of a policy of this direction speak of.
    pub fn peer(&self, direction: Direction) -> &Peer {
        match direction {
            Direction::Egress => &self.destination,
            Direction::Ingress => &self.source,
        }
    }
}

/// One end of a connection. Whoever builds it resolves the address first: a pod that is running beats one
/// that is finished, and an address of a node is the node, not an external address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address used.
    pub ip: IpAddr,
    /// Whose address it is.
    pub kind: PeerKind,
}

/// Whose address it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// A pod; a host-network pod too.
    Pod(Arc<Pod>),
    /// A node itself.
    Node(Arc<Node>),
    /// Nobody's in the cluster.
    External,
}

impl Peer {
    /// A pod at one of its addresses.
    pub fn pod(pod: Arc<Pod>, ip: IpAddr) -> Self {
        Self { ip, kind: PeerKind::Pod(pod) }
    }

    /// A node at one of its addresses.
    pub fn node(node: Arc<Node>, ip: IpAddr) -> Self {
        Self { ip, kind: PeerKind::Node(node) }
    }

    /// An address outside the cluster.
    pub fn external(ip: IpAddr) -> Self {
        Self { ip, kind: PeerKind::External }
    }

    /// The pod, if it is one.
    pub fn as_pod(&self) -> Option<&Arc<Pod>> {
        match &self.kind {
            PeerKind::Pod(pod) => Some(pod),
            PeerKind::Node(_) | PeerKind::External => None,
        }
    }
}

impl fmt::Display for Peer {
    /// `namespace/name` of a pod, `node name`, or the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PeerKind::Pod(pod) => write!(f, "{}/{}", pod.namespace, pod.name),
            PeerKind::Node(node) => write!(f, "node {}", node.name),
            PeerKind::External => write!(f, "{}", self.ip),
        }
    }
}

impl fmt::Display for Flow {
    /// `shop/web → ledger/postgres-0 port 5432/TCP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {} port {}/{}", self.source, self.destination, self.port, self.protocol)
    }
}
