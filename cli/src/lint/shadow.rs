//! Rules of the cluster's policies that earlier ones leave nothing to, and policies whose order is not defined.

use std::collections::HashSet;
use std::sync::Arc;

use peerwalk_model::Direction;
use peerwalk_netpol::{ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Pod, Ports, RulePort};

use super::pods::Pods;
use super::{Code, Findings, Severity};

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    let cluster = found.cluster;
    let mut policies: Vec<&Arc<ClusterPolicy>> = cluster.cluster_policies.iter().collect();
    policies.sort_by(|a, b| (a.tier, a.priority, &a.reference).cmp(&(b.tier, b.priority, &b.reference)));
    let subjects: Vec<HashSet<*const Pod>> =
        policies.iter().map(|policy| these(pods.set(&policy.subject))).collect();
    for (place, policy) in policies.iter().enumerate() {
        for (before, earlier) in policies.iter().enumerate().take(place) {
            if (earlier.tier, earlier.priority) == (policy.tier, policy.priority)
                && subjects[before].intersection(&subjects[place]).next().is_some()
            {
                found.add(
                    Severity::Warning,
                    Code::EqualPriority,
                    (&policy.reference, "spec.priority"),
                    format!(
                        "{} has priority {} too and selects some of the same pods",
                        earlier.reference, policy.priority
                    ),
                    "give them different priorities: which is asked first is not defined",
                );
            }
        }
        for way in [Direction::Ingress, Direction::Egress] {
            for (index, rule) in policy.rules(way).iter().enumerate() {
                let earlier = policies
                    .iter()
                    .zip(&subjects)
                    .take(place)
                    .filter(|(of, subject)| {
                        of.tier == policy.tier
                            && of.priority < policy.priority
                            && subject.is_superset(&subjects[place])
                    })
                    .flat_map(|(of, _)| {
                        of.rules(way).iter().enumerate().map(move |(index, rule)| (of, index, rule))
                    });
                let own = policy
                    .rules(way)
                    .iter()
                    .take(index)
                    .enumerate()
                    .map(|(index, rule)| (policy, index, rule));
                // A policy without pods is told of already.
                let covers = |(_, _, earlier): &(&&Arc<ClusterPolicy>, usize, &ClusterRule)| {
                    covers(pods, earlier, rule)
                };
                if subjects[place].is_empty() {
                    continue;
                }
                if let Some((of, number, _)) = earlier.chain(own).find(covers) {
                    found.add(
                        Severity::Warning,
                        Code::Shadowed,
                        (&policy.reference, format!("spec.{way}[{index}]")),
                        format!(
                            "rule {} of {} decides everything that this rule is about",
                            number + 1,
                            of.reference
                        ),
                        "move it before that one, narrow that one, or remove it",
                    );
                }
            }
        }
    }
}

fn these(pods: Vec<&Arc<Pod>>) -> HashSet<*const Pod> {
    pods.into_iter().map(Arc::as_ptr).collect()
}

/// Whether one rule matches whatever the other does, as far as the pods that there are can tell. What is not known for
/// sure is not claimed.
fn covers(pods: &Pods, one: &ClusterRule, other: &ClusterRule) -> bool {
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
    if ones.contains(other) && !matches!(other, ClusterPeer::Unknown(_)) {
        return true;
    }
    match other {
        ClusterPeer::Pods(set) => {
            let known: HashSet<*const Pod> = ones
                .iter()
                .filter_map(|one| match one {
                    ClusterPeer::Pods(set) => Some(these(pods.set(set))),
                    _ => None,
                })
                .flatten()
                .collect();
            let wanted = these(pods.set(set));
            !wanted.is_empty() && known.is_superset(&wanted)
        }
        ClusterPeer::Networks(networks) => networks.iter().all(|network| {
            ones.iter().any(|one| match one {
                ClusterPeer::Networks(known) => known.iter().any(|known| known.contains(network)),
                _ => false,
            })
        }),
        _ => false,
    }
}
