//! The form of a decision in files: what the operator writes and the one-shot probe reads. Of pods and rules, only what
//! explanations print: why a rule does not match is a text. What follows from the rest is written for people, and held
//! against it when read. Decisions of other profiles than [`Profile::UPSTREAM`] have no form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerwalk_model::Protocol;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::admit::telling_labels;
use crate::caveat::Caveat;
use crate::cluster::{Node, Pod};
use crate::cluster_policy::{Action, Tier};
use crate::decision::{Cause, Decision, DirectionDecision, Exemption, PolicyStep, RuleStep, Verdict};
use crate::difference::{Difference, NearestMiss, PeerDifference};
use crate::evaluate::decision;
use crate::flow::{Flow, Peer, PeerKind};
use crate::policy::PolicyRef;
use crate::profile::Profile;
use crate::selector::Requirement;

/// A decision as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    source: End,
    destination: End,
    protocol: Protocol,
    port: u16,
    #[serde(default)]
    service: Option<SocketAddr>,
    #[serde(default)]
    verdict: Option<Verdict>,
    egress: Way,
    ingress: Way,
    #[serde(default)]
    caveats: Option<BTreeSet<Caveat>>,
}

/// One direction.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Way {
    verdict: Verdict,
    cause: Cause,
    /// The tier that decided. It follows from the cause and the steps.
    #[serde(default)]
    tier: Option<Tier>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    isolated_within: Vec<Requirement>,
    #[serde(default)]
    nearest_miss: Option<Miss>,
    #[serde(default)]
    caveats: BTreeSet<Caveat>,
}

/// A policy that selects the subject.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Step {
    policy: PolicyRef,
    #[serde(default = "network_policy", skip_serializing_if = "is_network_policy")]
    tier: Tier,
    #[serde(default)]
    rules: Vec<Compared>,
}

/// A rule of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Compared {
    index: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default = "accept", skip_serializing_if = "is_accept")]
    action: Action,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown_fields: Vec<String>,
    /// Why it does not match; `None` when it does.
    differs: Option<String>,
}

/// The rule that comes nearest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Miss {
    policy: PolicyRef,
    rule: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    difference: String,
}

fn network_policy() -> Tier {
    Tier::NetworkPolicy
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_network_policy(tier: &Tier) -> bool {
    *tier == Tier::NetworkPolicy
}

fn accept() -> Action {
    Action::Accept
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_accept(action: &Action) -> bool {
    *action == Action::Accept
}

/// One end of the connection. With neither pod nor node it is outside the cluster.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct End {
    address: IpAddr,
    /// `namespace/name`.
    #[serde(default)]
    pod: Option<String>,
    /// The node whose own address it is.
    #[serde(default)]
    node: Option<String>,
    /// Labels of the pod by which a rule would select it.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    host_network: bool,
}

/// What of a record contradicts the rest.
#[derive(Debug, Error)]
pub(crate) enum Inconsistent {
    #[error("pod {0:?} is no namespace/name; write it as shop/web")]
    Pod(String),
    #[error(
        "verdict is {given:?}, and egress and ingress make it {follows:?}; correct one of them or leave verdict out"
    )]
    Verdict { given: Verdict, follows: Verdict },
    #[error(
        "caveats are {given:?}, and those of egress and ingress make them {follows:?}; correct them or leave them out"
    )]
    Caveats { given: BTreeSet<Caveat>, follows: BTreeSet<Caveat> },
    #[error(
        "{way}.verdict is {verdict:?}, which the cause {cause:?} contradicts; noRuleMatches denies, a rule that matches \
         does what its action says, and every other cause allows"
    )]
    Cause { way: &'static str, verdict: Verdict, cause: Cause },
    #[error(
        "{way}.tier is {given:?}, and the steps make it {follows:?}; correct one of them or leave tier out"
    )]
    Tier { way: &'static str, given: Option<Tier>, follows: Option<Tier> },
    #[error("{way}.steps do not fit the cause {cause:?}: {remedy}")]
    Steps { way: &'static str, cause: Cause, remedy: &'static str },
}

