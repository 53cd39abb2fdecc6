//! Answers that verdicts rest on are got anew, and those that could not be asked for are asked for once they can.

use std::collections::BTreeSet;

use peerwalk_model::{PodRef, Reason, Stage, TargetKey, Timestamp};

use super::super::{Engine, Output};
use super::{PairKey, RENEW, Told, direct, is_reset};
use crate::cluster::record::ObjectKey;

/// What a pod holds of a dial: connections have to be watched for, the rest is there for a while.
pub(super) enum Rests {
    Sockets,
    Connections,
}

impl Engine {
    /// A verdict that rests on answers must not fall back to plainer words because they grow old. Walks of the run have
    /// new ports: the latest is asked for, or another one watched.
    pub(super) fn renew_answers(&mut self, now: Timestamp) -> Vec<Output> {
        let last = |answers: &[Told]| answers.iter().map(|told| told.at).max();
        let old =
            self.peers.told.iter().filter(|(_, told)| last(told).is_some_and(|at| now.since(at) >= RENEW));
        let mut sources: BTreeSet<PodRef> = BTreeSet::new();
        let mut watched: Vec<(PairKey, Vec<PodRef>)> = Vec::new();
        for ((source, target), told) in old {
            match self.rests_on(source, target) {
                Some(Rests::Sockets)
                    if !self.peers.renewed.contains_key(source) && self.reports(source, now) =>
                {
                    sources.insert(source.clone());
                }
                Some(Rests::Connections) => {
                    let whom: BTreeSet<&PodRef> = told.iter().map(|told| &told.whom).collect();
                    let pair = (source.clone(), target.clone());
                    watched.push((pair, whom.into_iter().cloned().collect()));
                }
                _ => {}
            }
        }
        self.peers.renewed.extend(sources.iter().map(|source| (source.clone(), now)));
        let mut outputs: Vec<Output> = sources.into_iter().map(Output::SendAll).collect();
        for ((source, target), whom) in watched {
            outputs.extend(self.begin_round_again(&source, &target, whom, now));
        }
        outputs
    }

    /// What the present verdict of a pair rests on that only peers can tell.
    pub(super) fn rests_on(&self, source: &PodRef, target: &TargetKey) -> Option<Rests> {
        let state = self.checks.get(&ObjectKey::new(&source.namespace, &target.check))?;
        let verdict = &state.pairs.get(source)?.get(&target.target)?.verdict;
        let reset = || {
            let walk = self.evidence_of(source, target).map(|evidence| &evidence.walk);
            walk.is_some_and(|walk| direct(walk).any(is_reset))
        };
        match verdict.reason? {
            Reason::WrongBackend | Reason::PolicyNotEnforced | Reason::PeerNotReading => {
                Some(Rests::Connections)
            }
            Reason::ReturnPathBlocked | Reason::Overloaded if verdict.stage > Stage::Connect => {
                Some(Rests::Connections)
            }
            Reason::NotListening | Reason::ReturnPathBlocked | Reason::Overloaded | Reason::Filtered => {
                Some(Rests::Sockets)
            }
            Reason::PolicyDenied => reset().then_some(Rests::Sockets),
            _ => None,
        }
    }

    /// Asks for evidence anew that came before the pods at the other end reported: of a walk that finds the same again
    /// nothing arrives, and they would never be asked about it.
    pub(super) fn ask_late_peers(&mut self, now: Timestamp) -> Vec<Output> {
        let open = self.peers.asked.values().chain(self.peers.again.iter().map(|(_, question)| question));
        let asked: BTreeSet<&PairKey> =
            open.map(|question| &question.pair).chain(self.peers.told.keys()).collect();
        let mut sources: BTreeSet<PodRef> = BTreeSet::new();
        for (check, state) in &self.checks {
            for (source, pairs) in &state.pairs {
                let late = |target: &String| {
                    let target = TargetKey { check: check.name.clone(), target: target.clone() };
                    let pair = (source.clone(), target);
                    !asked.contains(&pair) && !self.peers.rounds.rests(&pair) && self.would_ask(&pair, now)
                };
                let wanted = !self.peers.renewed.contains_key(source) && self.reports(source, now);
                let mut odd = pairs.iter().filter(|(_, state)| state.verdict.reason.is_some());
                if wanted && odd.any(|(target, _)| late(target)) {
                    sources.insert(source.clone());
                }
            }
        }
        self.peers.renewed.extend(sources.iter().map(|source| (source.clone(), now)));
        sources.into_iter().map(Output::SendAll).collect()
    }

    /// Whether anybody would be asked if the evidence of a pair arrived now.
    fn would_ask(&self, (source, target): &PairKey, now: Timestamp) -> bool {
        let Some(evidence) = self.evidence_of(source, target) else { return false };
        !self.questions(source, &evidence.walk, now).is_empty()
            || !self.whom_to_watch(source, &evidence.walk, now).is_empty()
    }
}
