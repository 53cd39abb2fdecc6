//! Rounds of watching: what becomes of connections that come about. They are closed as soon as they are made, so
//! that the pods are told to remember before a walk, and are asked after it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialPurpose};
use peerwalk_model::peer::Tuple;
use peerwalk_model::report::Heartbeat;
use peerwalk_model::{PodRef, Protocol, TargetKey, Timestamp, Walk};

use super::super::target::Resolved;
use super::super::{Engine, Output, plans};
use super::{PairKey, connected, direct, unanswered};
use crate::cluster::record::ObjectKey;
use crate::cluster::service::ResolvedService;

/// Pods that are watched in one round, at most.
pub(super) const PODS: usize = 16;
/// How long they remember, and a walk may take to come.
const WATCHED: Duration = Duration::from_secs(15);
/// The shortest time between two rounds of one pair.
const REST: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Rounds {
    open: BTreeMap<PairKey, Round>,
    /// When the last round of a pair began.
    last: BTreeMap<PairKey, Timestamp>,
}

impl Rounds {
    /// Whether one is under way for a pair.
    pub(super) fn is_open(&self, pair: &PairKey) -> bool {
        self.open.contains_key(pair)
    }

    /// Whether one is under way for a target of a namespace's checks, whoever dials it.
    pub(super) fn is_open_for(&self, namespace: &str, target: &TargetKey) -> bool {
        self.open.keys().any(|(source, of)| source.namespace == namespace && of == target)
    }

    /// Whether a pair has had one a moment ago.
    pub(super) fn rests(&self, pair: &PairKey) -> bool {
        self.last.contains_key(pair)
    }

    /// The same for one that began at `since` or later.
    pub(super) fn rests_since(&self, pair: &PairKey, since: Timestamp) -> bool {
        self.last.get(pair).is_some_and(|began| *began >= since)
    }

    /// Lets another one of a pair begin.
    pub(super) fn forget(&mut self, pair: &PairKey) {
        self.last.remove(pair);
    }
}

#[derive(Debug)]
struct Round {
    whom: Vec<PodRef>,
    began: Timestamp,
    /// The walk was made and found what is known; it was asked for.
    wanted: bool,
    /// It is about who takes connections that work: one look at each pod tells.
    once: bool,
}

impl Engine {
    /// A walk that came about where the policies deny every endpoint, or that got no answer: another one is watched.
    pub(super) fn begin_round_for(&mut self, source: &PodRef, walk: &Walk, now: Timestamp) -> Vec<Output> {
        let whom = self.whom_to_watch(source, walk, now);
        self.begin_round(source, &walk.target, whom, now, false)
    }

    /// The pods whose sidecars can tell who took the connections of such a walk; nobody for any other.
    pub(super) fn whom_to_watch(&self, source: &PodRef, walk: &Walk, now: Timestamp) -> Vec<PodRef> {
        let Some(resolved) = self.resolved_of(source, &walk.target) else { return Vec::new() };
        let denied = || target_dials(walk).any(connected) && self.all_denied(source, resolved);
        if !unanswered(walk) && !denied() {
            return Vec::new();
        }
        let witness = plans::witness(&self.plans, &self.index, &self.decisions, source, &walk.target);
        let own = |dial: &&Dial| witness.is_some_and(|witness| witness.may_have_made(dial));
        let endpoints = match resolved {
            Resolved::Service(_, _, Some(found)) => self.endpoints_of(found, now),
            _ => direct(walk).filter(own).filter_map(|dial| self.peer_at(dial.remote.ip(), now)).collect(),
        };
        endpoints.into_iter().collect()
    }

    /// Another round with the pods of the one before, before what they told no longer counts.
    pub(super) fn begin_round_again(
        &mut self,
        source: &PodRef,
        target: &TargetKey,
        whom: Vec<PodRef>,
        now: Timestamp,
    ) -> Vec<Output> {
        let pair = (source.clone(), target.clone());
        if self.peers.rounds.open.contains_key(&pair) {
            return Vec::new();
        }
        self.peers.rounds.forget(&pair);
        let there = whom.into_iter().filter(|pod| self.reports(pod, now)).collect();
        self.begin_round(source, target, there, now, false)
    }

    pub(super) fn begin_round(
        &mut self,
        source: &PodRef,
        target: &TargetKey,
        mut whom: Vec<PodRef>,
        now: Timestamp,
        once: bool,
    ) -> Vec<Output> {
        let pair = (source.clone(), target.clone());
        if whom.is_empty() || self.peers.rounds.last.contains_key(&pair) || !self.reports(source, now) {
            return Vec::new();
        }
        whom.truncate(PODS);
        self.peers.rounds.last.insert(pair.clone(), now);
        let watch = |pod: &PodRef| Output::Watch(pod.clone(), WATCHED);
        let mut outputs: Vec<Output> = whom.iter().map(watch).collect();
        outputs.push(Output::WalkNow(source.clone(), vec![target.clone()]));
        self.peers.rounds.open.insert(pair, Round { whom, began: now, wanted: false, once });
        outputs
    }

