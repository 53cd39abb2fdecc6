//! Asking the sidecars of destination pods what they hold of the dials of a walk.
//!
//! What a pod says is its word alone: only who was asked is heard, and only of what it was asked about. What a source
//! pod says is its word too, and the answers are for it to read: nobody is asked but about its own dials, of what its
//! plan has it dial. While walks pass, nothing is asked but, seldom, where the address of a Service leads.

mod members;
mod places;
mod renew;
mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use peerwalk_diagnosis::Attestation;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, RequestOutcome, TlsOutcome, signature};
use peerwalk_model::peer::{Listener, Saw, Tuple};
use peerwalk_model::{PodRef, Protocol, TargetKey, Timestamp, Walk};

use super::target::Resolved;
use super::{Engine, Output, Touched, plans};
use crate::cluster::flow::Destination;
use crate::cluster::record::ObjectKey;
use members::Members;
use places::Places;
use renew::Rests;
use rounds::{Rounds, target_dials};

/// Dials that one look asks for, at most.
const TUPLES: usize = 64;
/// An answer that takes longer does not come.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// When a pod is asked a second time about the same dials: an accept queue is full for longer than a moment, and SYN
/// cookies are told by a counter.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an answer is kept: it counts for a minute, and shows for longer since when a pod holds what it does.
const KEPT: Duration = Duration::from_mins(2);
/// When answers that a verdict rests on are got anew: in time, before they no longer count.
const RENEW: Duration = Duration::from_secs(40);
/// Answers about one pair, at most.
const ANSWERS: usize = 64;

/// One pair of source pod and target.
type PairKey = (PodRef, TargetKey);

/// What was asked and answered.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The number of the last question.
    last: u64,
    asked: BTreeMap<u64, Question>,
    /// Questions to be asked once more, and when.
    again: Vec<(Timestamp, Question)>,
    told: BTreeMap<PairKey, Vec<Told>>,
    /// When all evidence of a source pod was last asked for.
    renewed: BTreeMap<PodRef, Timestamp>,
    rounds: Rounds,
    places: Places,
    members: Members,
}

#[derive(Clone, Debug)]
struct Question {
    whom: PodRef,
    pair: PairKey,
    /// Start of the walk that it is about, and whether more of that walk was to come.
    walk: (Timestamp, bool),
    tuples: Vec<Tuple>,
    at: Timestamp,
    /// It may be asked once more.
    first: bool,
    /// It was asked anew for want of an answer, which may have been lost.
    repeated: bool,
}

impl Question {
    fn is_same(&self, other: &Self) -> bool {
        (&self.whom, &self.pair, self.walk) == (&other.whom, &other.pair, other.walk)
            && self.tuples == other.tuples
    }
}

#[derive(Debug)]
struct Told {
    whom: PodRef,
    at: Timestamp,
    saw: Saw,
}

impl Engine {
    /// Asks, after a walk arrived, the pods at the other end of the dials that did not come about, or should not have.
    pub(super) fn ask_peers(&mut self, source: &PodRef, target: &TargetKey, now: Timestamp) -> Vec<Output> {
        if !self.index.complete() {
            return Vec::new();
        }
        let Some(walk) = self.evidence_of(source, target).map(|evidence| evidence.walk.clone()) else {
            return Vec::new();
        };
        let mut outputs = self.end_round(source, &walk, now);
        if outputs.is_empty() && !walk.interim {
            outputs = self.begin_round_for(source, &walk, now);
        }
        for (whom, tuples) in self.questions(source, &walk, now) {
            outputs.extend(self.look(whom, source, &walk, tuples, now, true));
        }
        outputs
    }

