//! The answer: what was decided, by whom, and how nearly otherwise.

use std::collections::BTreeSet;

use peerwalk_model::Direction;

use crate::caveat::Caveat;
use crate::cluster_policy::{Action, Tier};
use crate::difference::{NearestMiss, PeerDifference, PortDifference, PortReason};
use crate::flow::Flow;
use crate::policy::PolicyRef;
use crate::profile::Profile;
use crate::selector::Requirement;

/// Whether policies let a connection pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Verdict {
    /// They do.
    Allowed,
    /// They do not.
    Denied,
}

/// What policies say about a flow. Prints as one sentence a person can read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "crate::record::Record", try_from = "crate::record::Record")
)]
pub struct Decision {
    /// The flow that was asked about.
    pub flow: Flow,
    /// How the points that the API leaves open were read.
    pub profile: Profile,
    /// Allowed when both directions are.
    pub verdict: Verdict,
    /// Out of the source.
    pub egress: DirectionDecision,
    /// Into the destination.
    pub ingress: DirectionDecision,
    /// Every point left to the implementation that decided the verdict; empty when it rests on the API's text
    /// alone. Each direction lists its own.
    pub caveats: BTreeSet<Caveat>,
}

/// What the policies of one end say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectionDecision {
    /// Whether this direction lets the connection pass.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The tier that decided; `None` by default and when exempt.
    pub tier: Option<Tier>,
    /// Every policy that was asked, which are those that select the subject in this direction: by tier, and there in
    /// the order of evaluation (NetworkPolicies by name). A tier that the one before did not leave the answer to is not
    /// asked, nor are policies of the cluster after the one that decided or passed, except for those of its priority.
    pub steps: Vec<PolicyStep>,
    /// For a denial by NetworkPolicies: what pods with the labels of the subject have to meet to be isolated as it is, beyond
    /// the labels that a rule would select them by; see [`AdmittingRule::also`](crate::AdmittingRule::also).
    pub isolated_within: Vec<Requirement>,
    /// For a denial: the rules that would have admitted the flow but for one thing, nearest first.
    pub nearest_misses: Vec<NearestMiss>,
    /// Every point left to the implementation that decided this direction.
    pub caveats: BTreeSet<Caveat>,
}

/// Why a direction was decided as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Cause {
    /// A rule decides: of NetworkPolicies that isolate the subject one that admits the flow, or the first that matches
    /// of a policy of the cluster.
    RuleMatch,
    /// NetworkPolicies isolate the subject, and no rule admits the flow.
    NoRuleMatches,
    /// No NetworkPolicy isolates the subject in this direction, and no rule of a policy of the cluster decides.
    Default,
    /// Policies do not apply to this subject, or not to this pair.
    Exempt(Exemption),
}

/// Why policies do not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Exemption {
    /// The subject is a node or an address outside the cluster.
    NotAPod,
    /// The subject is a host-network pod, which the profile treats as its node.
    HostNetwork,
    /// The subject has finished.
    Finished,
    /// Both ends are the same pod: "a pod cannot block access to itself".
    SamePod,
    /// The other end is the node that the subject runs on.
    OwnNode,
}

/// What one policy that selects the subject says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStep {
    /// Which policy.
    pub policy: PolicyRef,
    /// Where it stands.
    pub tier: Tier,
    /// Its rules of this direction, in order; empty for a NetworkPolicy that has none and so admits nothing. Those of a
    /// policy of the cluster end with the first that matches.
    pub rules: Vec<RuleStep>,
}

/// Why no rule of a policy matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Mismatch {
    /// It has none: a NetworkPolicy that isolates and admits nothing.
    NoRules,
    /// None is about the other end.
    Peer,
    /// Those about the other end list other ports.
    Port,
    /// Those about the other end list names alone, which the destination does not give to this port.
    NamedPort,
}

/// How one rule compares with the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStep {
    /// Position in the policy, from 1.
    pub index: usize,
    /// Its name; empty where it has none, as in NetworkPolicies.
    pub name: String,
    /// What it does with what it matches: NetworkPolicies accept. Where a field is not known, a rule that does not
    /// accept denies.
    pub action: Action,
    /// Its fields of a later version of the API: it fails closed.
    pub unknown: Vec<String>,
    /// Empty when the peer matches; else what separates it from the nearest item of `from` or `to`.
    pub peer: Vec<PeerDifference>,
    /// Empty when the port matches; else why not, for each item of `ports`.
    pub port: Vec<PortDifference>,
}

