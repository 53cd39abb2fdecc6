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
use super::super::{Engine, Output};
use super::{PairKey, connected, direct, unanswered};
use crate::cluster::record::ObjectKey;
use crate::cluster::service::ResolvedService;

/// Pods that are watched in one round, at most.
const PODS: usize = 16;
/// How long they remember, and a walk may take to come.
const WATCHED: Duration = Duration::from_secs(15);
/// The shortest time between two rounds of one pair.
const REST: Duration = Duration::from_mins(1);
/// How long after a change of a Service its data plane must have followed: longer than a pod counts as an endpoint after
/// it was one.
const SETTLED: Duration = Duration::from_secs(35);

#[derive(Debug, Default)]
pub(super) struct Rounds {
    open: BTreeMap<PairKey, Round>,
    /// When the last round of a pair began.
    last: BTreeMap<PairKey, Timestamp>,
    /// Services that changed, with the moment to look where they lead.
    due: BTreeMap<ObjectKey, Timestamp>,
}

#[derive(Debug)]
struct Round {
    whom: Vec<PodRef>,
    began: Timestamp,
    /// The walk was made and found what is known; it was asked for.
    wanted: bool,
}

impl Engine {
    /// A Service or its endpoints changed: where its address leads is looked at when it should have settled.
    pub(in super::super) fn round_after(&mut self, service: &ObjectKey, now: Timestamp) {
        if self.index.complete() {
            self.peers.rounds.due.insert(service.clone(), now.plus(SETTLED));
        }
    }

    /// A walk that came about where the policies deny every endpoint, or that got no answer: another one is watched.
    pub(super) fn begin_round_for(&mut self, source: &PodRef, walk: &Walk, now: Timestamp) -> Vec<Output> {
        let Some(resolved) = self.resolved_of(source, &walk.target) else { return Vec::new() };
        let denied = || target_dials(walk).any(connected) && self.all_denied(source, resolved);
        if !unanswered(walk) && !denied() {
            return Vec::new();
        }
        let endpoints = match resolved {
            Resolved::Service(_, _, Some(found)) => self.endpoints_of(found, now),
            _ => direct(walk).filter_map(|dial| self.peer_at(dial.remote.ip(), now)).collect(),
        };
        self.begin_round(source, &walk.target, endpoints.into_iter().collect(), now)
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
        self.peers.rounds.last.remove(&pair);
        let there = whom.into_iter().filter(|pod| self.reports(pod, now)).collect();
        self.begin_round(source, target, there, now)
    }

    fn begin_round(
        &mut self,
        source: &PodRef,
        target: &TargetKey,
        mut whom: Vec<PodRef>,
        now: Timestamp,
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
        self.peers.rounds.open.insert(pair, Round { whom, began: now, wanted: false });
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
        let questions: Vec<(PodRef, BTreeSet<Tuple>)> =
            round.whom.into_iter().map(|pod| (pod.clone(), self.tuples_for(source, walk, &pod))).collect();
        let looks =
            questions.into_iter().filter_map(|(pod, tuples)| self.look(pod, source, walk, tuples, now));
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
        let mut tuples = BTreeSet::new();
        for dial in target_dials(walk).filter(|dial| dial.started >= walk.started && connected(dial)) {
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

    pub(super) fn tick_rounds(&mut self, now: Timestamp) -> Vec<Output> {
        self.peers.rounds.open.retain(|_, round| now.since(round.began) <= WATCHED);
        self.peers.rounds.last.retain(|_, began| now.since(*began) < REST);
        let due: Vec<ObjectKey> =
            self.peers.rounds.due.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        let mut outputs = Vec::new();
        for service in due {
            self.peers.rounds.due.remove(&service);
            for ((source, target), whom) in self.pairs_of(&service, now) {
                outputs.extend(self.begin_round(&source, &target, whom, now));
            }
        }
        outputs
    }

    /// The pairs whose connections to a Service's address come about, with the pods to be watched: those that were its
    /// endpoints first, then others of its namespace, then its endpoints.
    fn pairs_of(&self, service: &ObjectKey, now: Timestamp) -> Vec<(PairKey, Vec<PodRef>)> {
        let mut pairs = Vec::new();
        for (key, state) in &self.checks {
            let Some(check) = self.index.check(key) else { continue };
            for (target, resolved) in check.spec.targets.iter().zip(&state.targets) {
                let Resolved::Service(of, _, Some(found)) = resolved else { continue };
                if of != service || found.headless {
                    continue;
                }
                let whom = self.watched(service, found, now);
                let target = TargetKey { check: key.name.clone(), target: target.name.clone() };
                let works = |source: &&PodRef| {
                    let walk = self.evidence_of(source, &target).map(|evidence| &evidence.walk);
                    walk.is_some_and(|walk| {
                        target_dials(walk).any(|d| d.purpose == DialPurpose::ServiceAddress && connected(d))
                    })
                };
                let sources = state.selection.sampled.iter().filter(works);
                pairs.extend(sources.map(|source| ((source.clone(), target.clone()), whom.clone())));
            }
        }
        pairs
    }

    fn watched(&self, service: &ObjectKey, found: &ResolvedService, now: Timestamp) -> Vec<PodRef> {
        let endpoints = self.endpoints_of(found, now);
        let others = self.index.pods_of(&service.namespace).filter(|pod| pod.injected && !pod.host_network);
        let mut whom: Vec<PodRef> = others
            .map(|pod| pod.id.clone())
            .filter(|pod| !endpoints.contains(pod) && self.reports(pod, now))
            .collect();
        whom.sort_by_key(|pod| !self.peers.members.was_member(service, pod));
        whom.extend(endpoints);
        whom.truncate(PODS);
        whom
    }

    /// The pods behind a Service whose sidecars can be asked.
    fn endpoints_of(&self, found: &ResolvedService, now: Timestamp) -> BTreeSet<PodRef> {
        found.endpoints.iter().filter_map(|endpoint| self.peer_at(endpoint.address.ip(), now)).collect()
    }
}

/// Every TCP dial of the target itself.
fn target_dials(walk: &Walk) -> impl Iterator<Item = &Dial> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials.filter(|dial| {
        let of_target = !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy);
        dial.protocol == Protocol::Tcp && of_target
    })
}
