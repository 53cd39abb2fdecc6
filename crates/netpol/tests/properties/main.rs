//! What holds for every cluster, every policy and every flow. `PROPTEST_CASES` sets how many are tried.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic, in its helpers too")]

mod generate;
mod matrix;
mod reference;

use std::sync::Arc;

use generate::{Cluster, cluster};
use peerwalk_netpol::{
    AdmittingPeer, AdmittingRule, Cause, Decision, Direction, Flow, HostNetwork, Peer, Policy, PolicyIndex,
    PolicyRef, Ports, Profile, Rule, RulePeer, RulePort, Selector, Verdict, evaluate,
};
use proptest::prelude::*;
use proptest::sample::{Index, SizeRange};

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

const PROFILES: [Profile; 4] = [
    Profile { ip_block_matches_pods: true, host_network: HostNetwork::AsNode, ..Profile::UPSTREAM },
    Profile { ip_block_matches_pods: true, host_network: HostNetwork::AsPod, ..Profile::UPSTREAM },
    Profile { ip_block_matches_pods: false, host_network: HostNetwork::AsNode, ..Profile::UPSTREAM },
    Profile { ip_block_matches_pods: false, host_network: HostNetwork::AsPod, ..Profile::UPSTREAM },
];

proptest! {
    #[test]
    fn a_naive_evaluator_agrees(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            for profile in &PROFILES {
                let decision = evaluate(&index, flow, profile);
                let expected = reference::allowed(&cluster, flow, *profile);
                prop_assert_eq!(decision.is_allowed(), expected, "{}: {}", flow, decision);
            }
        }
    }

    #[test]
    fn a_certain_decision_is_the_same_under_every_profile(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let decisions = PROFILES.map(|profile| evaluate(&index, flow, &profile));
            for certain in decisions.iter().filter(|decision| decision.is_certain()) {
                for other in &decisions {
                    prop_assert_eq!(
                        certain.verdict, other.verdict,
                        "{} is said to be certain with {:?}, but not with {:?}: {}",
                        flow, certain.profile, other.profile, other
                    );
                }
            }
        }
    }

    #[test]
    fn a_decision_reads_back_from_a_file(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let decision = evaluate(&index, flow, &Profile::UPSTREAM);
            let file = serde_json::to_string(&decision).expect("it can be written");
            let read: Decision =
                serde_json::from_str(&file).map_err(|e| TestCaseError::fail(format!("{e}: {file}")))?;
            prop_assert_eq!(told(&read), told(&decision));
            prop_assert_eq!(&serde_json::to_string(&read).expect("and again"), &file);
        }
    }

    #[test]
    fn order_is_irrelevant(cluster in cluster()) {
        let index = cluster.index();
        let reversed = PolicyIndex::new(
            cluster.namespaces.iter().rev().cloned(),
            cluster.policies().into_iter().rev().map(|policy| Arc::new(backwards(policy))),
        );
        for flow in &cluster.flows {
            let (one, other) =
                (evaluate(&index, flow, &Profile::UPSTREAM), evaluate(&reversed, flow, &Profile::UPSTREAM));
            prop_assert!(one.same_outcome(&other), "{flow}: {one} but backwards {other}");
        }
    }

    #[test]
    fn another_rule_never_takes_away(cluster in cluster(), which in any::<Index>(), rule in generate::rule()) {
        let mut policies = cluster.policies();
        let which = which.index(policies.len().max(1));
        for changed in policies.iter_mut().skip(which).take(1) {
            for rules in [&mut changed.ingress, &mut changed.egress].into_iter().flatten() {
                rules.push(rule.clone());
            }
        }
        let (before, after) = (cluster.index(), indexed(&cluster, policies));
        for flow in &cluster.flows {
            if evaluate(&before, flow, &Profile::UPSTREAM).is_allowed() {
                let after = evaluate(&after, flow, &Profile::UPSTREAM);
                prop_assert!(after.is_allowed(), "{flow} was allowed before another rule came: {after}");
            }
        }
    }

    #[test]
    fn those_named_really_decide(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let decision = evaluate(&index, flow, &Profile::UPSTREAM);
            for direction in DIRECTIONS {
                let decided = decision.direction(direction);
                let without = indexed(&cluster, without_named(&cluster, &decision, direction));
                let then = evaluate(&without, flow, &Profile::UPSTREAM);
                let then = then.direction(direction);
                match decided.cause {
                    Cause::RuleMatch => {
                        prop_assert_eq!(then.verdict, Verdict::Denied, "{}: other rules admit too", flow);
                    }
                    Cause::NoRuleMatches => {
                        prop_assert_eq!(then.cause, Cause::Default, "{}: others isolate too", flow);
                    }
                    Cause::Default | Cause::Exempt(_) => {
                        prop_assert_eq!(decided.decided_by(), vec![], "{}: nobody decides", flow);
                    }
                }
            }
        }
    }

    #[test]
    fn the_admitting_rules_admit(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let denied = evaluate(&index, flow, &Profile::UPSTREAM);
            let rules = denied.admitting_rules();
            prop_assert_eq!(rules.is_empty(), denied.is_allowed(), "{}: a denial has a remedy", flow);
            let added = rules.iter().map(policy);
            let fixed = indexed(&cluster, cluster.policies().into_iter().chain(added));
            let decision = evaluate(&fixed, flow, &Profile::UPSTREAM);
            prop_assert!(decision.is_allowed(), "{flow} should pass with {rules:?}: {decision}");
        }
    }

    #[test]
    fn a_near_miss_is_a_rule_with_one_difference(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let decision = evaluate(&index, flow, &Profile::UPSTREAM);
            for direction in DIRECTIONS {
                let decided = decision.direction(direction);
                prop_assert!(decided.verdict == Verdict::Denied || decided.nearest_misses.is_empty());
                for miss in &decided.nearest_misses {
                    let step = decided.steps.iter().find(|step| step.policy == miss.policy);
                    let rule = step.and_then(|step| step.rules.iter().find(|rule| rule.index == miss.rule));
                    let differences = rule.map(|rule| rule.peer.len() + usize::from(!rule.port.is_empty()));
                    prop_assert_eq!(differences, Some(1), "{}: {}", flow, miss);
                }
            }
        }
    }

    #[test]
    fn a_service_in_between_changes_no_verdict(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let through = Flow { service: None, ..flow.clone() };
            let (one, other) =
                (evaluate(&index, flow, &Profile::UPSTREAM), evaluate(&index, &through, &Profile::UPSTREAM));
            prop_assert_eq!(one.verdict, other.verdict, "{}", flow);
        }
    }

    #[test]
    fn what_is_certain_is_the_same_before_translation(cluster in cluster()) {
        let index = indexed(&cluster, numbers_alone(cluster.policies()));
        for flow in &cluster.flows {
            let Some(service) = flow.service else { continue };
            let destination = Peer::external(service.ip());
            let before = Flow { destination, port: service.port(), service: None, ..flow.clone() };
            let after = evaluate(&index, flow, &Profile::UPSTREAM).egress;
            if !matches!(after.cause, Cause::Exempt(_)) && after.caveats.is_empty() {
                let before = evaluate(&index, &before, &Profile::UPSTREAM);
                prop_assert_eq!(after.verdict, before.egress.verdict, "{} through {}", flow, service);
            }
        }
    }
}

