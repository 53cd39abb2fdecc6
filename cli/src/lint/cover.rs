//! What one rule of a policy of the cluster leaves to another, and whether two are about the same connections.

use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_netpol::{ClusterPeer, ClusterPort, ClusterRule, Pod, Ports, RulePort};

use super::pods::Pods;
use super::rules::fails_closed;

/// Pods by where they are in memory: names are not one pod's alone.
pub type These = HashSet<*const Pod>;

pub fn these(pods: Vec<&Arc<Pod>>) -> These {
    pods.into_iter().map(Arc::as_ptr).collect()
}

/// Whether one rule matches whatever the other does, as far as the pods that there are can tell. What is not known for
/// sure is not claimed: domain names and nodes leave everything to others.
pub fn covers(pods: &Pods, one: &ClusterRule, other: &ClusterRule) -> bool {
    // `Accept` that fails closed matches nothing. Of `Deny` and `Pass`, what is known of them decides either way: they
    // deny everything, or whoever knows the field takes them at their word.
    let matches_nothing = fails_closed(one) && one.action == peerwalk_netpol::Action::Accept;
    // What fails closed may be about everything.
    if matches_nothing || fails_closed(other) {
        return false;
    }
    let ports = one.ports.is_empty()
        || (!other.ports.is_empty()
            && other.ports.iter().all(|port| one.ports.iter().any(|of| holds_port(of, port))));
    ports && other.peers.iter().all(|peer| holds_peer(pods, &one.peers, peer))
}

fn holds_port(one: &ClusterPort, other: &ClusterPort) -> bool {
    match (one, other) {
        (ClusterPort::Numbers(one), ClusterPort::Numbers(other)) => {
            one.protocol == other.protocol && holds_numbers(one, other)
        }
        (ClusterPort::Named(one), ClusterPort::Named(other)) => one == other,
        _ => false,
    }
}

fn holds_numbers(one: &RulePort, other: &RulePort) -> bool {
    match (&one.ports, &other.ports) {
        (Ports::All, _) => true,
        (Ports::Numbers(one), Ports::Numbers(other)) => {
            one.contains(other.start()) && one.contains(other.end())
        }
        _ => false,
    }
}

fn holds_peer(pods: &Pods, ones: &[ClusterPeer], other: &ClusterPeer) -> bool {
    match other {
        ClusterPeer::Pods(_) if ones.contains(other) => true,
        ClusterPeer::Pods(set) => {
            let sets = ones.iter().filter_map(|one| match one {
                ClusterPeer::Pods(set) if pods.is_sure(set) => Some(these(pods.set(set))),
                _ => None,
            });
            let known: These = sets.flatten().collect();
            let blocks = merged(ones);
            // Networks hold pods as well, by whatever address these have.
            let held = |pod: &Pod| {
                !pod.ips.is_empty() && pod.ips.iter().all(|ip| blocks.iter().any(|block| block.contains(ip)))
            };
            let wanted = pods.set(set);
            let all = wanted.iter().all(|pod| known.contains(&Arc::as_ptr(pod)) || held(pod));
            pods.is_sure(set) && !wanted.is_empty() && all
        }
        ClusterPeer::Networks(networks) => {
            let known = merged(ones);
            networks.iter().all(|network| known.iter().any(|known| known.contains(network)))
        }
        ClusterPeer::Nodes(_) | ClusterPeer::DomainNames(_) | ClusterPeer::Unknown(_) => false,
    }
}

/// The networks among peers. Merged, a network that several of them hold together is in one of them.
fn merged(peers: &[ClusterPeer]) -> Vec<IpNet> {
    let networks = peers.iter().flat_map(|peer| match peer {
        ClusterPeer::Networks(networks) => networks.as_slice(),
        _ => &[],
    });
    IpNet::aggregate(&networks.copied().collect())
}

/// Whether there may be a connection that both match.
pub fn meet(pods: &Pods, one: &ClusterRule, other: &ClusterRule) -> bool {
    let nothing = |rule: &ClusterRule| fails_closed(rule) && rule.action == peerwalk_netpol::Action::Accept;
    if nothing(one) || nothing(other) {
        return false;
    }
    if fails_closed(one) || fails_closed(other) {
        return true;
    }
    let ports = one.ports.is_empty()
        || other.ports.is_empty()
        || one.ports.iter().any(|one| other.ports.iter().any(|other| ports_meet(one, other)));
    ports && one.peers.iter().any(|one| other.peers.iter().any(|other| peers_meet(pods, one, other)))
}

fn ports_meet(one: &ClusterPort, other: &ClusterPort) -> bool {
    match (one, other) {
        (ClusterPort::Numbers(one), ClusterPort::Numbers(other)) => {
            one.protocol == other.protocol
                && match (&one.ports, &other.ports) {
                    (Ports::Numbers(one), Ports::Numbers(other)) => {
                        one.start() <= other.end() && other.start() <= one.end()
                    }
                    _ => true,
                }
        }
        // A name may stand for any number.
        _ => true,
    }
}

fn peers_meet(pods: &Pods, one: &ClusterPeer, other: &ClusterPeer) -> bool {
    match (one, other) {
        (ClusterPeer::Pods(one), ClusterPeer::Pods(other)) => {
            one == other || !these(pods.set(one)).is_disjoint(&these(pods.set(other)))
        }
        (ClusterPeer::Networks(one), ClusterPeer::Networks(other)) => {
            one.iter().any(|one| other.iter().any(|other| one.contains(other) || other.contains(one)))
        }
        (ClusterPeer::Pods(set), ClusterPeer::Networks(networks))
        | (ClusterPeer::Networks(networks), ClusterPeer::Pods(set)) => {
            // One that has no address yet may get any.
            let held = |pod: &Arc<Pod>| {
                pod.ips.is_empty() || pod.ips.iter().any(|ip| networks.iter().any(|net| net.contains(ip)))
            };
            pods.set(set).into_iter().any(held)
        }
        (ClusterPeer::Pods(_), ClusterPeer::Nodes(_)) | (ClusterPeer::Nodes(_), ClusterPeer::Pods(_)) => {
            false
        }
        _ => true,
    }
}