    /// Whom to ask about which dials of a walk: those that did not come about, or should not have.
    fn questions(&self, source: &PodRef, walk: &Walk, now: Timestamp) -> BTreeMap<PodRef, BTreeSet<Tuple>> {
        let mut questions: BTreeMap<PodRef, BTreeSet<Tuple>> = BTreeMap::new();
        let witness = plans::witness(&self.plans, &self.index, &self.decisions, source, &walk.target);
        let own = |dial: &&Dial| witness.is_some_and(|witness| witness.may_have_made(dial));
        for dial in direct(walk).filter(|dial| dial.started >= walk.started).filter(own) {
            let wanted = unanswered_dial(dial) || (connected(dial) && self.is_denied(source, dial));
            let peer = if wanted { self.peer_at(dial.remote.ip(), now) } else { None };
            if let (Some(source), Some(peer)) = (dial.local, peer) {
                let tuple = Tuple { source, destination: dial.remote, mss: dial.mss };
                questions.entry(peer).or_default().insert(tuple);
            }
        }
        questions
    }

    /// One look at dials of a walk, with or without a second one; `None` where the same was asked a moment ago.
    fn look(
        &mut self,
        whom: PodRef,
        source: &PodRef,
        walk: &Walk,
        tuples: impl IntoIterator<Item = Tuple>,
        now: Timestamp,
        twice: bool,
    ) -> Option<Output> {
        let pair = (source.clone(), walk.target.clone());
        let walk = (walk.started, walk.interim);
        let tuples: Vec<Tuple> = tuples.into_iter().take(TUPLES).collect();
        let open = self.peers.asked.values().chain(self.peers.again.iter().map(|(_, question)| question));
        let same = |other: &Question| other.whom == whom && other.pair == pair && other.walk == walk;
        let recent =
            open.filter(|other| same(other)).any(|other| tuples.iter().all(|t| other.tuples.contains(t)));
        let answered = self.peers.told.get(&pair).into_iter().flatten().any(|told| {
            let of = |tuple: &Tuple| told.saw.seen.iter().any(|seen| seen.tuple == *tuple);
            told.whom == whom && now.since(told.at) < RENEW && tuples.iter().all(of)
        });
        if tuples.is_empty() || recent || answered {
            return None;
        }
        Some(self.ask(Question { whom, pair, walk, tuples, at: now, first: twice, repeated: false }))
    }

    fn ask(&mut self, question: Question) -> Output {
        self.peers.last += 1;
        let output = Output::Look(question.whom.clone(), self.peers.last, question.tuples.clone());
        self.peers.asked.insert(self.peers.last, question);
        output
    }

    /// Takes in an answer: of who was asked, and of what was asked.
    pub(super) fn take_saw(
        &mut self,
        pod: &PodRef,
        number: u64,
        mut saw: Saw,
        at: Timestamp,
        now: Timestamp,
    ) {
        if self.peers.asked.get(&number).is_none_or(|question| question.whom != *pod) {
            tracing::debug!(%pod, number, "an answer that nobody asked for");
            return;
        }
        let Some(question) = self.peers.asked.remove(&number) else { return };
        self.peers.asked.retain(|_, other| !other.is_same(&question));
        self.evidence.heard(pod, at);
        let mut left: BTreeSet<Tuple> = question.tuples.iter().copied().collect();
        saw.seen.retain(|seen| left.remove(&seen.tuple));
        if question.first && saw.seen.iter().any(|seen| matches!(seen.listener, Listener::Listens { .. })) {
            self.peers.again.push((now.plus(AGAIN), Question { first: false, ..question.clone() }));
        }
        let (source, target) = question.pair.clone();
        let answers = self.peers.told.entry(question.pair).or_default();
        answers.push(Told { whom: question.whom, at, saw });
        let surplus = answers.len().saturating_sub(ANSWERS);
        answers.drain(..surplus);
        self.touched.news(source).walked.insert(target);
    }

    /// What was told of a pair of late.
    pub(super) fn attestations(
        &self,
        source: &PodRef,
        key: &TargetKey,
        resolved: &Resolved,
        now: Timestamp,
    ) -> Vec<Attestation> {
        let told = self.peers.told.get(&(source.clone(), key.clone()));
        let fresh = told.into_iter().flatten().filter(|told| now.since(told.at) <= KEPT);
        let attestation = |told: &Told| {
            let is_member = |service: &ObjectKey| self.peers.members.is_member(service, &told.whom, told.at);
            let endpoint = resolved.service().is_none_or(is_member);
            let mut saw = told.saw.clone();
            if !endpoint {
                // So many pods are asked that one of them has another connection with the same mark.
                for seen in &mut saw.seen {
                    seen.socket.take_if(|socket| socket.source != seen.tuple.source);
                }
            }
            Attestation { who: told.whom.to_string(), endpoint, at: told.at, saw }
        };
        fresh.map(attestation).collect()
    }

