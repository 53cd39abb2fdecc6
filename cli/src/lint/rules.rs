//! The rules of policies and their fields, and rules that fail closed.

use peerwalk_model::Direction;
use peerwalk_netpol::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Policy, PolicyKind, Rule,
};

use super::{Code, Findings, Severity};

/// The rules of a policy that count, with their direction and place.
pub fn of(policy: &Policy) -> impl Iterator<Item = (Direction, usize, &Rule)> {
    [Direction::Ingress, Direction::Egress].into_iter().flat_map(|way| {
        let rules = policy.rules(way).unwrap_or_default();
        rules.iter().enumerate().map(move |(index, rule)| (way, index, rule))
    })
}

/// The same of a policy of the cluster.
pub fn of_cluster(policy: &ClusterPolicy) -> impl Iterator<Item = (Direction, usize, &ClusterRule)> {
    [Direction::Ingress, Direction::Egress]
        .into_iter()
        .flat_map(|way| policy.rules(way).iter().enumerate().map(move |(index, rule)| (way, index, rule)))
}

/// `from` or `to`.
pub fn peers_field(way: Direction) -> &'static str {
    match way {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

/// `protocols` or `ports`.
pub fn ports_field(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::ClusterNetworkPolicy => "protocols",
        PolicyKind::NetworkPolicy
        | PolicyKind::AdminNetworkPolicy
        | PolicyKind::BaselineAdminNetworkPolicy => "ports",
    }
}

/// Whether a rule has a field that is not known: it fails closed.
pub fn fails_closed(rule: &ClusterRule) -> bool {
    rule.peers.iter().any(|peer| matches!(peer, ClusterPeer::Unknown(_)))
        || rule.ports.iter().any(|port| matches!(port, ClusterPort::Unknown(_)))
}

/// Tells of rules that fail closed.
pub fn check(found: &mut Findings<'_>) {
    for policy in &found.cluster.cluster_policies {
        for (way, index, rule) in of_cluster(policy) {
            let peers = rule.peers.iter().enumerate().filter_map(|(item, peer)| match peer {
                ClusterPeer::Unknown(fields) => Some((peers_field(way), item, fields)),
                _ => None,
            });
            let ports = rule.ports.iter().enumerate().filter_map(|(item, port)| match port {
                ClusterPort::Unknown(fields) => Some((ports_field(policy.reference.kind), item, fields)),
                _ => None,
            });
            let does = match rule.action {
                Action::Accept => "accepts nothing".to_owned(),
                Action::Deny | Action::Pass => format!("denies everything in its direction, {way}"),
            };
            for (list, item, fields) in peers.chain(ports) {
                let message = format!(
                    "{} is not known here: where the data plane does not know it either, the rule {does}",
                    fields.join(", ")
                );
                let remedy = "correct the name of the field, or see whether the data plane knows it";
                let field = format!("spec.{way}[{index}].{list}[{item}]");
                found.add(Severity::Warning, Code::UnknownField, (&policy.reference, field), message, remedy);
            }
        }
    }
}
