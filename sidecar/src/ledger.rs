//! What was found, what of it the hub has, and what it has yet to be told. Pure: the link asks it what to
//! send.

mod summary;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerwalk_model::evidence::{DialOutcome, DialPurpose, LocalTrouble, Trigger, digest, signature};
use peerwalk_model::report::{Heartbeat, TargetFreshness, Transition};
use peerwalk_model::{Plan, TargetKey, Timestamp, Walk};
use peerwalk_wire::{Transitions, limits};

use summary::{Summary, silent, summary};

/// Interim reports that wait; they are worth little when they are late.
const INTERIMS: usize = 32;

/// The last completed walk of every target, and the changes between walks.
#[derive(Debug, Default)]
pub struct Ledger {
    plan: Plan,
    records: BTreeMap<TargetKey, Record>,
    interims: VecDeque<Walk>,
    /// Targets of which the hub has an interim report as the latest: the whole walk has to follow, even if it
    /// finds what the one before it found.
    unfinished: BTreeSet<TargetKey>,
    ring: VecDeque<Transition>,
    /// The number of the ring's first transition is one more.
    numbered: u64,
    lost: u64,
}

#[derive(Debug)]
struct Record {
    walk: Walk,
    signature: u64,
    summary: Summary,
    since: Timestamp,
    consecutive: u32,
    /// Signature of what was sent last on the present stream.
    sent: Option<u64>,
    /// To be sent, whether it has changed or not.
    wanted: bool,
    /// The generation under which the target's definition has changed: what was found before is about another
    /// target and is not sent, and the next walk is evidence even if it finds the same.
    renewed: Option<u64>,
}

impl Ledger {
    /// A new stream: nothing has been sent on it.
    pub fn begin_stream(&mut self) {
        self.interims.clear();
        for record in self.records.values_mut() {
            record.sent = None;
            record.wanted = false;
        }
    }

    /// A new plan. A whole one begins a stream, and the hub has none of the evidence. Generations may begin anew
    /// with it, so what still holds is told under the new one.
    pub fn plan(&mut self, plan: Plan, whole: bool) {
        self.records.retain(|key, _| plan.targets.contains_key(key));
        self.interims.retain(|walk| plan.targets.contains_key(&walk.target));
        self.unfinished.retain(|key| plan.targets.contains_key(key));
        for (key, record) in &mut self.records {
            if self.plan.targets.get(key) != plan.targets.get(key) {
                record.renewed = Some(plan.generation);
            }
            if record.renewed.is_none() {
                record.walk.plan_generation = plan.generation;
                record.wanted |= whole;
            } else {
                record.wanted = false;
            }
        }
        self.plan = plan;
    }

    /// The plan being worked on.
    pub fn current_plan(&self) -> &Plan {
        &self.plan
    }

    /// Everything is to be sent again.
    pub fn send_all(&mut self) {
        for record in self.records.values_mut() {
            record.sent = None;
            record.wanted = true;
        }
    }

    /// Takes a walk, complete or interim.
    pub fn walk(&mut self, mut walk: Walk) {
        if !self.plan.targets.contains_key(&walk.target) {
            return;
        }
        match self.records.get(&walk.target).and_then(|record| record.renewed) {
            // It began before the target became what it is.
            Some(since) if !(since..=self.plan.generation).contains(&walk.plan_generation) => return,
            Some(_) => {}
            None => walk.plan_generation = self.plan.generation,
        }
        if walk.interim {
            if !self.is_news(&walk) {
                return;
            }
            if self.interims.len() >= INTERIMS {
                self.interims.pop_front();
            }
            self.interims.push_back(walk);
            return;
        }
        if is_short_of_budget(&walk)
            && self.records.get(&walk.target).is_some_and(|known| known.renewed.is_none())
        {
            // For want of budget. What is known stands, and grows older.
            return;
        }
        self.interims.retain(|interim| interim.target != walk.target);
        let (signature, summary) = (signature(&walk), summary(&walk));
        let before = self.records.remove(&walk.target);
        if let Some(before) = &before
            && before.signature != signature
            && summary.is_change_from(before.summary)
        {
            self.transition(&walk, summary, signature);
        }
        let same = before.as_ref().filter(|before| before.signature == signature);
        let since = same.map_or(walk.started, |before| before.since);
        let consecutive = same.map_or(1, |before| before.consecutive.saturating_add(1));
        let wanted = self.unfinished.contains(&walk.target)
            || before.as_ref().is_none_or(|b| b.wanted || b.renewed.is_some() || b.signature != signature);
        let sent = before.and_then(|before| before.sent);
        let key = walk.target.clone();
        let record = Record { walk, signature, summary, since, consecutive, sent, wanted, renewed: None };
        self.records.insert(key, record);
    }