    /// Who may still say of a pair's present run of walks what became of the dials: asked, and not heard since the run
    /// began. Not for longer than an answer takes, whatever else is asked.
    pub(super) fn awaited(
        &self,
        source: &PodRef,
        key: &TargetKey,
        since: Timestamp,
        now: Timestamp,
    ) -> BTreeSet<String> {
        let pair = (source.clone(), key.clone());
        let told = self.peers.told.get(&pair);
        let heard = |whom: &PodRef| {
            let mut told = told.into_iter().flatten();
            told.any(|told| told.whom == *whom && told.at >= since)
        };
        let open = self.peers.asked.values().filter(|question| question.pair == pair);
        let awaited = open.filter(|question| !heard(&question.whom) && now.since(since) < ANSWER);
        awaited.map(|question| question.whom.to_string()).collect()
    }

    /// What time alone brings: second looks, answers that are got anew, rounds after a change of a Service.
    pub(super) fn tick_peers(&mut self, now: Timestamp) -> Vec<Output> {
        let (due, later) = std::mem::take(&mut self.peers.again).into_iter().partition(|(at, _)| *at <= now);
        self.peers.again = later;
        let mut outputs = Vec::new();
        let due: Vec<(Timestamp, Question)> = due;
        for (_, question) in due {
            if self.reports(&question.whom, now) {
                outputs.push(self.ask(Question { at: now, ..question }));
            }
        }
        outputs.extend(self.ask_again(now));
        let Self { peers, touched, .. } = self;
        peers.asked.retain(|_, question| {
            let stays = now.since(question.at) < ANSWER;
            if !stays {
                // What was left open for its answer is open no more.
                let (source, target) = question.pair.clone();
                touched.news(source).walked.insert(target);
            }
            stays
        });
        outputs.extend(self.renew_answers(now));
        outputs.extend(self.ask_late_peers(now));
        for answers in self.peers.told.values_mut() {
            answers.retain(|told| now.since(told.at) <= KEPT);
        }
        self.peers.told.retain(|_, answers| !answers.is_empty());
        self.peers.renewed.retain(|_, at| now.since(*at) < RENEW);
        self.peers.members.forget(now);
        self.tick_rounds(now);
        outputs.extend(self.tick_places(now));
        outputs
    }

    /// Asks once more what has not been answered: a question or an answer was lost, or came too often. The time for the
    /// answer stays what it was.
    fn ask_again(&mut self, now: Timestamp) -> Vec<Output> {
        let late = |question: &&mut Question| !question.repeated && now.since(question.at) >= AGAIN;
        let mut anew: Vec<Question> = Vec::new();
        for question in self.peers.asked.values_mut().filter(late) {
            question.repeated = true;
            anew.push(question.clone());
        }
        anew.retain(|question| self.reports(&question.whom, now));
        anew.into_iter().map(|question| self.ask(question)).collect()
    }

    /// Whether a walk found the same as before, and what is said of the pair rests on the connections that pods were
    /// asked about: then the dials of before are the ones that are known.
    pub(super) fn keeps_dials(&self, source: &PodRef, walk: &Walk) -> bool {
        let pair = (source.clone(), walk.target.clone());
        let Some(known) = self.evidence_of(source, &walk.target).filter(|k| k.signature == signature(walk))
        else {
            return false;
        };
        let ports: BTreeSet<_> = target_dials(&known.walk).filter_map(|dial| dial.local).collect();
        let seen = self.peers.told.get(&pair).into_iter().flatten().flat_map(|told| &told.saw.seen);
        seen.filter(|seen| seen.socket.is_some()).any(|seen| ports.contains(&seen.tuple.source))
            && !self.peers.rounds.is_open(&pair)
            && matches!(self.rests_on(source, &walk.target), Some(Rests::Connections))
    }

