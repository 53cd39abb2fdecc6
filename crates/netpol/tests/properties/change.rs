//! Other policies than a cluster has: without those that decide, with what would admit, or read in another way.

use peerwalk_netpol::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, Decision, Direction, Flow, Policy, RuleRef,
};

use super::generate::Cluster;

/// The cluster's policies without the rules that are said to decide, or without the policies that are said to isolate.
pub fn without_named(
    cluster: &Cluster,
    decision: &Decision,
    direction: Direction,
) -> (Vec<Policy>, Vec<ClusterPolicy>) {
    let (mut policies, mut of_cluster) = (cluster.policies(), cluster.cluster_policies());
    // From the last rule to the first, so that the numbers stay right.
    for named in decision.direction(direction).decided_by().into_iter().rev() {
        for policy in policies.iter_mut().filter(|policy| policy.reference == named.policy) {
            let rules = match direction {
                Direction::Ingress => &mut policy.ingress,
                Direction::Egress => &mut policy.egress,
            };
            match (named.rule, rules.as_mut()) {
                (Some(number), Some(rules)) => drop(rules.remove(number - 1)),
                _ => *rules = None,
            }
        }
        for policy in of_cluster.iter_mut().filter(|policy| policy.reference == named.policy) {
            cluster_rules(policy, direction).remove(named.rule.expect("a rule of the cluster decides") - 1);
        }
    }
    (policies, of_cluster)
}

fn cluster_rules(policy: &mut ClusterPolicy, direction: Direction) -> &mut Vec<ClusterRule> {
    match direction {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    }
}

fn is_readable(rule: &ClusterRule) -> bool {
    !rule.peers.iter().any(|peer| matches!(peer, ClusterPeer::Unknown(_)))
        && !rule.ports.iter().any(|port| matches!(port, ClusterPort::Unknown(_)))
}

/// Lets a rule accept what it denied; `false` if it has fields that nobody knows, with which it accepts nothing.
pub fn accept(policies: &mut [ClusterPolicy], direction: Direction, named: &RuleRef) -> bool {
    let policy = policies.iter_mut().find(|policy| policy.reference == named.policy);
    let rules = cluster_rules(policy.expect("the policy is there"), direction);
    let rule = &mut rules[named.rule.expect("a rule of the cluster denies") - 1];
    rule.action = Action::Accept;
    is_readable(rule)
}

/// The policy as a data plane could read it that knows more.
pub fn other_reading(mut policy: ClusterPolicy, flow: &Flow, matching: bool) -> ClusterPolicy {
    let mut name: String = policy.reference.name.chars().rev().collect();
    // Names end with a digit, which stands first now: the order of names turns around.
    if let Some(digit) = name.chars().next().and_then(|c| c.to_digit(10)) {
        name = format!("{}{name}", 9 - digit);
    }
    policy.reference.name = name.into();
    let destination = ipnet::IpNet::from(flow.destination.ip);
    for rules in [&mut policy.ingress, &mut policy.egress] {
        rules.retain_mut(|rule| {
            let readable = is_readable(rule);
            if !readable && matching {
                *rule = ClusterRule { peers: Vec::new(), ports: Vec::new(), ..rule.clone() };
                rule.peers.push(ClusterPeer::Networks(everywhere()));
            }
            for peer in &mut rule.peers {
                if matches!(peer, ClusterPeer::DomainNames(_)) {
                    *peer = ClusterPeer::Networks(if matching { vec![destination] } else { Vec::new() });
                }
            }
            readable || matching
        });
    }
    policy
}

fn everywhere() -> Vec<ipnet::IpNet> {
    ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("a network")).to_vec()
}
