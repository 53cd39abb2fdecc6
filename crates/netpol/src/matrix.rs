//! All pairs at once: who reaches whom, on which ports.
//!
//! [`evaluate`](crate::evaluate) answers for one flow and says why; this answers for every pair, by sets, and says only
//! what. The two share no code beyond the types of policies, and are held against each other by properties.
//!
//! Ends inside the cluster stand on a line ([`EndId`]), in which pods that selectors cannot tell apart are neighbours; the
//! addresses outside are two more lines. For each class of pods and direction that some policy selects there is a row:
//! the ports for every peer, as steps along these lines. A pod that nothing selects has no row. So what is kept grows with
//! the policies and what they tell apart, not with pairs.

mod blocks;
mod build;
mod change;
mod diff;
mod ends;
mod pairs;
mod query;
mod row;
mod rules;
mod table;
mod words;

use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_model::Direction;

pub use blocks::AddressRange;
pub use change::{Change, Changed, ChangedDecisions, Changes};
pub use diff::{PairDifference, Party};
pub use ends::{EndId, Member, Owner};
pub use pairs::Block;
pub use query::{Reach, Reached};
pub use table::PortsId;

use crate::cluster::{Namespace, Node, Pod};
use crate::cluster_policy::{ClusterPeer, ClusterPolicy};
use crate::policy::Policy;
use crate::port_set::PortSet;
use crate::profile::Profile;
use blocks::Cuts;
use ends::Ends;
use row::Row;
use table::{ALL, NONE, Table};

/// What a matrix is computed from.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Namespaces; one that is not given has the label `kubernetes.io/metadata.name` alone.
    pub namespaces: Vec<Namespace>,
    /// Pods, each name once in its namespace. Finished ones count for nothing.
    pub pods: Vec<Arc<Pod>>,
    /// Nodes.
    pub nodes: Vec<Arc<Node>>,
    /// NetworkPolicies, each name once in its namespace.
    pub policies: Vec<Arc<Policy>>,
    /// Policies of the cluster.
    pub cluster_policies: Vec<Arc<ClusterPolicy>>,
}

/// One end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod or node at one of its addresses.
    Inside(EndId),
    /// An address outside the cluster.
    Outside(IpAddr),
}

/// Who reaches whom in a cluster, on which ports. What cannot be known is read as [`evaluate`](crate::evaluate) reads it, and
/// is no doubt here: domain names in policies of the cluster are nobody's addresses, a pod without an address is in no block
/// but those of a whole family, and a namespace that was not given has the label `kubernetes.io/metadata.name` alone.
#[derive(Clone, Debug)]
pub struct Matrix {
    ends: Ends,
    /// By namespace, ordered by name.
    policies: Vec<Vec<Arc<Policy>>>,
    /// In the order of evaluation.
    cluster_policies: Vec<Arc<ClusterPolicy>>,
    /// By class: egress, ingress; none where no policy selects.
    rows: Vec<[Option<Arc<Row>>; 2]>,
    table: Table,
}

impl Matrix {
    /// Computes it.
    pub fn new(objects: &Objects, profile: Profile) -> Self {
        build::matrix(objects, profile)
    }

    /// How what the API leaves open is read.
    pub fn profile(&self) -> Profile {
        self.ends.profile
    }

    /// Every pod and node, once for each of its addresses; ordered by namespace and by what policies see.
    pub fn ends(&self) -> impl Iterator<Item = (EndId, &Member)> {
        self.ends.members().map(|(place, member)| (EndId(place), member))
    }

    /// Who stands there; `None` when it is gone.
    pub fn member(&self, end: EndId) -> Option<&Member> {
        self.ends.member(end.0)
    }

    /// The ends of a pod, one for each of its addresses.
    pub fn ends_of_pod(&self, namespace: &str, name: &str) -> Vec<EndId> {
        self.ends.places(namespace, name).into_iter().map(EndId).collect()
    }

    /// The ports that a number stands for.
    pub fn port_set(&self, id: PortsId) -> &PortSet {
        self.table.set(id)
    }

