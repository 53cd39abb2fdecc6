//! What is said without addresses of pods, or without namespaces, holds whatever they turn out to be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use peerwalk_netpol::{Caveat, Decision, Flow, Matrix, Peer, PeerKind, Pod, PolicyIndex, Profile, evaluate};
use proptest::prelude::*;

use super::PROFILES;
use super::generate::{Cluster, cluster};
use super::matrix::{end, objects};

/// The end as a template of pods in a file, which has no address.
fn template(peer: &Peer) -> Peer {
    let PeerKind::Pod(pod) = &peer.kind else { return peer.clone() };
    let pod = Arc::new(Pod { ips: Vec::new(), ..Pod::clone(pod) });
    let none: IpAddr =
        if peer.ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    Peer::pod(pod, none)
}

/// The flow between templates.
fn between_templates(flow: &Flow) -> Flow {
    Flow { source: template(&flow.source), destination: template(&flow.destination), ..flow.clone() }
}

fn without_namespaces(cluster: &Cluster) -> PolicyIndex {
    PolicyIndex::new([], cluster.policies().into_iter().map(Arc::new))
        .with_cluster_policies(cluster.cluster_policies().into_iter().map(Arc::new))
        .with_nodes(cluster.nodes.iter().cloned())
}

fn says(decision: &Decision, caveat: Caveat) -> bool {
    decision.caveats.contains(&caveat)
}

proptest! {
    #[test]
    fn what_is_known_without_addresses_holds_at_every_address(cluster in cluster()) {
        let index = cluster.index();
        for flow in cluster.flows.iter().filter(|flow| flow.source.ip.is_ipv4() == flow.destination.ip.is_ipv4()) {
            let template = between_templates(flow);
            for profile in PROFILES.iter().chain(&Profile::ALL) {
                let (known, unknown) = (evaluate(&index, flow, profile), evaluate(&index, &template, profile));
                prop_assert!(
                    says(&unknown, Caveat::UnknownAddress) || known.verdict == unknown.verdict,
                    "{flow} with {profile:?}: {unknown}, but {known}"
                );
            }
        }
    }

    #[test]
    fn what_is_known_without_namespaces_holds_whatever_their_labels(cluster in cluster()) {
        let (given, not_given) = (cluster.index(), without_namespaces(&cluster));
        for flow in &cluster.flows {
            let (known, unknown) =
                (evaluate(&given, flow, &Profile::UPSTREAM), evaluate(&not_given, flow, &Profile::UPSTREAM));
            prop_assert!(
                says(&unknown, Caveat::UnknownNamespace) || known.verdict == unknown.verdict,
                "{flow}: {unknown}, but {known}"
            );
            prop_assert!(!says(&known, Caveat::UnknownNamespace), "{flow}: {known}");
        }
    }

    #[test]
    fn the_matrix_reads_what_is_not_known_alike(cluster in cluster()) {
        let mut objects = objects(&cluster);
        objects.namespaces.clear();
        for pod in &mut objects.pods {
            *pod = Arc::new(Pod { ips: Vec::new(), ..Pod::clone(pod) });
        }
        let index = without_namespaces(&cluster);
        for profile in PROFILES.iter().chain(&Profile::ALL) {
            let matrix = Matrix::new(&objects, *profile);
            matrix.for_each_block(|_| ());
            for flow in &cluster.flows {
                // A block of one family holds a template in either, and a flow is of one.
                let of_ipv4 = |peer: &Peer| peer.ip.is_ipv4();
                if !of_ipv4(&flow.source) || !of_ipv4(&flow.destination) || has_networks_of_ipv6(&cluster) {
                    continue;
                }
                let flow = Flow { service: None, ..between_templates(flow) };
                let ends = [&flow.source, &flow.destination].map(|peer| end(&matrix, peer));
                let [Some(source), Some(destination)] = ends else { continue };
                let decision = evaluate(&index, &flow, profile);
                let ports = matrix.ports(source, destination);
                prop_assert_eq!(
                    ports.contains(flow.protocol, flow.port), decision.is_allowed(),
                    "{} with {:?}: the matrix says {}, but {}", flow, profile, ports, decision
                );
            }
        }
    }
}

fn has_networks_of_ipv6(cluster: &Cluster) -> bool {
    format!("{:?}{:?}", cluster.objects, cluster.of_cluster).contains("::/0")
}
