//! Blocks that hold addresses which data planes do not read alike: of pods, and of Services.

use ipnet::IpNet;
use peerwalk_netpol::{ClusterPeer, PolicyRef, RulePeer};

use super::pods::Pods;
use super::rules::{of, of_cluster, peers_field};
use super::{Code, Findings, Severity};

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    let local_dns = super::dns::is_local(pods);
    for policy in &found.cluster.policies {
        for (way, index, rule) in of(policy) {
            for (item, peer) in rule.peers.iter().enumerate() {
                let RulePeer::IpBlock { cidr, except } = peer else { continue };
                let field = format!("spec.{way}[{index}].{}[{item}].ipBlock.cidr", peers_field(way));
                if !of_service(found, local_dns, (&policy.reference, &field), *cidr) {
                    over_pods(found, pods, (&policy.reference, &field), (*cidr, except), peer);
                }
            }
        }
    }
    // Networks of policies of the cluster hold pods on every data plane.
    for policy in &found.cluster.cluster_policies {
        for (way, index, rule) in of_cluster(policy) {
            for (item, peer) in rule.peers.iter().enumerate() {
                let ClusterPeer::Networks(networks) = peer else { continue };
                for (place, network) in networks.iter().enumerate() {
                    let field = format!("spec.{way}[{index}].{}[{item}].networks[{place}]", peers_field(way));
                    of_service(found, local_dns, (&policy.reference, &field), *network);
                }
            }
        }
    }
}

/// Tells of a block that is the address of a Service.
fn of_service(
    found: &mut Findings<'_>,
    local_dns: bool,
    (of, field): (&PolicyRef, &str),
    cidr: IpNet,
) -> bool {
    if cidr.prefix_len() != cidr.max_prefix_len() {
        return false;
    }
    let mut services = found.cluster.services.iter();
    let Some(service) = services.find(|service| service.addresses.contains(&cidr.addr())) else {
        return false;
    };
    // What answers at the address of DNS on every node is no Service's pod.
    if local_dns && super::dns::is_of_dns(service) {
        return true;
    }
    let message = format!(
        "{} is the address of Service {}/{}, and policies see the pods behind it",
        cidr.addr(),
        service.namespace,
        service.name
    );
    let remedy = "select the pods behind the Service, with their own port";
    found.add(Severity::Warning, Code::BlockOfService, (of, field), message, remedy);
    true
}

/// Blocks of everything are meant to be so; others that hold pods are often a surprise.
fn over_pods(
    found: &mut Findings<'_>,
    pods: &Pods,
    (of, field): (&PolicyRef, &str),
    (cidr, except): (IpNet, &[IpNet]),
    peer: &RulePeer,
) {
    // Merged, a network that several of them take out together is in one of them.
    let merged = IpNet::aggregate(&except.to_vec());
    let is_out = |network: &IpNet| merged.iter().any(|out| out.contains(network));
    if is_out(&cidr) {
        let message = format!("the exceptions leave nothing of {cidr}");
        let remedy = "remove the item, or the exception that goes too far";
        found.add(Severity::Warning, Code::PeerMatchesNothing, (of, field), message, remedy);
        return;
    }
    if cidr.prefix_len() == 0 {
        return;
    }
    let common = |network: &IpNet| {
        if cidr.contains(network) { Some(*network) } else { network.contains(&cidr).then_some(cidr) }
    };
    let mut networks = found.cluster.pod_networks.iter();
    let network = networks.find(|network| common(network).is_some_and(|part| !is_out(&part)));
    let pod = pods.all().find(|pod| !pod.host_network && pod.ips.iter().any(|ip| peer.holds(*ip)));
    let what = match (network, pod) {
        (_, Some(pod)) => format!("pod {}/{} has an address in {cidr}", pod.namespace, pod.name),
        (Some(network), None) => format!("{cidr} and the pod network {network} overlap"),
        (None, None) => return,
    };
    let message = format!("{what}: not every data plane applies blocks to pods (Cilium does not)");
    let select = "select pods by podSelector and namespaceSelector";
    let remedy = match network {
        // An exception has to be a part of the block.
        Some(network) if network.contains(&cidr) => format!("{select} instead"),
        Some(network) => format!("{select}, and take {network} out with except"),
        None if except.is_empty() => format!("{select}, and take their network out with except"),
        None => format!("{select}, and take the rest of their network out with except"),
    };
    found.add(Severity::Warning, Code::BlockOverPods, (of, field), message, remedy);
}