/// A rule of a policy, or the policy as such.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// Which policy.
    pub policy: PolicyRef,
    /// The rule that decides, from 1; `None` when the policy isolates and no rule admits.
    pub rule: Option<usize>,
    /// The name of the rule; empty where it has none.
    pub name: String,
}

impl RuleStep {
    /// Whether the rule matches the flow.
    pub fn matches(&self) -> bool {
        self.peer.is_empty() && self.port.is_empty()
    }
}

impl PolicyStep {
    /// The rules that match the flow.
    pub fn matching(&self) -> impl Iterator<Item = &RuleStep> + '_ {
        self.rules.iter().filter(|rule| rule.matches())
    }

    /// Why none of the rules matches; `None` when one does.
    pub fn mismatch(&self) -> Option<Mismatch> {
        if self.matching().next().is_some() {
            return None;
        }
        let by_name = |difference: &PortDifference| {
            matches!(difference.reason, PortReason::NameUnresolved | PortReason::NameResolvesTo(_))
        };
        let mut of_port = self.rules.iter().filter(|rule| rule.peer.is_empty()).peekable();
        Some(if self.rules.is_empty() {
            Mismatch::NoRules
        } else if of_port.peek().is_none() {
            Mismatch::Peer
        } else if of_port.all(|rule| rule.port.iter().all(by_name)) {
            Mismatch::NamedPort
        } else {
            Mismatch::Port
        })
    }

    fn reference(&self, rule: Option<&RuleStep>) -> RuleRef {
        let name = rule.map(|rule| rule.name.clone()).unwrap_or_default();
        RuleRef { policy: self.policy.clone(), rule: rule.map(|rule| rule.index), name }
    }
}

impl DirectionDecision {
    /// Who decided: for a rule match of NetworkPolicies every rule that admits, for one of policies of the cluster the
    /// first rule that matches, for a denial because no rule does every NetworkPolicy that isolates, each without a
    /// rule, and nobody otherwise.
    pub fn decided_by(&self) -> Vec<RuleRef> {
        let steps = || self.steps.iter().filter(|step| Some(step.tier) == self.tier);
        let mut matching = steps().flat_map(|step| step.matching().map(|rule| step.reference(Some(rule))));
        match (self.cause, self.tier) {
            (Cause::RuleMatch, Some(Tier::NetworkPolicy)) => matching.collect(),
            (Cause::RuleMatch, _) => matching.next().into_iter().collect(),
            (Cause::NoRuleMatches, _) => steps().map(|step| step.reference(None)).collect(),
            (Cause::Default | Cause::Exempt(_), _) => Vec::new(),
        }
    }

    /// The steps tier by tier, in the order of evaluation.
    pub fn chain(&self) -> impl Iterator<Item = (Tier, &[PolicyStep])> + '_ {
        let tiers = self.steps.chunk_by(|one, other| one.tier == other.tier);
        tiers.filter_map(|steps| Some((steps.first()?.tier, steps)))
    }

    /// The nearest of the misses.
    pub fn nearest_miss(&self) -> Option<&NearestMiss> {
        self.nearest_misses.first()
    }
}

impl Decision {
    /// Whether policies let the flow pass.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }

    /// The decision of one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionDecision {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    /// The first direction on the way of a packet that denies the flow.
    pub fn denying(&self) -> Option<Direction> {
        self.denying_directions().next()
    }

    /// Every direction that denies the flow, egress first.
    pub fn denying_directions(&self) -> impl Iterator<Item = Direction> + '_ {
        [Direction::Egress, Direction::Ingress]
            .into_iter()
            .filter(|direction| self.direction(*direction).verdict == Verdict::Denied)
    }

    /// Whether nothing left to the implementation decided the verdict.
    pub fn is_certain(&self) -> bool {
        self.caveats.is_empty()
    }

    /// Whether the verdict hangs on what cannot be known here, such as what a domain name stands for: it is the default
    /// reading then, and not an answer.
    pub fn is_undecided(&self) -> bool {
        self.caveats.iter().any(|caveat| caveat.is_unknowable())
    }

    /// Whether both have the same effect on packets, and rest on the API's text equally: the verdicts of both
    /// directions and the caveats. The policies behind them may differ; where that matters too, compare with
    /// `==`.
    pub fn same_outcome(&self, other: &Self) -> bool {
        self.egress.verdict == other.egress.verdict
            && self.ingress.verdict == other.ingress.verdict
            && self.caveats == other.caveats
    }
}

#[cfg(test)]
mod tests;
