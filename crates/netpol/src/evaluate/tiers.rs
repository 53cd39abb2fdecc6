//! A tier of the cluster's policies: those that select the subject are asked in the order of their priorities, and the
//! first rule that matches decides, or passes.

use peerwalk_model::Direction;

use super::Question;
use super::answer::Answer;
use super::unknown;
use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::cluster_policy::{Action, ClusterPolicy, Tier};
use crate::decision::PolicyStep;
use crate::policy::PolicyKind;

/// What a tier says, as far as it is asked.
pub(super) struct Asked {
    pub steps: Vec<PolicyStep>,
    /// The action of the first rule that matches.
    pub end: Option<Action>,
    /// Rules in order, by policy, by priority.
    groups: Vec<Vec<Vec<Point>>>,
}

/// A rule: if it matches, its action ends the tier, else the next one is asked.
struct Point {
    matches: Answer,
    action: Action,
}

impl Asked {
    /// Whether no policy of the tier selects the subject, nor could.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The answer, where the tiers below say `below`.
    pub fn answer(&self, below: &Answer) -> Answer {
        self.groups.iter().rev().fold(below.clone(), |rest, policies| {
            let first = policies.iter().rev().fold(rest, |rest, points| through(points, below, rest));
            // Any of those with one priority may be the first.
            policies.iter().skip(1).fold(first, |first, points| {
                let other = through(points, below, first.clone());
                Answer::choose(&Answer::doubtful(true, Caveat::EqualPriority), first, other)
            })
        })
    }

    /// Whether it answers, whatever the tiers below say.
    pub fn is_settled(&self) -> bool {
        self.end.is_some() && self.answer(&Answer::certain(true)) == self.answer(&Answer::certain(false))
    }
}

/// The answer of the rules of a policy in order, and `rest` where none matches.
fn through(points: &[Point], below: &Answer, rest: Answer) -> Answer {
    points.iter().rev().fold(rest, |rest, point| {
        let then = match point.action {
            Action::Accept => Answer::certain(true),
            Action::Deny => Answer::certain(false),
            Action::Pass => below.clone(),
        };
        Answer::choose(&point.matches, then, rest)
    })
}

impl Question<'_> {
    /// Asks the policies of a tier that select the subject, or may, up to those of the priority that certainly ends it.
    pub(super) fn ask(&self, subject: &Pod, tier: Tier) -> Asked {
        let mut asked = Asked { steps: Vec::new(), end: None, groups: Vec::new() };
        let labels = self.index.namespace_labels(&subject.namespace);
        let is_given = self.index.is_namespace_given(&subject.namespace);
        let mut priority = None;
        let (mut shown, mut closed) = (true, false);
        for policy in self.index.cluster_policies(tier) {
            if policy.rules(self.direction).is_empty() || !policy.subject.pods.matches(&subject.labels) {
                continue;
            }
            let selected = unknown::selects(&policy.subject.namespaces, &labels, is_given);
            if selected == Answer::certain(false) {
                continue;
            }
            if priority != Some(policy.priority) {
                if closed {
                    break;
                }
                shown = asked.end.is_none();
                priority = Some(policy.priority);
                asked.groups.push(Vec::new());
            }
            let (step, points) = self.points(policy, &selected);
            if shown && selected.holds {
                asked.steps.push(step);
            }
            let first = points.iter().find(|point| point.matches.holds);
            asked.end = asked.end.or(first.map(|point| point.action));
            closed |= points.last().is_some_and(Point::is_certain);
            if let Some(group) = asked.groups.last_mut() {
                group.push(points);
            }
        }
        asked
    }

    /// The rules of a policy, up to the first that certainly matches; shown up to the first that matches.
    fn points(&self, policy: &ClusterPolicy, selected: &Answer) -> (PolicyStep, Vec<Point>) {
        let mut step = PolicyStep { policy: policy.reference.clone(), tier: policy.tier, rules: Vec::new() };
        let mut points: Vec<Point> = Vec::new();
        // Only the API of ClusterNetworkPolicy says what becomes of a pod that reaches itself through a Service.
        let hairpin = self.is_hairpin() && policy.reference.kind != PolicyKind::ClusterNetworkPolicy;
        for (position, rule) in policy.rules(self.direction).iter().enumerate() {
            let (told, matches) = self.cluster_rule(position + 1, rule);
            let mut matches = selected.clone().and(matches);
            if hairpin && matches.holds {
                matches.doubts.insert(Caveat::Hairpin);
            }
            let failed_closed = told.action != rule.action;
            if !points.iter().any(|point| point.matches.holds) {
                step.rules.push(told.clone());
            }
            points.push(Point { matches: matches.clone(), action: told.action });
            if failed_closed {
                // Whoever knows the field may pass it.
                points.push(Point { matches, action: rule.action });
            }
            if points.last().is_some_and(Point::is_certain) {
                break;
            }
        }
        (step, points)
    }

    /// Whether the pod reaches itself through a Service.
    pub(super) fn is_hairpin(&self) -> bool {
        let subject = match self.direction {
            Direction::Egress => &self.flow.source,
            Direction::Ingress => &self.flow.destination,
        };
        let same = subject.as_pod().zip(self.peer.as_pod()).is_some_and(|(one, other)| one.is_same(other));
        same && self.flow.service.is_some()
    }
}

impl Point {
    fn is_certain(&self) -> bool {
        self.matches.holds && self.matches.doubts.is_empty()
    }
}
