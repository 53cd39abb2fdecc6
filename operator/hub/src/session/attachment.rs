//! A stream that speaks for a pod: its token, its plan, and the evidence that came through it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::evidence::{digest, signature};
use peerwalk_model::report::Heartbeat;
use peerwalk_model::{Plan, PodRef, TargetKey, Timestamp, Walk};
use peerwalk_wire::{FromHub, PlanDelta, Transitions};

use super::{Action, Count, no_plan};
use crate::event::HubEvent;

/// When to ask again about a token that could not be reviewed.
const REVIEW_RETRY: Duration = Duration::from_mins(1);

pub(super) struct Attachment {
    pub(super) pod: PodRef,
    token: String,
    /// When the token is to be reviewed again; `None` while it is.
    review_due: Option<Duration>,
    /// The plan sent last.
    plan: Arc<Plan>,
    /// Signature of the last completed walk of each target, as it came through this stream.
    evidence: BTreeMap<TargetKey, u64>,
    /// The number of the last transition taken.
    transitions_through: u64,
}

impl Attachment {
    pub(super) fn new(pod: PodRef, token: String, review_due: Duration) -> Self {
        Self {
            pod,
            token,
            review_due: Some(review_due),
            plan: no_plan(),
            evidence: BTreeMap::new(),
            transitions_through: 0,
        }
    }

    pub(super) fn review_due(&self) -> Option<Duration> {
        self.review_due
    }

    pub(super) fn new_token(&mut self, token: String) -> Vec<Action> {
        self.token.clone_from(&token);
        self.review_due = None;
        vec![Action::Review { token, afresh: false }]
    }

    pub(super) fn review(&mut self, now: Duration) -> Vec<Action> {
        if self.review_due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.review_due = None;
        vec![Action::Review { token: self.token.clone(), afresh: true }]
    }

    pub(super) fn confirmed(&mut self, review_due: Duration) {
        self.review_due = Some(review_due);
    }

    pub(super) fn unconfirmed(&mut self, now: Duration) {
        self.review_due = Some(now + REVIEW_RETRY);
    }

    pub(super) fn plan(&mut self, plan: Arc<Plan>) -> Vec<Action> {
        if plan == self.plan {
            return Vec::new();
        }
        // Numbers that do not grow come of a controller that began anew: nothing is built on the old plan.
        let delta = if plan.generation > self.plan.generation {
            PlanDelta::between(&self.plan, &plan)
        } else {
            PlanDelta::whole(&plan)
        };
        self.evidence.retain(|key, _| plan.targets.contains_key(key));
        self.plan = plan;
        vec![Action::Send(FromHub::PlanDelta(delta))]
    }

    pub(super) fn evidence(&mut self, walk: Box<Walk>, at: Timestamp) -> Vec<Action> {
        if !self.plan.targets.contains_key(&walk.target) {
            return vec![Action::Count(Count::Unplanned)];
        }
        if !walk.interim {
            self.evidence.insert(walk.target.clone(), signature(&walk));
        }
        vec![Action::Deliver(HubEvent::Evidence { pod: self.pod.clone(), at, walk }, None)]
    }

    pub(super) fn lost(&mut self, target: &TargetKey) {
        self.evidence.remove(target);
    }

    pub(super) fn heartbeat(&mut self, mut heartbeat: Heartbeat, at: Timestamp) -> Vec<Action> {
        // Both sides speak of the same targets only while they hold the same plan.
        let comparable = heartbeat.plan_generation == self.plan.generation;
        let held = digest(self.evidence.iter().map(|(key, signature)| (key, *signature)));
        let complete = !comparable || heartbeat.digest == held;
        heartbeat.targets.retain(|fresh| self.plan.targets.contains_key(&fresh.target));
        let event = HubEvent::Heartbeat { pod: self.pod.clone(), at, heartbeat };
        let mut actions = vec![Action::Deliver(event, None)];
        if !complete {
            self.evidence.clear();
            actions.extend([Action::Count(Count::Resend), Action::Send(FromHub::SendAll)]);
        }
        actions
    }

    pub(super) fn transitions(&mut self, sent: Transitions, at: Timestamp) -> Vec<Action> {
        let Transitions { first, mut transitions } = sent;
        let Some(through) = first.checked_add(transitions.len() as u64).and_then(|next| next.checked_sub(1))
        else {
            return Vec::new();
        };
        let again = self.transitions_through.saturating_add(1).saturating_sub(first);
        transitions.drain(..usize::try_from(again).unwrap_or(usize::MAX).min(transitions.len()));
        let receipt = FromHub::TransitionsReceived { through };
        if transitions.is_empty() {
            return vec![Action::Send(receipt)];
        }
        self.transitions_through = through;
        let event = HubEvent::Transitions { pod: self.pod.clone(), at, transitions };
        vec![Action::Deliver(event, Some(receipt))]
    }
}
