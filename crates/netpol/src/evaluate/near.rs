//! How nearly a rule matched.

use crate::cluster_policy::Action;
use crate::decision::PolicyStep;
use crate::difference::{Difference, NearestMiss, PeerDifference};

/// The rules that would have admitted the flow but for one thing, nearest first, then in the order of
/// policies and rules.
pub(super) fn misses(steps: &[PolicyStep], peer_is_pod: bool) -> Vec<NearestMiss> {
    let mut found = Vec::new();
    for step in steps {
        for rule in step.rules.iter().filter(|rule| rule.action == Action::Accept) {
            let difference = match (rule.peer.as_slice(), rule.port.as_slice()) {
                ([], [_, ..]) => Difference::Port(rule.port.clone()),
                ([only], []) if is_near(only, peer_is_pod) => Difference::Peer(only.clone()),
                _ => continue,
            };
            let name = rule.name.clone();
            found.push(NearestMiss { policy: step.policy.clone(), rule: rule.index, name, difference });
        }
    }
    found.sort_by_key(|miss| match &miss.difference {
        Difference::Port(_) => 0,
        Difference::Peer(difference) => rank(difference),
    });
    found
}

/// How far a peer is from an item: the number of differences, then how much each says.
pub(super) fn distance(differences: &[PeerDifference]) -> (usize, u8) {
    (differences.len(), differences.iter().map(rank).max().unwrap_or(0))
}

/// An item for another sort of peer altogether is no near miss.
fn is_near(difference: &PeerDifference, peer_is_pod: bool) -> bool {
    match difference {
        PeerDifference::NotAPod | PeerDifference::NotANode | PeerDifference::UnknownFields(_) => false,
        PeerDifference::OutsideBlock { .. }
        | PeerDifference::OutsideNetworks { .. }
        | PeerDifference::UnknownAddress { .. }
        | PeerDifference::DomainNames(_) => !peer_is_pod,
        _ => true,
    }
}

fn rank(difference: &PeerDifference) -> u8 {
    match difference {
        PeerDifference::PodLabel { .. } => 1,
        PeerDifference::NamespaceLabel { .. }
        | PeerDifference::UnknownNamespace { .. }
        | PeerDifference::NodeLabel { .. }
        | PeerDifference::OtherNamespace { .. } => 2,
        PeerDifference::Excepted { .. }
        | PeerDifference::PodAddress { .. }
        | PeerDifference::NodeAddress { .. }
        | PeerDifference::ServiceAddress(_)
        | PeerDifference::HostNetworkPod
        | PeerDifference::UnknownAddress { .. }
        | PeerDifference::DomainNames(_) => 3,
        PeerDifference::OutsideBlock { .. } | PeerDifference::OutsideNetworks { .. } => 4,
        PeerDifference::NotAPod
        | PeerDifference::NotANode
        | PeerDifference::UnknownFields(_)
        | PeerDifference::Told(_) => 5,
    }
}