    /// Whether an interim report says what the hub does not know: a target that passed, was not walked yet or
    /// has changed is silent now, or a change in the cluster made other addresses silent. A failure that
    /// stays the same is told once, by its whole walk.
    fn is_news(&self, interim: &Walk) -> bool {
        let Some(before) = self.records.get(&interim.target) else { return true };
        let known = !before.summary.passed && !before.summary.void && before.renewed.is_none();
        let same = || silent(interim).is_subset(&silent(&before.walk));
        !known || (interim.trigger == Trigger::Event && !same())
    }

    fn transition(&mut self, walk: &Walk, summary: Summary, signature: u64) {
        if self.ring.len() >= limits::TRANSITIONS {
            self.ring.pop_front();
            self.numbered += 1;
            self.lost += 1;
        }
        let Summary { passed, stage, .. } = summary;
        let target = walk.target.clone();
        self.ring.push_back(Transition { target, at: walk.ended, passed, stage, signature });
    }

    /// The next walk to send, which then counts as sent. Interim reports go first.
    pub fn next_evidence(&mut self) -> Option<Walk> {
        if let Some(interim) = self.interims.pop_front() {
            self.unfinished.insert(interim.target.clone());
            return Some(interim);
        }
        let (key, record) = self.records.iter_mut().find(|(_, record)| record.wanted)?;
        self.unfinished.remove(key);
        record.wanted = false;
        record.sent = Some(record.signature);
        Some(record.walk.clone())
    }

    /// Whether [`Self::next_evidence`] has something.
    pub fn has_evidence(&self) -> bool {
        !self.interims.is_empty() || self.records.values().any(|record| record.wanted)
    }

    /// A walk could not be sent, and cannot be: it breaks a limit.
    pub fn unsendable(&mut self, target: &TargetKey) {
        if let Some(record) = self.records.get_mut(target) {
            record.sent = None;
        }
    }

    /// A sign of life, as of now.
    pub fn heartbeat(&self) -> Heartbeat {
        let fresh = |(key, record): (&TargetKey, &Record)| TargetFreshness {
            target: key.clone(),
            signature: record.signature,
            started: record.walk.started,
            ended: record.walk.ended,
            since: record.since,
            consecutive: record.consecutive,
            elapsed: record.walk.ended.since(record.walk.started),
        };
        let sent = self.records.iter().filter_map(|(key, record)| Some((key, record.sent?)));
        Heartbeat {
            plan_generation: self.plan.generation,
            digest: digest(sent),
            targets: self.records.iter().map(fresh).collect(),
            transitions_lost: self.lost,
        }
    }

    /// The transitions not received yet, from number `after` on; `None` without any.
    pub fn transitions(&self, after: u64) -> Option<Transitions> {
        let skip = usize::try_from(after.saturating_sub(self.numbered)).unwrap_or(usize::MAX);
        let transitions: Vec<Transition> = self.ring.iter().skip(skip).cloned().collect();
        let first = self.numbered.max(after) + 1;
        (!transitions.is_empty()).then_some(Transitions { first, transitions })
    }

    /// The hub has the transitions up to this number.
    pub fn received(&mut self, through: u64) {
        while self.numbered < through && self.ring.pop_front().is_some() {
            self.numbered += 1;
        }
    }
}

/// Every address of a purpose was skipped for want of budget: all of the Service's own, or all behind it; or there
/// was none left to ask for the name. Half of what makes a walk proves less than the whole one before it.
fn is_short_of_budget(walk: &Walk) -> bool {
    use DialPurpose::{Address, Endpoint, ServiceAddress};
    if walk.local.as_ref().is_some_and(|local| local.what == LocalTrouble::BUDGET) {
        return true;
    }
    let dials = walk.connect.as_ref().map_or(&[][..], |connect| &connect.dials);
    [ServiceAddress, Endpoint, Address].into_iter().any(|purpose| {
        let mut of_it = dials.iter().filter(|dial| dial.purpose == purpose).peekable();
        of_it.peek().is_some() && of_it.all(|dial| dial.outcome == DialOutcome::Skipped)
    })
}

#[cfg(test)]
mod tests;
