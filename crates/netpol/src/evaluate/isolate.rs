//! NetworkPolicies: which of the subject's namespace select it, and whether any of their rules admits the flow.

use peerwalk_model::Direction;

use super::answer::Answer;
use super::{Question, verdict};
use crate::admit;
use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::cluster_policy::{Action, Tier};
use crate::decision::{Cause, DirectionDecision, PolicyStep, RuleStep};
use crate::policy::{Policy, Rule};

impl Question<'_> {
    /// What the NetworkPolicies say that isolate the subject; `None` where none does.
    pub(super) fn isolated(&self, subject: &Pod) -> Option<DirectionDecision> {
        let mut answer = Answer::certain(false);
        let (mut steps, mut isolating) = (Vec::new(), Vec::new());
        for policy in self.index.policies(&subject.namespace) {
            let Some(rules) = policy.rules(self.direction) else { continue };
            if policy.subject.matches(&subject.labels) {
                let (step, admits) = self.step(policy, rules);
                answer = answer.or(admits);
                steps.push(step);
                isolating.push(&policy.subject);
            }
        }
        if steps.is_empty() {
            return None;
        }
        // A policy that cannot be read may isolate or admit, but never undoes what a rule admits.
        if !answer.holds && self.index.unreadable(&subject.namespace).next().is_some() {
            answer.doubts.insert(Caveat::UnreadablePolicy);
        }
        Some(DirectionDecision {
            verdict: verdict(answer.holds),
            cause: if answer.holds { Cause::RuleMatch } else { Cause::NoRuleMatches },
            tier: Some(Tier::NetworkPolicy),
            steps,
            isolated_within: if answer.holds {
                Vec::new()
            } else {
                admit::within(subject, isolating.into_iter())
            },
            nearest_misses: Vec::new(),
            caveats: answer.doubts,
        })
    }

    fn step(&self, policy: &Policy, rules: &[Rule]) -> (PolicyStep, Answer) {
        let namespace = &policy.reference.namespace;
        let mut answer = Answer::certain(false);
        let mut steps = Vec::with_capacity(rules.len());
        for (position, rule) in rules.iter().enumerate() {
            let (peer_answer, mut peer) = self.peers(namespace, &rule.peers);
            let (port_answer, mut port) = self.ports(&rule.ports);
            let mut admits = peer_answer.and(port_answer);
            if let Some(service) = self.flow.service
                && self.direction == Direction::Egress
            {
                let before = self.admits_before(namespace, rule, service);
                admits = self.translated(service, before, admits, &mut peer, &mut port);
            }
            answer = answer.or(admits);
            let (name, unknown) = (String::new(), Vec::new());
            steps.push(RuleStep { index: position + 1, name, action: Action::Accept, unknown, peer, port });
        }
        let step = PolicyStep { policy: policy.reference.clone(), tier: Tier::NetworkPolicy, rules: steps };
        (step, answer)
    }
}
