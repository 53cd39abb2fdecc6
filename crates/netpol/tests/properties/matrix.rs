//! All pairs at once against flow by flow.

use std::collections::HashMap;
use std::sync::Arc;

use peerwalk_netpol::{End, EndId, Flow, Matrix, Node, Objects, Peer, PeerKind, PortSet, Profile, evaluate};
use proptest::prelude::*;

use super::PROFILES;
use super::generate::{Cluster, cluster};

/// The cluster as the matrix takes it, with every end that its flows have.
pub fn objects(cluster: &Cluster) -> Objects {
    let ends = cluster.flows.iter().flat_map(|flow| [&flow.source, &flow.destination]);
    let mut objects = Objects {
        namespaces: cluster.namespaces.clone(),
        nodes: cluster.nodes.clone(),
        policies: cluster.policies().into_iter().map(Arc::new).collect(),
        cluster_policies: cluster.cluster_policies().into_iter().map(Arc::new).collect(),
        ..Objects::default()
    };
    for end in ends {
        match &end.kind {
            PeerKind::Pod(pod) if !objects.pods.iter().any(|known| known.name == pod.name) => {
                objects.pods.push(Arc::clone(pod));
            }
            _ => {}
        }
    }
    objects
}

/// An end of a flow in the matrix; `None` for a pod that has finished.
pub fn end(matrix: &Matrix, peer: &Peer) -> Option<End> {
    let is_node = |known: &Arc<Node>| matches!(&peer.kind, PeerKind::Node(node) if node.name == known.name);
    match &peer.kind {
        PeerKind::External => Some(End::Outside(peer.ip)),
        PeerKind::Pod(pod) => {
            let mut ends = matrix.ends_of_pod(&pod.namespace, &pod.name).into_iter();
            ends.find(|end| matrix.member(*end).is_some_and(|member| member.ip == Some(peer.ip)))
                .map(End::Inside)
        }
        PeerKind::Node(_) => {
            let mut ends = matrix.ends();
            let end = ends.find(|(_, member)| match &member.owner {
                peerwalk_netpol::Owner::Node(node) => is_node(node) && member.ip == Some(peer.ip),
                peerwalk_netpol::Owner::Pod(_) => false,
            });
            end.map(|(end, _)| End::Inside(end))
        }
    }
}

/// Holds one flow against the matrix; nothing for flows that cannot be.
pub fn agrees(
    cluster: &Cluster,
    matrix: &Matrix,
    flow: &Flow,
    profile: &Profile,
) -> Result<(), TestCaseError> {
    let (Some(source), Some(destination)) = (end(matrix, &flow.source), end(matrix, &flow.destination))
    else {
        return Ok(());
    };
    if flow.source.ip.is_ipv4() != flow.destination.ip.is_ipv4() {
        return Ok(());
    }
    // What a Service's own address changes is no matter of pairs.
    let flow = &Flow { service: None, ..flow.clone() };
    let ports = matrix.ports(source, destination);
    let index = cluster.index();
    // The flow's own port, and those at the edges of what is generated.
    let edges: &[u16] = if *profile == PROFILES[0] { &[1, 54, 79, 81, 8081, 65535] } else { &[] };
    for port in edges.iter().copied().chain([flow.port]) {
        let flow = Flow { port, ..flow.clone() };
        let decision = evaluate(&index, &flow, profile);
        prop_assert_eq!(
            ports.contains(flow.protocol, port),
            decision.is_allowed(),
            "{} with {:?}: the matrix says {}, but {}",
            flow,
            profile,
            ports,
            decision
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn all_pairs_are_as_flow_by_flow(cluster in cluster()) {
        let objects = objects(&cluster);
        for profile in PROFILES.iter().chain(&Profile::ALL) {
            let matrix = Matrix::new(&objects, *profile);
            for flow in &cluster.flows {
                agrees(&cluster, &matrix, flow, profile)?;
            }
        }
    }

    #[test]
    fn every_pair_is_in_one_block(cluster in cluster()) {
        let objects = objects(&cluster);
        for profile in PROFILES.iter().chain(&Profile::ALL) {
            let matrix = Matrix::new(&objects, *profile);
            blocks_agree(&matrix)?;
        }
    }
}

/// Every pair of ends is in one block with its ports, or in none when it has no port.
pub fn blocks_agree(matrix: &Matrix) -> Result<(), TestCaseError> {
    let mut told: HashMap<(EndId, EndId), PortSet> = HashMap::new();
    let mut again = Vec::new();
    matrix.for_each_block(|block| {
        for source in block.sources().flat_map(|(first, last)| first.to(last)) {
            for destination in block.destinations().flat_map(|(first, last)| first.to(last)) {
                if told.insert((source, destination), block.ports.clone()).is_some() {
                    again.push((source, destination));
                }
            }
        }
    });
    prop_assert_eq!(again, vec![], "told twice");
    for (source, one) in matrix.ends() {
        for (destination, other) in matrix.ends() {
            let families = [one, other].map(|member| member.ip.map(|ip| ip.is_ipv4()));
            if one.is_same_pod(other) || families[0] != families[1] {
                continue;
            }
            let ports = matrix.ports(End::Inside(source), End::Inside(destination));
            let told = told.remove(&(source, destination)).unwrap_or_default();
            prop_assert_eq!(told, ports, "{:?} to {:?}", one, other);
        }
    }
    Ok(())
}
