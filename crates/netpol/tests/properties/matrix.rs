//! All pairs at once against flow by flow.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_netpol::{
    Direction, End, EndId, Flow, Matrix, Node, Objects, Peer, PeerKind, PortSet, Profile, evaluate,
};
use proptest::prelude::*;

use super::generate::{Cluster, cluster};
use super::{DIRECTIONS, PROFILES};

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
            ends.find(|end| {
                matrix.member(*end).is_some_and(|member| member.ip.is_none_or(|ip| ip == peer.ip))
            })
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
    fn questions_about_one_end_are_answered_by_its_pairs(cluster in cluster()) {
        let objects = objects(&cluster);
        for profile in [Profile::UPSTREAM, Profile::NP_GUARD, Profile::OVN_KUBERNETES] {
            let matrix = Matrix::new(&objects, profile);
            queries_agree(&matrix)?;
            parts_agree(&matrix)?;
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

/// What one end reaches, who reaches it, and its exposure are what pairs say.
fn queries_agree(matrix: &Matrix) -> Result<(), TestCaseError> {
    let outside: [IpAddr; 6] =
        ["192.0.2.7", "10.96.0.10", "10.97.0.1", "255.255.255.255", "2001:db8::7", "::1"]
            .map(|ip| ip.parse().expect("an address"));
    for (end, member) in matrix.ends() {
        let end = End::Inside(end);
        for (reach, away) in [(matrix.reached_from(end), true), (matrix.reaching(end), false)] {
            let pair = |other: End| if away { matrix.ports(end, other) } else { matrix.ports(other, end) };
            let held = |other: EndId| {
                let mut runs = reach.inside.iter().filter(|run| run.first <= other && other <= run.last);
                (runs.next().map(|run| run.ports.clone()).unwrap_or_default(), runs.count())
            };
            for (other, _) in matrix.ends() {
                prop_assert_eq!(held(other), (pair(End::Inside(other)), 0), "{:?} and {:?}", member, other);
            }
            for ip in outside {
                let mut parts =
                    reach.outside.iter().filter(|(range, _)| range.first <= ip && ip <= range.last);
                let ports = parts.next().map(|(_, ports)| ports.clone()).unwrap_or_default();
                if member.as_pod().is_some() {
                    prop_assert_eq!(ports, pair(End::Outside(ip)), "{:?} and {}", member, ip);
                }
            }
        }
    }
    Ok(())
}

/// The parts of the outside lie side by side, and no pod tells two addresses of one apart.
fn parts_agree(matrix: &Matrix) -> Result<(), TestCaseError> {
    for side in DIRECTIONS {
        let parts = matrix.outside(side);
        for pair in parts.windows(2).filter(|pair| pair[0].last.is_ipv4() == pair[1].first.is_ipv4()) {
            prop_assert!(pair[0].last < pair[1].first, "{:?}", pair);
        }
        for part in &parts {
            for (end, member) in matrix.ends() {
                let [first, last] = [part.first, part.last].map(|ip| match side {
                    Direction::Egress => matrix.ports(End::Inside(end), End::Outside(ip)),
                    Direction::Ingress => matrix.ports(End::Outside(ip), End::Inside(end)),
                });
                prop_assert_eq!(first, last, "{:?} and {:?}", member, part);
            }
        }
    }
    Ok(())
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
