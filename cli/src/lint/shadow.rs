//! Rules of the cluster's policies that earlier ones leave nothing to, and policies whose order is not defined.

use std::sync::Arc;

use peerwalk_model::Direction;
use peerwalk_netpol::{Action, ClusterPolicy, ClusterRule};

use super::cover::{These, covers, meet, these};
use super::pods::Pods;
use super::rules::{fails_closed, of_cluster};
use super::{Code, Findings, Severity};

/// A policy of the cluster, and whom it selects.
struct Of<'a> {
    policy: &'a ClusterPolicy,
    subject: These,
}

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    let mut policies: Vec<&Arc<ClusterPolicy>> = found.cluster.cluster_policies.iter().collect();
    policies.sort_by(|a, b| (a.tier, a.priority, &a.reference).cmp(&(b.tier, b.priority, &b.reference)));
    let policies: Vec<Of<'_>> =
        policies.into_iter().map(|policy| Of { policy, subject: these(pods.set(&policy.subject)) }).collect();
    for (place, of) in policies.iter().enumerate() {
        let before = policies.get(..place).unwrap_or_default();
        equal_priority(found, pods, before, of);
        shadowed(found, pods, before, of);
    }
}

/// Tells of policies of one priority that say different things of one connection.
fn equal_priority(found: &mut Findings<'_>, pods: &Pods, before: &[Of<'_>], of: &Of<'_>) {
    let policy = of.policy;
    for earlier in before {
        let one = earlier.policy;
        if (one.tier, one.priority) != (policy.tier, policy.priority)
            || earlier.subject.is_disjoint(&of.subject)
        {
            continue;
        }
        let disagree = [Direction::Ingress, Direction::Egress].into_iter().any(|way| {
            let differ = |a: &ClusterRule, b: &ClusterRule| {
                (a.action != b.action || fails_closed(a) || fails_closed(b)) && meet(pods, a, b)
            };
            one.rules(way).iter().any(|a| policy.rules(way).iter().any(|b| differ(a, b)))
        });
        if disagree {
            found.add(
                Severity::Warning,
                Code::EqualPriority,
                (&policy.reference, "spec.priority"),
                format!(
                    "{} has priority {} too, selects some of the same pods and says otherwise",
                    one.reference, policy.priority
                ),
                "give them different priorities: which is asked first is not defined",
            );
        }
    }
}

fn shadowed(found: &mut Findings<'_>, pods: &Pods, before: &[Of<'_>], of: &Of<'_>) {
    let policy = of.policy;
    // A policy without pods is told of already.
    if of.subject.is_empty() {
        return;
    }
    for (way, index, rule) in of_cluster(policy) {
        let earlier =
            before.iter().filter(|earlier| comes_first(pods, before, earlier, of, way)).flat_map(|earlier| {
                let rules = earlier.policy.rules(way).iter().enumerate();
                // What passes leaves the answer to the tiers below.
                let ends = move |rule: &ClusterRule| {
                    earlier.policy.tier == policy.tier || rule.action != Action::Pass
                };
                rules.filter(move |(_, rule)| ends(rule)).map(|(number, rule)| (earlier.policy, number, rule))
            });
        let own = policy.rules(way).iter().take(index).enumerate();
        let own = own.map(|(number, rule)| (policy, number, rule));
        if let Some((by, number, one)) = earlier.chain(own).find(|(_, _, one)| covers(pods, one, rule)) {
            let does = if one.action == Action::Pass { "passes on" } else { "decides" };
            found.add(
                Severity::Warning,
                Code::Shadowed,
                (&policy.reference, format!("spec.{way}[{index}]")),
                format!("rule {} of {} {does} everything that this rule is about", number + 1, by.reference),
                "move it before that one, narrow that one, or remove it",
            );
        }
    }
}

/// Whether a policy is certainly asked before another, for every pod of that one.
fn comes_first(pods: &Pods, before: &[Of<'_>], earlier: &Of<'_>, of: &Of<'_>, way: Direction) -> bool {
    let (one, policy) = (earlier.policy, of.policy);
    let same_tier = one.tier == policy.tier;
    // In an earlier tier, what passes comes to later ones, whatever stands behind it.
    let passes = || {
        let of_tier = before.iter().filter(|of| of.policy.tier == one.tier);
        of_tier.flat_map(|of| of.policy.rules(way)).any(|rule| rule.action == Action::Pass)
    };
    let order = if same_tier { one.priority < policy.priority } else { !passes() };
    let known =
        one.subject == policy.subject || (pods.is_sure(&one.subject) && pods.is_sure(&policy.subject));
    order && known && earlier.subject.is_superset(&of.subject)
}
