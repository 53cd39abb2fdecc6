//! A stream that speaks for a pod: its token, its plan, and the evidence that came through it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::evidence::{digest, signature};
use peerwalk_model::peer::{Saw, Tuple};
use peerwalk_model::report::Heartbeat;
use peerwalk_model::{Plan, PodRef, TargetKey, Timestamp, Walk};
use peerwalk_wire::{FromHub, PlanDelta, Transitions};

use super::asked::Asked;
use super::token::Token;
use super::{Action, Count, Note, no_plan};
use crate::event::HubEvent;

/// Tokens are rotated every few minutes at most. More often than this they cost too many reviews.
const BETWEEN_TOKENS: Duration = Duration::from_secs(10);

pub(super) struct Attachment {
    pub(super) pod: PodRef,
    token: Token,
    /// When the last rotated token arrived.
    rotated: Option<Duration>,
    /// When the token is to be reviewed again; `None` while it is.
    review_due: Option<Duration>,
    /// The sidecar began without a plan: it walks all of its first one by itself.
    walks_all: bool,
    /// The plan sent last.
    plan: Arc<Plan>,
    /// Signature of the last completed walk of each target, as it came through this stream.
    evidence: BTreeMap<TargetKey, u64>,
    /// The number of the last transition that was taken.
    transitions_through: u64,
    /// Transitions were not taken. None is acknowledged from then on, since that would acknowledge these: they
    /// come again with the next stream.
    transitions_lost: bool,
    asked: Asked,
}

impl Attachment {
    pub(super) fn new(pod: PodRef, token: Token, walks_all: bool) -> Self {
        Self {
            pod,
            token,
            rotated: None,
            review_due: None,
            walks_all,
            plan: no_plan(),
            evidence: BTreeMap::new(),
            transitions_through: 0,
            transitions_lost: false,
            asked: Asked::default(),
        }
    }

    pub(super) fn review_due(&self) -> Option<Duration> {
        self.review_due
    }

    /// The review of a rotated token; `None` when the last one was rotated a moment ago.
    pub(super) fn new_token(&mut self, token: Token, now: Duration) -> Option<Action> {
        if self.rotated.is_some_and(|last| now < last + BETWEEN_TOKENS) {
            return None;
        }
        self.rotated = Some(now);
        self.token = token;
        self.review_due = None;
        Some(self.token.review(false))
    }

    pub(super) fn review(&mut self, now: Duration) -> Vec<Action> {
        if self.review_due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.review_due = None;
        vec![self.token.review(true)]
    }

    pub(super) fn confirmed(&mut self, again: Duration, now: Duration) {
        self.review_due = Some(self.token.due(again, now));
    }

    pub(super) fn unconfirmed(&mut self, now: Duration) {
        self.review_due = Some(Token::retry_due(now));
    }

    /// Whether the next plan is the first that the sidecar gets in its life.
    pub(super) fn will_walk_all(&self) -> bool {
        self.walks_all && self.plan.generation == 0
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
        let note = Note::Evidence(walk.target.clone());
        vec![Action::Deliver(HubEvent::Evidence { pod: self.pod.clone(), at, walk }, note)]
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
        let mut actions = vec![Action::Deliver(event, Note::Nothing)];
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
        let all = transitions.len();
        transitions.retain(|transition| self.plan.targets.contains_key(&transition.target));
        let unplanned = (all - transitions.len()) as u64;
        let count = (unplanned > 0).then_some(Action::Count(Count::UnplannedTransitions(unplanned)));
        let next = if transitions.is_empty() {
            self.received(through).map(Action::Send)
        } else {
            let event = HubEvent::Transitions { pod: self.pod.clone(), at, transitions };
            Some(Action::Deliver(event, Note::Transitions(through)))
        };
        count.into_iter().chain(next).collect()
    }

    /// The question what the pod holds of these dials; `None` while too many are open.
    pub(super) fn look(&mut self, id: u64, tuples: Vec<Tuple>, now: Duration) -> Option<Action> {
        self.asked.ask(id, &tuples, now).then_some(Action::Send(FromHub::Look { id, tuples }))
    }

    pub(super) fn saw(&mut self, id: u64, saw: Saw, at: Timestamp, now: Duration) -> Vec<Action> {
        if !self.asked.answers(id, &saw, now) {
            return vec![Action::Count(Count::Unasked)];
        }
        let event = HubEvent::Saw { pod: self.pod.clone(), at, id, saw };
        vec![Action::Deliver(event, Note::Nothing)]
    }

    /// Transitions up to this number were taken. Says so, unless earlier ones were not.
    pub(super) fn received(&mut self, through: u64) -> Option<FromHub> {
        if self.transitions_lost {
            return None;
        }
        self.transitions_through = self.transitions_through.max(through);
        Some(FromHub::TransitionsReceived { through })
    }

    pub(super) fn lost_transitions(&mut self) {
        self.transitions_lost = true;
    }
}