    /// The walk of a round arrived: whoever was watched is asked what it holds of the dials.
    pub(super) fn end_round(&mut self, source: &PodRef, walk: &Walk, now: Timestamp) -> Vec<Output> {
        let pair = (source.clone(), walk.target.clone());
        let open = self.peers.rounds.open.get(&pair);
        if walk.interim || open.is_none_or(|round| walk.started < round.began) {
            return Vec::new();
        }
        let Some(round) = self.peers.rounds.open.remove(&pair) else { return Vec::new() };
        let twice = !round.once;
        let questions: Vec<(PodRef, BTreeSet<Tuple>)> =
            round.whom.into_iter().map(|pod| (pod.clone(), self.tuples_for(source, walk, &pod))).collect();
        let looks = questions
            .into_iter()
            .filter_map(|(pod, tuples)| self.look(pod, source, walk, tuples, now, twice));
        looks.collect()
    }

    /// The dials of a walk as they would end at a pod.
    fn tuples_for(&self, source: &PodRef, walk: &Walk, pod: &PodRef) -> BTreeSet<Tuple> {
        let Some(record) = self.index.pod(&ObjectKey::new(&pod.namespace, &pod.name)) else {
            return BTreeSet::new();
        };
        let found = match self.resolved_of(source, &walk.target) {
            Some(Resolved::Service(_, _, found)) => found.as_ref(),
            _ => None,
        };
        let endpoints: Vec<SocketAddr> =
            found.iter().flat_map(|found| &found.endpoints).map(|endpoint| endpoint.address).collect();
        let ports: BTreeSet<u16> = endpoints.iter().map(SocketAddr::port).collect();
        let at_pod = endpoints.iter().filter(|address| record.ips.contains(&address.ip()));
        let own: BTreeSet<u16> = at_pod.map(SocketAddr::port).collect();
        let ports = if own.is_empty() { ports } else { own };
        let witness = plans::witness(&self.plans, &self.index, &self.decisions, source, &walk.target);
        let own = |dial: &&Dial| witness.is_some_and(|witness| witness.may_have_made(dial));
        let mut tuples = BTreeSet::new();
        for dial in
            target_dials(walk).filter(|dial| dial.started >= walk.started && connected(dial)).filter(own)
        {
            let Some(source) = dial.local else { continue };
            let mut tuple = |destination| tuples.insert(Tuple { source, destination, mss: dial.mss });
            if dial.purpose != DialPurpose::ServiceAddress {
                if record.ips.contains(&dial.remote.ip()) {
                    tuple(dial.remote);
                }
                continue;
            }
            for ip in record.ips.iter().filter(|ip| ip.is_ipv4() == dial.remote.is_ipv4()) {
                for port in &ports {
                    tuple(SocketAddr::new(*ip, *port));
                }
            }
        }
        tuples
    }

    /// A heartbeat tells that the walk of a round found what is known already: then its evidence, with its ports, comes
    /// only when it is asked for.
    pub(in super::super) fn ask_for_round(
        &mut self,
        source: &PodRef,
        heartbeat: &Heartbeat,
    ) -> Option<Output> {
        let mut wanted = false;
        for fresh in &heartbeat.targets {
            let round = self.peers.rounds.open.get_mut(&(source.clone(), fresh.target.clone()));
            if let Some(round) = round.filter(|round| fresh.started >= round.began && !round.wanted) {
                round.wanted = true;
                wanted = true;
            }
        }
        wanted.then(|| Output::SendAll(source.clone()))
    }

    pub(super) fn tick_rounds(&mut self, now: Timestamp) {
        self.peers.rounds.open.retain(|_, round| now.since(round.began) <= WATCHED);
        self.peers.rounds.last.retain(|_, began| now.since(*began) < REST);
    }

    /// The pods behind a Service whose sidecars can be asked.
    pub(super) fn endpoints_of(&self, found: &ResolvedService, now: Timestamp) -> BTreeSet<PodRef> {
        found.endpoints.iter().filter_map(|endpoint| self.peer_at(endpoint.address.ip(), now)).collect()
    }
}

/// Every TCP dial of the target itself.
pub(super) fn target_dials(walk: &Walk) -> impl Iterator<Item = &Dial> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials.filter(|dial| {
        let of_target = !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy);
        dial.protocol == Protocol::Tcp && of_target
    })
}
