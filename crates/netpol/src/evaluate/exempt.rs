//! Pairs that policies do not apply to.

use std::collections::BTreeSet;

use peerwalk_model::Direction;

use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::decision::Exemption;
use crate::flow::{Flow, PeerKind};
use crate::profile::{HostNetwork, Profile};

/// How policies of one direction stand towards a pod and its peer.
pub(super) struct Standing {
    /// NetworkPolicies.
    pub policies: Applies,
    /// Whether policies of the cluster apply. They know of no local node: its exemption is NetworkPolicy's.
    pub of_cluster: bool,
}

/// Whether NetworkPolicies apply.
pub(super) enum Applies {
    /// They do not, unless these points are read in another way.
    Not { exemption: Exemption, unless: BTreeSet<Caveat> },
    /// They do, unless these points are read in another way.
    To { unless: BTreeSet<Caveat> },
}

impl Applies {
    fn not(exemption: Exemption, unless: impl Into<BTreeSet<Caveat>>) -> Self {
        Self::Not { exemption, unless: unless.into() }
    }

    fn to(unless: impl Into<BTreeSet<Caveat>>) -> Self {
        Self::To { unless: unless.into() }
    }
}

pub(super) fn standing(flow: &Flow, profile: Profile, direction: Direction, subject: &Pod) -> Standing {
    let peer = &flow.peer(direction).kind;
    if let PeerKind::Pod(peer) = peer
        && peer.is_same(subject)
    {
        // The pod's own address is not subject to any policy. Through a Service it is to policies of the cluster
        // (network-policy-api#390), and to NetworkPolicies it depends.
        let hairpin: BTreeSet<Caveat> = flow.service.map(|_| Caveat::Hairpin).into_iter().collect();
        let of_cluster = flow.service.is_some() && is_subject_of_cluster(profile, subject);
        return Standing { policies: Applies::not(Exemption::SamePod, hairpin), of_cluster };
    }
    let policies = if !subject.host_network {
        own_node(peer, profile, direction, subject)
    } else if profile.host_network.is_subject() {
        Applies::to([Caveat::HostNetworkSubject])
    } else {
        Applies::not(Exemption::HostNetwork, [Caveat::HostNetworkSubject])
    };
    Standing { policies, of_cluster: is_subject_of_cluster(profile, subject) }
}

fn is_subject_of_cluster(profile: Profile, subject: &Pod) -> bool {
    !subject.host_network || profile.host_network == HostNetwork::Ignored
}

fn own_node(peer: &PeerKind, profile: Profile, direction: Direction, subject: &Pod) -> Applies {
    // In: "OR if the traffic source is the pod's local node" (types.go). Out: only the documentation says so.
    let mut unless: BTreeSet<Caveat> = match direction {
        Direction::Ingress => BTreeSet::new(),
        Direction::Egress => BTreeSet::from([Caveat::OwnNode]),
    };
    let as_node = match peer {
        PeerKind::Node(node) if subject.node.as_ref() == Some(&node.name) => true,
        PeerKind::Pod(peer) if peer.host_network && peer.node.is_some() && peer.node == subject.node => {
            unless.insert(Caveat::HostNetworkPeer);
            !profile.host_network.is_peer()
        }
        _ => return Applies::to([]),
    };
    match (as_node, profile.own_node) {
        (true, true) => Applies::not(Exemption::OwnNode, unless),
        (true, false) => Applies::to([Caveat::OwnNode]),
        (false, _) => Applies::to([Caveat::HostNetworkPeer]),
    }
}
