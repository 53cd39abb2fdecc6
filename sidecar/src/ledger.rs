//! What was found, what of it the hub has, and what it has yet to be told. Pure: the link asks it what to
//! send.

mod summary;
mod took;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerwalk_model::evidence::{Trigger, digest, finding, signature};
use peerwalk_model::report::{Heartbeat, Sockets, TargetFreshness, Took, Transition};
use peerwalk_model::{Plan, TargetKey, Timestamp, Walk};
use peerwalk_wire::{Transitions, limits};

use summary::{Summary, silent, summary};
use took::took;

/// Interim reports that wait; they are worth little when they are late.
const INTERIMS: usize = 32;

/// The last completed walk of every target, and the changes between walks.
///
/// Plans are numbered here, for the hub's generations begin anew with each operator: a walk carries our number until
/// it is taken in, and from then on the generation under which it is evidence.
#[derive(Debug, Default)]
pub struct Ledger {
    plan: Plan,
    /// Our number of the plan.
    number: u64,
    /// The number under which each planned target became what it is.
    meant_since: BTreeMap<TargetKey, u64>,
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
    /// Our number of the plan that it began under.
    number: u64,
    signature: u64,
    /// The same for every walk of a run.
    finding: u64,
    summary: Summary,
    took: Option<Took>,
    since: Timestamp,
    consecutive: u32,
    /// Signature of what was sent last on the present stream.
    sent: Option<u64>,
    /// To be sent, whether it has changed or not.
    wanted: bool,
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

    /// A new plan; returns it as it is to be walked, with our number in the place of the generation. A whole one
    /// begins a stream, and the hub has none of the evidence. What still holds is told under the new generation.
    pub fn plan(&mut self, plan: Plan, whole: bool) -> Plan {
        self.number += 1;
        for (key, target) in &plan.targets {
            if self.plan.targets.get(key) != Some(target) {
                self.meant_since.insert(key.clone(), self.number);
            }
        }
        let old = std::mem::replace(&mut self.plan, plan);
        let planned = |key: &TargetKey| self.plan.targets.contains_key(key);
        self.meant_since.retain(|key, _| planned(key));
        self.records.retain(|key, _| planned(key));
        self.unfinished.retain(|key| planned(key));
        self.interims.retain(|walk| old.targets.get(&walk.target) == self.plan.targets.get(&walk.target));
        for interim in &mut self.interims {
            interim.plan_generation = self.plan.generation;
        }
        for (key, record) in &mut self.records {
            if holds(&self.meant_since, key, record.number) {
                record.walk.plan_generation = self.plan.generation;
                record.wanted |= whole;
            } else {
                record.wanted = false;
            }
        }
        Plan { generation: self.number, ..self.plan.clone() }
    }

    /// The plan being worked on.
    pub fn current_plan(&self) -> &Plan {
        &self.plan
    }

    /// Everything is to be sent again, but for what was found of a target before it became what it is.
    pub fn send_all(&mut self) {
        for (key, record) in &mut self.records {
            record.sent = None;
            record.wanted = holds(&self.meant_since, key, record.number);
        }
    }

    /// Takes a walk, complete or interim, of a plan that [`Self::plan`] returned. One that began before its target
    /// became what it is says nothing of it.
    pub fn walk(&mut self, mut walk: Walk) {
        let number = std::mem::replace(&mut walk.plan_generation, self.plan.generation);
        if !holds(&self.meant_since, &walk.target, number) {
            return;
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
        if walk.is_short_of_budget() && self.known(&walk.target).is_some() {
            // For want of budget. What is known stands, and grows older.
            return;
        }
        self.interims.retain(|interim| interim.target != walk.target);
        let (signature, finding, summary) = (signature(&walk), finding(&walk), summary(&walk));
        let known = self.known(&walk.target).is_some();
        let before = self.records.remove(&walk.target);
        if let Some(before) = &before
            && before.finding != finding
            && summary.is_change_from(before.summary)
        {
            self.transition(&walk, summary, signature);
        }
        let same = before.as_ref().filter(|before| before.finding == finding);
        let since = same.map_or(walk.started, |before| before.since);
        let consecutive = same.map_or(1, |before| before.consecutive.saturating_add(1));
        // The first walk of what the target has become is evidence, even if it finds what was found before.
        let wanted = self.unfinished.contains(&walk.target)
            || !known
            || before.as_ref().is_none_or(|before| before.wanted || before.signature != signature);
        let sent = before.and_then(|before| before.sent);
        let key = walk.target.clone();
        let took = took(&walk).filter(|_| summary.passed);
        let record =
            Record { walk, number, signature, finding, summary, took, since, consecutive, sent, wanted };
        self.records.insert(key, record);
    }

    /// Whether an interim report says what the hub does not know: a target that passed, was not walked yet or
    /// has changed is silent now, or a change in the cluster made other addresses silent. A failure that
    /// stays the same is told once, by its whole walk.
    fn is_news(&self, interim: &Walk) -> bool {
        let Some(before) = self.known(&interim.target) else { return true };
        let failed = !before.summary.passed && !before.summary.void;
        let same = || silent(interim).is_subset(&silent(&before.walk));
        !failed || (interim.trigger == Trigger::Event && !same())
    }

    /// What was found of the target as it is.
    fn known(&self, key: &TargetKey) -> Option<&Record> {
        self.records.get(key).filter(|record| holds(&self.meant_since, key, record.number))
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

    /// A sign of life, as of now; of the prober's own sockets it knows nothing.
    pub fn heartbeat(&self) -> Heartbeat {
        let fresh = |(key, record): (&TargetKey, &Record)| TargetFreshness {
            target: key.clone(),
            signature: record.signature,
            started: record.walk.started,
            ended: record.walk.ended,
            since: record.since,
            consecutive: record.consecutive,
            elapsed: record.walk.ended.since(record.walk.started),
            took: record.took.filter(|_| holds(&self.meant_since, key, record.number)),
        };
        let sent = self.records.iter().filter_map(|(key, record)| Some((key, record.sent?)));
        Heartbeat {
            sockets: Sockets::default(),
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

/// Whether what began under a plan of this number is about the target as it is.
fn holds(meant_since: &BTreeMap<TargetKey, u64>, key: &TargetKey, number: u64) -> bool {
    meant_since.get(key).is_some_and(|since| number >= *since)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
