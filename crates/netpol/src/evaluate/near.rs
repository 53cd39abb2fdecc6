//! How nearly a rule matched.

use crate::decision::{Difference, NearestMiss, PeerDifference, PolicyStep};

/// The rules that would have admitted the flow but for one thing, nearest first, then in the order of
/// policies and rules.
pub(super) fn misses(steps: &[PolicyStep], peer_is_pod: bool) -> Vec<NearestMiss> {
    let mut found = Vec::new();
    for step in steps {
        for rule in &step.rules {
            let difference = match (rule.peer.as_slice(), rule.port.as_slice()) {
                ([], [_, ..]) => Difference::Port(rule.port.clone()),
                ([only], []) if is_near(only, peer_is_pod) => Difference::Peer(only.clone()),
                _ => continue,
            };
            found.push(NearestMiss { policy: step.policy.clone(), rule: rule.index, difference });
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
        PeerDifference::NotAPod => false,
        PeerDifference::OutsideBlock { .. } => !peer_is_pod,
        _ => true,
    }
}

fn rank(difference: &PeerDifference) -> u8 {
    match difference {
        PeerDifference::PodLabel { .. } => 1,
        PeerDifference::NamespaceLabel { .. } | PeerDifference::OtherNamespace { .. } => 2,
        PeerDifference::Excepted { .. }
        | PeerDifference::PodAddress { .. }
        | PeerDifference::HostNetworkPod => 3,
        PeerDifference::OutsideBlock { .. } => 4,
        PeerDifference::NotAPod | PeerDifference::Told(_) => 5,
    }
}
