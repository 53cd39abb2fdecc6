//! From a flow to its decision.
//!
//! For each direction the tiers are asked in turn: policies of the cluster of the tier `Admin`, NetworkPolicies, policies
//! of the cluster of the tier `Baseline`. NetworkPolicies of the subject's namespace only add, and decide where one
//! isolates it; of policies of the cluster the first rule that matches decides.

mod answer;
mod cluster;
mod exempt;
mod isolate;
mod near;
mod peer;
mod port;
mod tiers;
mod translation;
mod unknown;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use peerwalk_model::Direction;

use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::cluster_policy::{Action, Tier};
use crate::decision::{Cause, Decision, DirectionDecision, Exemption, Verdict};
use crate::flow::{Flow, Peer};
use crate::index::PolicyIndex;
use crate::policy::PolicyKind;
use crate::profile::Profile;
use answer::Answer;
use exempt::{Applies, Standing};

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
    let mut decided = question.judge(pod, exempt::standing(flow, profile, direction, pod));
    if decided.verdict == Verdict::Denied {
        decided.nearest_misses = near::misses(&decided.steps, question.peer_is_pod());
    }
    decided
}

fn undecided(cause: Cause, caveats: BTreeSet<Caveat>) -> DirectionDecision {
    DirectionDecision {
        verdict: Verdict::Allowed,
        cause,
        tier: None,
        steps: Vec::new(),
        isolated_within: Vec::new(),
        nearest_misses: Vec::new(),
        caveats,
    }
}

fn exempt(exemption: Exemption, caveats: BTreeSet<Caveat>) -> DirectionDecision {
    undecided(Cause::Exempt(exemption), caveats)
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
    /// Whether these are known.
    is_namespace_given: bool,
}

impl<'a> Question<'a> {
    fn new(index: &'a PolicyIndex, flow: &'a Flow, profile: Profile, direction: Direction) -> Self {
        let peer = flow.peer(direction);
        let namespace_labels = peer.as_pod().map(|pod| index.namespace_labels(&pod.namespace));
        let is_namespace_given = peer.as_pod().is_none_or(|pod| index.is_namespace_given(&pod.namespace));
        Self { flow, profile, direction, index, peer, namespace_labels, is_namespace_given }
    }

    /// Asks tier after tier.
    fn judge(&self, subject: &Pod, standing: Standing) -> DirectionDecision {
        let Standing { policies, of_cluster } = standing;
        if !of_cluster {
            return self.network_policies(subject, policies, |decided| decided);
        }
        let mut decided = self.through(subject, Tier::Admin, || {
            self.network_policies(subject, policies, |decided| {
                let mut decided = self.through(subject, Tier::Baseline, || decided);
                self.doubt_unreadable(&mut decided, true);
                decided
            })
        });
        self.doubt_unreadable(&mut decided, false);
        decided
    }

    /// Asks the policies of the cluster of a tier, and what is below them where they do not decide.
    fn through(
        &self,
        subject: &Pod,
        tier: Tier,
        below: impl FnOnce() -> DirectionDecision,
    ) -> DirectionDecision {
        let mut asked = self.ask(subject, tier);
        if asked.is_empty() {
            return below();
        }
        let below = if asked.is_settled() { undecided(Cause::Default, BTreeSet::new()) } else { below() };
        let answer = asked.answer(&answer_of(&below));
        if matches!(asked.end, Some(Action::Accept | Action::Deny)) {
            return DirectionDecision {
                verdict: verdict(answer.holds),
                cause: Cause::RuleMatch,
                tier: Some(tier),
                steps: asked.steps,
                isolated_within: Vec::new(),
                nearest_misses: Vec::new(),
                caveats: answer.doubts,
            };
        }
        asked.steps.extend(below.steps);
        DirectionDecision { steps: asked.steps, caveats: answer.doubts, ..below }
    }

    /// Asks the NetworkPolicies of the subject's namespace, and what is below them where none isolates it.
    fn network_policies(
        &self,
        subject: &Pod,
        applies: Applies,
        below: impl FnOnce(DirectionDecision) -> DirectionDecision,
    ) -> DirectionDecision {
        let isolated = self.isolated(subject);
        match (isolated, applies) {
            (Some(mut judged), Applies::To { unless }) => {
                if judged.verdict == Verdict::Denied {
                    judged.caveats.extend(unless);
                }
                judged
            }
            (Some(judged), Applies::Not { exemption, unless }) => {
                let admitted_anyway = judged.verdict == Verdict::Allowed && judged.caveats.is_empty();
                exempt(exemption, if admitted_anyway { BTreeSet::new() } else { unless })
            }
            (None, applies) => {
                let unreadable = self.index.unreadable(&subject.namespace).next().is_some();
                let (decided, doubts) = match applies {
                    Applies::To { .. } => {
                        let doubts = BTreeSet::from([Caveat::UnreadablePolicy]);
                        (undecided(Cause::Default, BTreeSet::new()), doubts)
                    }
                    Applies::Not { exemption, unless } => (exempt(exemption, BTreeSet::new()), unless),
                };
                let mut decided = below(decided);
                if unreadable {
                    decided.caveats.extend(doubts);
                    // One that isolates would leave nothing to what is below.
                    if decided.verdict == Verdict::Denied {
                        decided.caveats.insert(Caveat::UnreadablePolicy);
                    }
                }
                decided
            }
        }
    }

    /// What a policy of the cluster that cannot be read says comes before everything, or after NetworkPolicies alone.
    fn doubt_unreadable(&self, decided: &mut DirectionDecision, baseline: bool) {
        let baseline_only = |kind| kind == PolicyKind::BaselineAdminNetworkPolicy;
        if self.index.unreadable("").any(|policy| baseline_only(policy.kind) == baseline) {
            decided.caveats.insert(Caveat::UnreadablePolicy);
        }
    }

    /// Whether selectors can see the other end.
    fn peer_is_pod(&self) -> bool {
        self.peer.as_pod().is_some_and(|pod| self.profile.sees_as_pod(pod))
    }
}

#[cfg(test)]
mod tests;