impl From<Decision> for Record {
    fn from(decision: Decision) -> Self {
        Self {
            source: End::from(&decision.flow.source),
            destination: End::from(&decision.flow.destination),
            protocol: decision.flow.protocol,
            port: decision.flow.port,
            service: decision.flow.service,
            verdict: Some(decision.verdict),
            egress: Way::from(decision.egress),
            ingress: Way::from(decision.ingress),
            caveats: Some(decision.caveats),
        }
    }
}

impl TryFrom<Record> for Decision {
    type Error = Inconsistent;

    fn try_from(record: Record) -> Result<Self, Inconsistent> {
        let flow = Flow {
            source: record.source.peer(&record.egress)?,
            destination: record.destination.peer(&record.ingress)?,
            protocol: record.protocol,
            port: record.port,
            service: record.service,
        };
        let egress = record.egress.read("egress")?;
        let ingress = record.ingress.read("ingress")?;
        let made = decision(flow, Profile::UPSTREAM, egress, ingress);
        match (record.verdict, record.caveats) {
            (Some(given), _) if given != made.verdict => {
                Err(Inconsistent::Verdict { given, follows: made.verdict })
            }
            (_, Some(given)) if given != made.caveats => {
                Err(Inconsistent::Caveats { given, follows: made.caveats })
            }
            _ => Ok(made),
        }
    }
}

/// Who decides by the steps alone: the tier, and what its first rule that matches does. NetworkPolicies decide where one is
/// among the steps and no tier before them does.
fn decider(steps: &[PolicyStep]) -> Option<(Tier, Option<Action>)> {
    let tiers = steps.chunk_by(|one, other| one.tier == other.tier);
    let mut deciding = tiers.filter_map(|steps| {
        let tier = steps.first()?.tier;
        let action = steps.iter().flat_map(PolicyStep::matching).next().map(|rule| rule.action);
        match (tier, action) {
            (Tier::Admin | Tier::Baseline, None | Some(Action::Pass)) => None,
            _ => Some((tier, action)),
        }
    });
    deciding.next()
}

impl Way {
    /// The direction, if verdict, cause, tier and steps are of one decision.
    fn read(self, way: &'static str) -> Result<DirectionDecision, Inconsistent> {
        let (given, told) = (self.tier, DirectionDecision::from(self));
        let (verdict, cause) = (told.verdict, told.cause);
        let decider = decider(&told.steps);
        let denies = match (cause, decider) {
            (Cause::RuleMatch, Some((_, Some(action)))) => action == Action::Deny,
            (cause, _) => cause == Cause::NoRuleMatches,
        };
        if (verdict == Verdict::Denied) != denies {
            return Err(Inconsistent::Cause { way, verdict, cause });
        }
        let wrong = |remedy| Err(Inconsistent::Steps { way, cause, remedy });
        match (cause, decider) {
            (Cause::RuleMatch, Some((_, Some(_))))
            | (Cause::NoRuleMatches, Some((Tier::NetworkPolicy, None)))
            | (Cause::Default | Cause::Exempt(_), None) => {}
            (Cause::RuleMatch, _) => return wrong("name the policy and the rule that admits"),
            (Cause::NoRuleMatches, None) => return wrong("name the policies that isolate"),
            (Cause::NoRuleMatches, Some(_)) => return wrong("a rule that differs in nothing admits"),
            (Cause::Default | Cause::Exempt(_), Some(_)) => return wrong("no policy takes part"),
        }
        let tier = decider.map(|(tier, _)| tier);
        if given.is_some() && given != tier {
            return Err(Inconsistent::Tier { way, given, follows: tier });
        }
        Ok(DirectionDecision { tier, ..told })
    }
}