    /// The ports on which the source reaches the destination. None where both have addresses of different families.
    pub fn ports(&self, source: End, destination: End) -> PortSet {
        let (egress, ingress) = self.both_directions(source, destination);
        self.table.both(egress, ingress)
    }

    /// The ports that the policies of one direction leave open: those that select the source, for egress, or the
    /// destination, for ingress.
    pub fn direction(&self, direction: Direction, subject: End, peer: End) -> &PortSet {
        self.table.set(self.directed(direction, subject, peer))
    }

    /// The parts into which blocks cut the addresses outside: those of rules for ingress for sources, those of rules for
    /// egress for destinations. Addresses of one part have the same answers.
    pub fn outside(&self, side: Direction) -> Vec<AddressRange> {
        let ipv6 = self.ends.profile.ipv6;
        let mut cuts = Cuts::default();
        for policy in self.policies.iter().flatten() {
            let peers = policy.rules(side).into_iter().flatten().flat_map(|rule| &rule.peers);
            peers.for_each(|peer| cuts.add_peer(peer, ipv6));
        }
        for policy in &self.cluster_policies {
            for peer in policy.rules(side).iter().flat_map(|rule| &rule.peers) {
                if let ClusterPeer::Networks(networks) = peer {
                    cuts.add(networks, ipv6);
                }
            }
        }
        cuts.ranges(ipv6)
    }

    /// What the policies of both directions leave open.
    fn both_directions(&self, source: End, destination: End) -> (PortsId, PortsId) {
        if !self.may_meet(source, destination) {
            return (NONE, NONE);
        }
        let egress = self.directed(Direction::Egress, source, destination);
        (egress, self.directed(Direction::Ingress, destination, source))
    }

    fn directed(&self, direction: Direction, subject: End, peer: End) -> PortsId {
        let End::Inside(place) = subject else { return ALL };
        let Some(member) = self.ends.member(place.0) else { return NONE };
        let Some(row) = self.row(member, direction) else { return ALL };
        match peer {
            End::Outside(ip) => row.at(ip),
            End::Inside(place) => match self.ends.member(place.0).map(|peer| self.standing(member, peer)) {
                Some(Standing::SamePod) => ALL,
                Some(Standing::OwnNode) => row.own_node.at(place.0),
                Some(Standing::Other) => row.inside.at(place.0),
                None => NONE,
            },
        }
    }

    fn row(&self, member: &Member, direction: Direction) -> Option<&Arc<Row>> {
        let rows = self.rows.get(member.class? as usize)?;
        rows[place(direction)].as_ref()
    }

    fn standing(&self, subject: &Member, peer: &Member) -> Standing {
        let Some(pod) = subject.as_pod() else { return Standing::Other };
        if subject.is_same_pod(peer) {
            return Standing::SamePod;
        }
        if pod.host_network || !self.ends.profile.own_node {
            return Standing::Other;
        }
        let own_node = match &peer.owner {
            Owner::Node(node) => pod.node.as_ref() == Some(&node.name),
            // A host-network pod that counts as its node.
            Owner::Pod(other) => peer.class.is_none() && other.node.is_some() && other.node == pod.node,
        };
        if own_node { Standing::OwnNode } else { Standing::Other }
    }

    /// Whether there can be a connection between them: addresses of one family.
    fn may_meet(&self, source: End, destination: End) -> bool {
        match (self.family(source), self.family(destination)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }

    fn family(&self, end: End) -> Option<bool> {
        let ip = match end {
            End::Inside(place) => self.ends.member(place.0)?.ip?,
            End::Outside(ip) => ip,
        };
        Some(ip.to_canonical().is_ipv4())
    }
}

/// What a peer is to a subject.
enum Standing {
    /// The subject itself: no policy applies.
    SamePod,
    /// The node that the subject is on: NetworkPolicies do not apply.
    OwnNode,
    /// Anybody else.
    Other,
}

fn place(direction: Direction) -> usize {
    match direction {
        Direction::Egress => 0,
        Direction::Ingress => 1,
    }
}

#[cfg(test)]
mod tests;
