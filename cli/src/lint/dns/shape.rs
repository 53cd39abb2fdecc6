//! What the rules of policies look like: whether one lets pods out at all, and whether it has DNS in mind.

use std::sync::Arc;

use peerwalk_model::Protocol;
use peerwalk_netpol::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, DirectionDecision, Pod, PolicyIndex,
    PolicyRef, Ports, RulePort, RuleRef, Tier,
};

use super::servers::PORT;
use crate::lint::rules::fails_closed;

fn policies_of_cluster(index: &PolicyIndex) -> impl Iterator<Item = &Arc<ClusterPolicy>> {
    [Tier::Admin, Tier::Baseline].into_iter().flat_map(|tier| index.cluster_policies(tier))
}

/// Whether a NetworkPolicy lets anything out.
pub fn lets_out(index: &PolicyIndex, policy: &PolicyRef) -> bool {
    let mut policies = index.policies(&policy.namespace).iter().filter(|of| of.reference == *policy);
    policies.any(|policy| policy.egress.as_ref().is_some_and(|rules| !rules.is_empty()))
}

/// Whether the rule of a policy of the cluster that denies leaves a pod anything to connect to.
pub fn forgets(index: &PolicyIndex, said: &DirectionDecision, rule: &RuleRef) -> bool {
    let asked = |policy: &&Arc<ClusterPolicy>| said.steps.iter().any(|step| step.policy == policy.reference);
    let lets_out = |rule: &ClusterRule| rule.action != Action::Deny && !fails_closed(rule);
    if policies_of_cluster(index).filter(asked).flat_map(|policy| &policy.egress).any(lets_out) {
        return true;
    }
    let mut of_rule = policies_of_cluster(index).filter(|policy| policy.reference == rule.policy);
    let denying = of_rule.find_map(|policy| policy.egress.get(rule.rule?.checked_sub(1)?));
    denying.is_some_and(|rule| !is_of_everything(rule))
}

fn is_of_everything(rule: &ClusterRule) -> bool {
    let everywhere = |peer: &ClusterPeer| match peer {
        ClusterPeer::Networks(networks) => networks.iter().any(|network| network.prefix_len() == 0),
        _ => false,
    };
    fails_closed(rule) || (rule.ports.is_empty() && rule.peers.iter().any(everywhere))
}

/// Whether policies of a pod admit the port of DNS somewhere.
pub fn admits(index: &PolicyIndex, pod: &Pod) -> bool {
    let policies = index.policies(&pod.namespace).iter().filter(|policy| policy.subject.matches(&pod.labels));
    let by_policy = policies
        .flat_map(|policy| policy.egress.iter().flatten())
        .any(|rule| rule.ports.is_empty() || rule.ports.iter().any(holds));
    by_policy
        || policies_of_cluster(index)
            .filter(|policy| policy.subject.pods.matches(&pod.labels))
            .any(admits_of_cluster)
}

fn admits_of_cluster(policy: &Arc<ClusterPolicy>) -> bool {
    let rules = policy.egress.iter().filter(|rule| rule.action == Action::Accept && !fails_closed(rule));
    rules.into_iter().any(|rule| {
        rule.ports.is_empty()
            || rule.ports.iter().any(|port| match port {
                ClusterPort::Numbers(port) => holds(port),
                ClusterPort::Named(name) => is_named(name),
                ClusterPort::Unknown(_) => false,
            })
    })
}

fn holds(port: &RulePort) -> bool {
    port.protocol == Protocol::Udp
        && match &port.ports {
            Ports::All => true,
            Ports::Numbers(range) => range.contains(&PORT),
            Ports::Named(name) => is_named(name),
        }
}

fn is_named(name: &str) -> bool {
    name.starts_with("dns")
}
