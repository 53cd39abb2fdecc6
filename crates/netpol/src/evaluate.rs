//! From a flow to its decision.
//!
//! For each direction: which policies of the subject's namespace select it, and whether any of their rules
//! admits the other end on this port. Policies only add; their order is irrelevant.

mod answer;
mod exempt;
mod near;
mod peer;
mod port;
mod translation;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use peerwalk_model::Direction;

use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::decision::{Cause, Decision, DirectionDecision, Exemption, PolicyStep, RuleStep, Verdict};
use crate::flow::{Flow, Peer};
use crate::index::PolicyIndex;
use crate::policy::{Policy, Rule};
use crate::profile::Profile;
use answer::Answer;
use exempt::Standing;

/// Decides a flow: whether the egress policies of its source and the ingress policies of its destination let
/// it pass, and why.
pub fn evaluate(index: &PolicyIndex, flow: &Flow, profile: &Profile) -> Decision {
    let profile = *profile;
    let egress = decide(index, flow, profile, Direction::Egress);
    let ingress = decide(index, flow, profile, Direction::Ingress);
    decision(flow.clone(), profile, egress, ingress)
}

/// The decision that both directions make.
pub(crate) fn decision(
    flow: Flow,
    profile: Profile,
    egress: DirectionDecision,
    ingress: DirectionDecision,
) -> Decision {
    let both = answer_of(&egress).and(answer_of(&ingress));
    Decision { flow, profile, verdict: verdict(both.holds), egress, ingress, caveats: both.doubts }
}

fn verdict(allowed: bool) -> Verdict {
    if allowed { Verdict::Allowed } else { Verdict::Denied }
}

fn answer_of(decision: &DirectionDecision) -> Answer {
    Answer { holds: decision.verdict == Verdict::Allowed, doubts: decision.caveats.clone() }
}

fn decide(index: &PolicyIndex, flow: &Flow, profile: Profile, direction: Direction) -> DirectionDecision {
    let pod = match flow.subject(direction).as_pod() {
        None => return exempt(Exemption::NotAPod, BTreeSet::new()),
        Some(pod) if pod.finished => return exempt(Exemption::Finished, BTreeSet::new()),
        Some(pod) => pod,
    };
    let question = Question::new(index, flow, profile, direction);
    let mut judged = question.judge(pod);
    match exempt::standing(flow, profile, direction, pod) {
        Standing::Exempt { exemption, unless } => {
            let admitted_anyway = judged.verdict == Verdict::Allowed && judged.caveats.is_empty();
            exempt(exemption, if admitted_anyway { BTreeSet::new() } else { unless })
        }
        Standing::Subject { unless } => {
            if judged.verdict == Verdict::Denied {
                judged.caveats.extend(unless);
            }
            judged
        }
    }
}

fn exempt(exemption: Exemption, caveats: BTreeSet<Caveat>) -> DirectionDecision {
    DirectionDecision {
        verdict: Verdict::Allowed,
        cause: Cause::Exempt(exemption),
        steps: Vec::new(),
        nearest_misses: Vec::new(),
        caveats,
    }
}

/// What is asked of the rules of one direction.
struct Question<'a> {
    flow: &'a Flow,
    profile: Profile,
    direction: Direction,
    index: &'a PolicyIndex,
    /// The other end.
    peer: &'a Peer,
    /// The labels of its namespace, if it is a pod.
    namespace_labels: Option<Cow<'a, BTreeMap<String, String>>>,
}

impl<'a> Question<'a> {
    fn new(index: &'a PolicyIndex, flow: &'a Flow, profile: Profile, direction: Direction) -> Self {
        let peer = flow.peer(direction);
        let namespace_labels = peer.as_pod().map(|pod| index.namespace_labels(&pod.namespace));
        Self { flow, profile, direction, index, peer, namespace_labels }
    }

    /// Applies the policies of the subject's namespace to it.
    fn judge(&self, subject: &Pod) -> DirectionDecision {
        let mut answer = Answer::certain(false);
        let mut steps = Vec::new();
        for policy in self.index.policies(&subject.namespace) {
            let Some(rules) = policy.rules(self.direction) else { continue };
            if policy.subject.matches(&subject.labels) {
                let (step, admits) = self.step(policy, rules);
                answer = answer.or(admits);
                steps.push(step);
            }
        }
        let cause = if steps.is_empty() {
            answer = Answer::certain(true);
            Cause::Default
        } else if answer.holds {
            Cause::RuleMatch
        } else {
            Cause::NoRuleMatches
        };
        // A policy that cannot be read may isolate or admit, but never undoes what a rule admits.
        if cause != Cause::RuleMatch && self.index.unreadable(&subject.namespace).next().is_some() {
            answer.doubts.insert(Caveat::UnreadablePolicy);
        }
        let nearest_misses = match cause {
            Cause::NoRuleMatches => near::misses(&steps, self.peer_is_pod()),
            _ => Vec::new(),
        };
        DirectionDecision {
            verdict: verdict(answer.holds),
            cause,
            steps,
            nearest_misses,
            caveats: answer.doubts,
        }
    }

    fn step(&self, policy: &Policy, rules: &[Rule]) -> (PolicyStep, Answer) {
        let mut answer = Answer::certain(false);
        let mut steps = Vec::with_capacity(rules.len());
        for (position, rule) in rules.iter().enumerate() {
            let (peer_answer, peer) = self.peers(&policy.reference.namespace, &rule.peers);
            let (port_answer, port) = self.ports(&rule.ports);
            let mut admits = peer_answer.and(port_answer);
            if self.translation_decides(&policy.reference.namespace, rule, admits.holds) {
                admits.doubts.insert(Caveat::TranslatedAddress);
            }
            answer = answer.or(admits);
            steps.push(RuleStep { index: position + 1, peer, port });
        }
        (PolicyStep { policy: policy.reference.clone(), rules: steps }, answer)
    }

    /// Whether selectors can see the other end.
    fn peer_is_pod(&self) -> bool {
        self.peer.as_pod().is_some_and(|pod| self.profile.sees_as_pod(pod))
    }
}

#[cfg(test)]
mod tests;