impl From<DirectionDecision> for Way {
    fn from(decided: DirectionDecision) -> Self {
        let miss = decided.nearest_misses.into_iter().next();
        Self {
            verdict: decided.verdict,
            cause: decided.cause,
            tier: decided.tier,
            steps: decided.steps.into_iter().map(Step::from).collect(),
            isolated_within: decided.isolated_within,
            nearest_miss: miss.map(|miss| Miss {
                policy: miss.policy,
                rule: miss.rule,
                name: miss.name,
                difference: miss.difference.to_string(),
            }),
            caveats: decided.caveats,
        }
    }
}

impl From<Way> for DirectionDecision {
    fn from(way: Way) -> Self {
        let miss = way.nearest_miss.map(|miss| NearestMiss {
            policy: miss.policy,
            rule: miss.rule,
            name: miss.name,
            difference: Difference::Peer(PeerDifference::Told(miss.difference)),
        });
        Self {
            verdict: way.verdict,
            cause: way.cause,
            tier: way.tier,
            steps: way.steps.into_iter().map(PolicyStep::from).collect(),
            isolated_within: way.isolated_within,
            nearest_misses: miss.into_iter().collect(),
            caveats: way.caveats,
        }
    }
}

impl From<PolicyStep> for Step {
    fn from(step: PolicyStep) -> Self {
        let compared = |rule: RuleStep| {
            let peer = rule.peer.into_iter().map(Difference::Peer);
            let port = (!rule.port.is_empty()).then_some(Difference::Port(rule.port));
            let differs: Vec<String> = peer.chain(port).map(|difference| difference.to_string()).collect();
            let differs = (!differs.is_empty()).then(|| differs.join("; "));
            let (index, name, action) = (rule.index, rule.name, rule.action);
            Compared { index, name, action, unknown_fields: rule.unknown, differs }
        };
        let rules = step.rules.into_iter().map(compared).collect();
        Self { policy: step.policy, tier: step.tier, rules }
    }
}

impl From<Step> for PolicyStep {
    fn from(step: Step) -> Self {
        let compared = |rule: Compared| RuleStep {
            index: rule.index,
            name: rule.name,
            action: rule.action,
            unknown: rule.unknown_fields,
            peer: rule.differs.into_iter().map(PeerDifference::Told).collect(),
            port: Vec::new(),
        };
        let rules = step.rules.into_iter().map(compared).collect();
        Self { policy: step.policy, tier: step.tier, rules }
    }
}

impl From<&Peer> for End {
    fn from(peer: &Peer) -> Self {
        let outside =
            Self { address: peer.ip, pod: None, node: None, labels: BTreeMap::new(), host_network: false };
        match &peer.kind {
            PeerKind::Pod(pod) => Self {
                pod: Some(format!("{}/{}", pod.namespace, pod.name)),
                labels: telling_labels(pod),
                host_network: pod.host_network,
                ..outside
            },
            PeerKind::Node(node) => Self { node: Some(node.name.clone()), ..outside },
            PeerKind::External => outside,
        }
    }
}

impl End {
    /// The end, as the direction that it is the subject of tells whether it has finished.
    fn peer(self, subject: &Way) -> Result<Peer, Inconsistent> {
        let kind = match (self.pod, self.node) {
            (Some(named), _) => {
                let Some((namespace, name)) = named.split_once('/') else {
                    return Err(Inconsistent::Pod(named));
                };
                PeerKind::Pod(Arc::new(Pod {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    labels: self.labels,
                    ips: vec![self.address],
                    host_network: self.host_network,
                    finished: subject.cause == Cause::Exempt(Exemption::Finished),
                    ..Pod::default()
                }))
            }
            (None, Some(name)) => {
                PeerKind::Node(Arc::new(Node { name, addresses: vec![self.address], ..Node::default() }))
            }
            (None, None) => PeerKind::External,
        };
        Ok(Peer { ip: self.address, kind })
    }
}

#[cfg(test)]
mod tests;
