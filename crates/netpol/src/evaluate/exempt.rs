//! Pairs that policies do not apply to.

use std::collections::BTreeSet;

use peerwalk_model::Direction;

use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::decision::Exemption;
use crate::flow::{Flow, PeerKind};
use crate::profile::{HostNetwork, Profile};

/// How policies of one direction stand towards a pod and its peer.
pub(super) enum Standing {
    /// They do not apply, unless these points are read in another way.
    Exempt { exemption: Exemption, unless: BTreeSet<Caveat> },
    /// They apply, unless these points are read in another way.
    Subject { unless: BTreeSet<Caveat> },
}

impl Standing {
    fn exempt(exemption: Exemption, unless: impl Into<BTreeSet<Caveat>>) -> Self {
        Self::Exempt { exemption, unless: unless.into() }
    }

    fn subject(unless: impl Into<BTreeSet<Caveat>>) -> Self {
        Self::Subject { unless: unless.into() }
    }
}

pub(super) fn standing(flow: &Flow, profile: Profile, direction: Direction, subject: &Pod) -> Standing {
    let peer = &flow.peer(direction).kind;
    if let PeerKind::Pod(peer) = peer
        && peer.is_same(subject)
    {
        let hairpin = flow.service.map(|_| Caveat::Hairpin);
        return Standing::exempt(Exemption::SamePod, hairpin.into_iter().collect::<BTreeSet<_>>());
    }
    if subject.host_network {
        return match profile.host_network {
            HostNetwork::AsNode => Standing::exempt(Exemption::HostNetwork, [Caveat::HostNetworkSubject]),
            HostNetwork::AsPod => Standing::subject([Caveat::HostNetworkSubject]),
        };
    }
    // In: "OR if the traffic source is the pod's local node" (types.go). Out: only the documentation says so.
    let mut unless: BTreeSet<Caveat> = match direction {
        Direction::Ingress => BTreeSet::new(),
        Direction::Egress => BTreeSet::from([Caveat::OwnNode]),
    };
    match peer {
        PeerKind::Node(node) if subject.node.as_ref() == Some(&node.name) => {
            Standing::exempt(Exemption::OwnNode, unless)
        }
        PeerKind::Pod(peer) if peer.host_network && peer.node.is_some() && peer.node == subject.node => {
            unless.insert(Caveat::HostNetworkPeer);
            match profile.host_network {
                HostNetwork::AsNode => Standing::exempt(Exemption::OwnNode, unless),
                HostNetwork::AsPod => Standing::subject([Caveat::HostNetworkPeer]),
            }
        }
        _ => Standing::subject([]),
    }
}
