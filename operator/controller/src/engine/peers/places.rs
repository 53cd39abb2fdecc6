//! Where the addresses of Services lead: which pod takes a connection that works. Nobody learns it from walks that pass,
//! so that pods are asked, of one source pod of a target at a time: when its first walk passed, after the Service
//! changed, and then seldom.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerwalk_model::evidence::DialPurpose;
use peerwalk_model::{PodRef, TargetKey, Timestamp};

use super::super::checks::CheckState;
use super::super::target::Resolved;
use super::super::{Engine, Output};
use super::connected;
use super::rounds::{PODS, target_dials};
use crate::cluster::record::{ObjectKey, Pod};
use crate::cluster::service::ResolvedService;
use crate::sample::weight;

/// How long after a change of a Service its data plane must have followed: longer than a pod counts as an endpoint after
/// it was one.
const SETTLED: Duration = Duration::from_secs(35);
/// How often it is looked where a target leads that works and does not change.
const PERIOD: Duration = Duration::from_mins(10);
/// Rounds that begin in one tick, at most: after a restart of the operator every target is new.
const AT_ONCE: usize = 8;

/// The namespace of a check, and a target of it.
type PlaceKey = (String, TargetKey);

#[derive(Debug, Default)]
pub(super) struct Places {
    known: BTreeMap<PlaceKey, Place>,
    /// Services that changed, with the moment to look where they lead.
    due: BTreeMap<ObjectKey, Timestamp>,
}

#[derive(Debug)]
struct Place {
    /// The period in which it was last looked at, or became a target.
    period: u128,
    /// When each source pod's connections were last looked at.
    looked: BTreeMap<PodRef, Timestamp>,
}

impl Engine {
    /// A Service or its endpoints changed: where its address leads is looked at when it should have settled.
    pub(in super::super) fn look_after(&mut self, service: &ObjectKey, now: Timestamp) {
        if self.index.complete() && self.leads() {
            self.peers.places.due.insert(service.clone(), now.plus(SETTLED));
        }
    }

    /// Begins the rounds that are due. While endpoints are not heard of, or sidecars may not have come back yet, nothing
    /// is: it would be about those of a while ago.
    pub(super) fn tick_places(&mut self, now: Timestamp) -> Vec<Output> {
        let begun = self.seen.since().plus(self.settings.attach_within);
        if !self.index.complete() || !self.interrupted.is_empty() || now < begun {
            return Vec::new();
        }
        self.peers.places.due.retain(|_, at| now.since(*at) < PERIOD);
        let mut before = std::mem::take(&mut self.peers.places.known);
        // What is not a target any more is forgotten.
        let mut known = BTreeMap::new();
        let mut wanted = Vec::new();
        for (key, state) in &self.checks {
            let Some(check) = self.index.check(key).filter(|check| !check.spec.suspend) else { continue };
            for (target, resolved) in check.spec.targets.iter().zip(&state.targets) {
                let Resolved::Service(service, _, Some(found)) = resolved else { continue };
                let target = TargetKey { check: key.name.clone(), target: target.name.clone() };
                let place_key = (key.namespace.clone(), target.clone());
                let period = period(&place_key, now);
                let new = || Place { period, looked: BTreeMap::new() };
                let mut place = before.remove(&place_key).unwrap_or_else(new);
                place.looked.retain(|source, _| state.selection.sampled.binary_search(source).is_ok());
                if wanted.len() < AT_ONCE
                    && self.is_plain(found)
                    && let Some(source) = self.source_due(state, &place_key, &place, service, period, now)
                {
                    place.period = period;
                    place.looked.insert(source.clone(), now);
                    wanted.push((source, target, self.watched(service, found, period, now)));
                }
                known.insert(place_key, place);
            }
        }
        self.peers.places.known = known;
        let mut outputs = Vec::new();
        for (source, target, whom) in wanted {
            let pair = (source, target);
            self.peers.rounds.forget(&pair);
            outputs.extend(self.begin_round(&pair.0, &pair.1, whom, now, true));
        }
        outputs
    }

    /// Whether the Service has an address, and every endpoint is a pod: behind others there may be any pod.
    fn is_plain(&self, found: &ResolvedService) -> bool {
        let is_pod = |ip| self.index.pod_by_ip(ip).is_some();
        !found.headless
            && !found.addresses.is_empty()
            && found.endpoints.iter().all(|e| e.pod.is_some() || is_pod(e.address.ip()))
    }