/// Without the rules that need a pod at the other end.
fn numbers_alone(mut policies: Vec<Policy>) -> Vec<Policy> {
    let needs_a_pod = |rule: &Rule| {
        rule.peers.iter().any(|peer| matches!(peer, RulePeer::Pods { .. }))
            || rule.ports.iter().any(|port| matches!(port.ports, Ports::Named(_)))
    };
    for rules in policies.iter_mut().filter_map(|policy| policy.egress.as_mut()) {
        rules.retain(|rule| !needs_a_pod(rule));
    }
    policies
}

/// What judging and explanations take from a decision.
fn told(decision: &Decision) -> impl PartialEq + std::fmt::Debug {
    let ways = DIRECTIONS.map(|direction| {
        let decided = decision.direction(direction);
        let steps: Vec<_> = decided
            .steps
            .iter()
            .map(|step| {
                (
                    step.policy.clone(),
                    step.rules.len(),
                    step.matching().map(|rule| rule.index).collect::<Vec<_>>(),
                )
            })
            .collect();
        let near = decided.nearest_miss().map(ToString::to_string);
        let sentence = decision.sentence(direction).to_string();
        (decided.verdict, decided.cause, decided.caveats.clone(), steps, near, sentence)
    });
    (decision.verdict, decision.caveats.clone(), ways, decision.admitting_rules())
}

fn indexed(cluster: &Cluster, policies: impl IntoIterator<Item = Policy>) -> PolicyIndex {
    PolicyIndex::new(cluster.namespaces.iter().cloned(), policies.into_iter().map(Arc::new))
}

fn backwards(mut policy: Policy) -> Policy {
    for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
        rules.reverse();
        for rule in rules {
            rule.peers.reverse();
            rule.ports.reverse();
        }
    }
    policy
}

/// The cluster's policies without the rules that are said to admit, or without the policies that are said to
/// isolate.
fn without_named(cluster: &Cluster, decision: &Decision, direction: Direction) -> Vec<Policy> {
    let mut policies = cluster.policies();
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
    }
    policies
}

/// The policy that an admitting rule stands for.
fn policy(rule: &AdmittingRule) -> Policy {
    let peer = match &rule.peer {
        AdmittingPeer::Pods { namespace, labels } => RulePeer::Pods {
            namespaces: Some(Selector::labels([("kubernetes.io/metadata.name", namespace.as_str())])),
            pods: Selector::labels(labels.clone()),
        },
        AdmittingPeer::IpBlock(cidr) => RulePeer::IpBlock { cidr: *cidr, except: Vec::new() },
    };
    let rules = vec![Rule { peers: vec![peer], ports: vec![RulePort::number(rule.protocol, rule.port)] }];
    let (ingress, egress) = match rule.direction {
        Direction::Ingress => (Some(rules), None),
        Direction::Egress => (None, Some(rules)),
    };
    Policy {
        reference: PolicyRef::network_policy(rule.namespace.as_str(), format!("admit-{}", rule.direction)),
        subject: Selector::labels(rule.subject.clone()),
        ingress,
        egress,
    }
}

/// Up to this many, for readability of the strategies.
fn up_to(most: usize) -> SizeRange {
    (0..=most).into()
}