    /// Whether somebody may still answer about a pair.
    pub(super) fn is_asked_about(&self, source: &PodRef, target: &TargetKey) -> bool {
        self.peers.asked.values().any(|question| (&question.pair.0, &question.pair.1) == (source, target))
    }

    /// Follows who is an endpoint of the Services that are targets.
    pub(super) fn follow_members(&mut self, touched: &Touched, now: Timestamp) {
        let Self { index, checks, peers, .. } = self;
        for service in checks.values().flat_map(|state| &state.targets).filter_map(Resolved::service) {
            if touched.all || touched.services.contains(service) || !peers.members.knows(service) {
                // Of every port: two targets may be of two.
                let endpoints = index.slices(service).flat_map(|slice| &slice.endpoints);
                let pods = endpoints.flat_map(|endpoint| {
                    let key = endpoint.pod.as_ref().map(|name| ObjectKey::new(&service.namespace, name));
                    let named = key.and_then(|key| index.pod(&key));
                    let at = endpoint.addresses.iter().filter_map(|ip| index.pod_by_ip(*ip));
                    named.into_iter().chain(at.filter(move |_| named.is_none())).map(|pod| pod.id.clone())
                });
                peers.members.are(service, pods.collect(), now);
            }
        }
    }

    fn peer_at(&self, ip: IpAddr, now: Timestamp) -> Option<PodRef> {
        let pod = self.index.pod_by_ip(ip).filter(|pod| pod.injected)?;
        self.reports(&pod.id, now).then(|| pod.id.clone())
    }

    fn reports(&self, pod: &PodRef, now: Timestamp) -> bool {
        self.evidence.pod(pod).is_some_and(|told| told.reports(now, self.settings.silence))
    }

    /// Whether policies deny what a direct dial tried.
    fn is_denied(&self, source: &PodRef, dial: &Dial) -> bool {
        let decisions = self.decisions.of(source);
        let mut here = decisions.filter(|(to, _)| to.address == dial.remote);
        here.any(|(_, known)| known.current().is_some_and(|(_, decision)| !decision.is_allowed()))
    }

    /// What a target of a source pod stands for.
    fn resolved_of(&self, source: &PodRef, target: &TargetKey) -> Option<&Resolved> {
        let key = ObjectKey::new(&source.namespace, &target.check);
        let check = self.index.check(&key)?;
        let position = check.spec.targets.iter().position(|known| known.name == target.target)?;
        self.checks.get(&key)?.targets.get(position)
    }

    /// The endpoints of a target as policies are asked about them.
    fn all_denied(&self, source: &PodRef, resolved: &Resolved) -> bool {
        let destinations = resolved.destinations();
        let denied = |to: &Destination| {
            let known = self.decisions.get(source, *to).and_then(|known| known.current());
            known.is_some_and(|(_, decision)| !decision.is_allowed())
        };
        !destinations.is_empty() && destinations.iter().all(denied)
    }
}

/// The dials of addresses that are a pod's own, or may be.
fn direct(walk: &Walk) -> impl Iterator<Item = &Dial> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials.filter(|dial| {
        dial.protocol == Protocol::Tcp && matches!(dial.purpose, DialPurpose::Endpoint | DialPurpose::Address)
    })
}

fn connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { .. })
}

/// Silence or a reset: the kernel at the other end can tell what became of the SYN.
fn unanswered_dial(dial: &Dial) -> bool {
    dial.outcome == DialOutcome::Silent || is_reset(dial)
}

/// An RST: `ECONNREFUSED` and an empty error queue.
fn is_reset(dial: &Dial) -> bool {
    const ECONNREFUSED: i32 = 111;
    matches!(&dial.outcome, DialOutcome::Failed { errno: ECONNREFUSED, immediate: false, queue } if queue.is_empty())
}

/// The connection was made, and no answer came.
fn unanswered(walk: &Walk) -> bool {
    let request = walk.request.as_ref().is_some_and(|request| request.outcome == RequestOutcome::NoResponse);
    request || walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Timeout)
}