    /// The source pod whose connections are to be looked at, if any are.
    fn source_due(
        &self,
        state: &CheckState,
        (namespace, target): &PlaceKey,
        place: &Place,
        service: &ObjectKey,
        period: u128,
        now: Timestamp,
    ) -> Option<PodRef> {
        let settled = self.peers.places.due.get(service);
        let looked = |source: &PodRef| match (place.looked.get(source), settled) {
            // Until then a change explains whatever would be found.
            (_, Some(settled)) if *settled > now => true,
            (Some(last), Some(settled)) => last >= settled,
            (last, _) => last.is_some(),
        };
        if self.peers.rounds.is_open_for(namespace, target) {
            return None;
        }
        // A round before the change says nothing of what came of it.
        let counts = settled.filter(|at| **at <= now).copied().unwrap_or_default();
        let ready = |source: &&PodRef| {
            !self.peers.rounds.rests_since(&((*source).clone(), target.clone()), counts)
                && self.reports(source, now)
                && self.works(source, target)
        };
        let sampled = &state.selection.sampled;
        let new = sampled.iter().filter(|source| !looked(source)).find(ready);
        let in_turn = || {
            let ready: Vec<&PodRef> = sampled.iter().filter(ready).collect();
            let turn = period % u128::try_from(ready.len().max(1)).unwrap_or(1);
            ready.get(usize::try_from(turn).unwrap_or(0)).copied()
        };
        new.or_else(|| if place.period < period { in_turn() } else { None }).cloned()
    }

    /// Whether connections of a pod to the Service's own address come about.
    fn works(&self, source: &PodRef, target: &TargetKey) -> bool {
        let walk = self.evidence_of(source, target).map(|evidence| &evidence.walk);
        walk.filter(|walk| !walk.interim).is_some_and(|walk| {
            target_dials(walk).any(|dial| dial.purpose == DialPurpose::ServiceAddress && connected(dial))
        })
    }

    /// The pods to be watched: others than the endpoints, those first that were some, then those of the Service's
    /// namespace that may listen there; and endpoints, which get half of the places if they need them. Where there are
    /// more, every period has others.
    fn watched(
        &self,
        service: &ObjectKey,
        found: &ResolvedService,
        period: u128,
        now: Timestamp,
    ) -> Vec<PodRef> {
        let endpoints = self.endpoints_of(found, now);
        let ports: BTreeSet<u16> = found.endpoints.iter().map(|endpoint| endpoint.address.port()).collect();
        let seed = period.to_string();
        let rank = |pod: &Pod| {
            let of_namespace = pod.id.namespace == service.namespace;
            let has_port = pod.ports.iter().any(|port| ports.contains(&port.number));
            let was = self.peers.members.was_member(service, &pod.id);
            (of_namespace || has_port)
                .then(|| (Reverse(was), Reverse(of_namespace), Reverse(has_port), weight(&seed, &pod.id.uid)))
        };
        let candidates = self.index.pods().filter(|pod| pod.injected && !pod.host_network);
        let mut others: Vec<_> = candidates
            .filter_map(|pod| Some((rank(pod)?, &pod.id)))
            .filter(|(_, pod)| !endpoints.contains(*pod) && self.reports(pod, now))
            .collect();
        others.sort_unstable();
        others.truncate(PODS - endpoints.len().min(PODS / 2));
        let mut whom: Vec<PodRef> = others.into_iter().map(|(_, pod)| pod.clone()).collect();
        let mut endpoints: Vec<PodRef> = endpoints.into_iter().collect();
        endpoints.sort_by_key(|pod| weight(&seed, &pod.uid));
        whom.extend(endpoints);
        whom.truncate(PODS);
        whom
    }
}

/// The number of the period that a target is in; they begin at another moment for each.
fn period((namespace, target): &PlaceKey, now: Timestamp) -> u128 {
    let offset = u128::from(weight(namespace, &format!("{}/{}", target.check, target.target)));
    let at = u128::try_from(now.as_millis()).unwrap_or_default();
    (at + offset % PERIOD.as_millis()) / PERIOD.as_millis()
}
