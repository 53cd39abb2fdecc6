//! What holds for every cluster, every policy and every flow. `PROPTEST_CASES` sets how many are tried.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic, in its helpers too")]

mod change;
mod diff;
mod fixes;
mod generate;
mod incremental;
mod matrix;
mod reference;
mod unknown;

use change::{accept, other_reading, without_named};
use generate::cluster;
use peerwalk_netpol::{
    AdmittingPeer, AdmittingRule, Cause, Caveat, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule,
    Decision, Direction, DirectionDecision, Fix, Flow, HostNetwork, NamedPorts, Peer, Policy, PolicyRef,
    Ports, Profile, Rule, RulePeer, RulePort, Selector, Tier, Verdict, evaluate, lower,
};
use proptest::prelude::*;
use proptest::sample::{Index, SizeRange};

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// The readings that the APIs leave room for, beside those that have a name.
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
            for profile in PROFILES.iter().chain(&Profile::ALL) {
                let decision = evaluate(&index, flow, profile);
                let expected = reference::allowed(&cluster, flow, *profile);
                prop_assert_eq!(decision.is_allowed(), expected, "{} ({}): {}", flow, profile.name, decision);
            }
        }
    }

    #[test]
    fn a_certain_decision_is_the_same_under_every_profile(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            // What enforces nothing need not read the APIs as they permit, and what does not read port names breaks them.
            let permitted = |profile: &&Profile| {
                **profile != Profile::NP_GUARD && profile.named_ports != NamedPorts::Unread
            };
            let named = Profile::ALL.iter().filter(permitted);
            let profiles = PROFILES.iter().chain(named);
            let decisions: Vec<Decision> = profiles.map(|profile| evaluate(&index, flow, profile)).collect();
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
        let policies = cluster.policies().into_iter().rev().map(backwards);
        let reversed = cluster.indexed(policies, cluster.cluster_policies().into_iter().rev());
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
        let (before, after) = (cluster.index(), cluster.indexed(policies, cluster.cluster_policies()));
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
                let (policies, of_cluster) = without_named(&cluster, &decision, direction);
                let without = cluster.indexed(policies, of_cluster);
                let then = evaluate(&without, flow, &Profile::UPSTREAM);
                let then = then.direction(direction);
                match (decided.cause, decided.tier) {
                    (Cause::RuleMatch, Some(Tier::NetworkPolicy)) => {
                        prop_assert_eq!(then.verdict, Verdict::Denied, "{}: other rules admit too", flow);
                    }
                    (Cause::RuleMatch, _) => {
                        let named = |decided: &DirectionDecision| {
                            decided.decided_by().into_iter().map(|by| (by.policy, by.name)).collect::<Vec<_>>()
                        };
                        prop_assert_eq!(named(decided).len(), 1, "{}: one rule decides", flow);
                        let another = named(then) != named(decided);
                        prop_assert!(then.verdict != decided.verdict || another, "{flow}: another rule did it");
                    }
                    (Cause::NoRuleMatches, _) => {
                        prop_assert_ne!(then.tier, Some(Tier::NetworkPolicy), "{}: others isolate too", flow);
                    }
                    (Cause::Default | Cause::Exempt(_), _) => {
                        prop_assert_eq!(decided.decided_by(), vec![], "{}: nobody decides", flow);
                    }
                }
            }
        }
    }

    #[test]
    fn the_fixes_admit(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let denied = evaluate(&index, flow, &Profile::UPSTREAM);
            let fixes = denied.fixes();
            let wanted = denied.denying_directions().count();
            prop_assert_eq!(fixes.len(), wanted, "{}: every denial has a remedy", flow);
            let (mut policies, mut of_cluster) = (cluster.policies(), cluster.cluster_policies());
            let mut readable = true;
            for fix in &fixes {
                match fix {
                    Fix::Add(rule) => policies.push(policy(rule)),
                    Fix::Change { direction, rule } => readable &= accept(&mut of_cluster, *direction, rule),
                }
            }
            let decision = evaluate(&cluster.indexed(policies, of_cluster), flow, &Profile::UPSTREAM);
            prop_assert!(!readable || decision.is_allowed(), "{flow} should pass with {fixes:?}: {decision}");
        }
    }

    #[test]
    fn the_object_of_a_rule_is_the_rule(cluster in cluster()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            for rule in evaluate(&index, flow, &Profile::UPSTREAM).admitting_rules() {
                let text = rule.object().to_string();
                let object = serde_json::from_str(&text)
                    .map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
                let read = lower::network_policy(&object).map_err(|e| TestCaseError::fail(e.to_string()))?;
                let wanted = Policy { reference: read.reference.clone(), ..policy(&rule) };
                prop_assert_eq!(read, wanted);
            }
        }
    }

    #[test]
    fn a_certain_decision_hangs_on_nothing_unknown(cluster in cluster(), first in any::<bool>()) {
        let index = cluster.index();
        for flow in &cluster.flows {
            let certain = evaluate(&index, flow, &Profile::UPSTREAM);
            // Of those with one priority the last by name comes first, domain names stand for the destination or for
            // nothing, and rules with unknown fields match or do not.
            let policies = cluster.cluster_policies().into_iter().map(|policy| other_reading(policy, flow, first));
            let other = evaluate(&cluster.indexed(cluster.policies(), policies), flow, &Profile::UPSTREAM);
            let domain_names = |decision: &Decision| decision.caveats.contains(&Caveat::DomainNames);
            if certain.is_certain() && !domain_names(&other) {
                prop_assert_eq!(certain.verdict, other.verdict, "{}: {} but {}", flow, certain, other);
            }
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
            if flow.source.as_pod().zip(flow.destination.as_pod()).is_some_and(|(a, b)| a.is_same(b)) {
                continue;
            }
            let through = Flow { service: None, ..flow.clone() };
            let (one, other) =
                (evaluate(&index, flow, &Profile::UPSTREAM), evaluate(&index, &through, &Profile::UPSTREAM));
            prop_assert_eq!(one.verdict, other.verdict, "{}", flow);
        }
    }

    #[test]
    fn what_is_certain_is_the_same_before_translation(cluster in cluster()) {
        let of_cluster = cluster.cluster_policies().into_iter().map(cluster_numbers_alone);
        let index = cluster.indexed(numbers_alone(cluster.policies()), of_cluster);
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

/// The same for a policy of the cluster.
fn cluster_numbers_alone(mut policy: ClusterPolicy) -> ClusterPolicy {
    let addresses = |rule: &ClusterRule| {
        rule.peers.iter().all(|peer| matches!(peer, ClusterPeer::Networks(_)))
            && rule.ports.iter().all(|port| matches!(port, ClusterPort::Numbers(_)))
    };
    policy.egress.retain(addresses);
    policy
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
        (decided.verdict, decided.cause, decided.tier, decided.caveats.clone(), steps, near, sentence)
    });
    (decision.verdict, decision.caveats.clone(), ways, decision.fixes())
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
        subject: Selector {
            requirements: Selector::labels(rule.subject.clone())
                .requirements
                .into_iter()
                .chain(rule.also.clone())
                .collect(),
        },
        ingress,
        egress,
    }
}

/// Up to this many, for readability of the strategies.
fn up_to(most: usize) -> SizeRange {
    (0..=most).into()
}
