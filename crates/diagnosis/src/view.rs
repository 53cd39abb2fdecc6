//! A case arranged for the rules: the evidence by address, each with its policy stance.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_model::evidence::{DialPurpose, MOMENT, Walk};
use peerwalk_model::{Timestamp, Verdict};
use peerwalk_netpol::Decision;

use crate::address::{Address, Answer, Own, addresses};
use crate::case::{Case, EndpointDecision, PairEvidence};
use crate::facts::{EndpointFacts, Facts, GRACE, GRACE_OF_YOUNG_PODS, UNNOTICED};
use crate::peer::{Word, words as words_of};
use crate::stance::Stance;

/// A case with fresh evidence.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub case: &'a Case<'a>,
    pub facts: &'a Facts,
    pub pair: &'a PairEvidence,
    pub walk: &'a Walk,
    /// The addresses of the target that were dialled.
    pub addresses: Vec<Address<'a>>,
    /// What sidecars of destination pods say of its dials.
    pub words: Vec<Word<'a>>,
}

/// A rule looks at a case and says nothing, or the verdict.
pub(crate) type Rule = fn(&View<'_>) -> Option<Verdict>;

/// Whether an address was not dialled in the walk since its circuit breaker is open.
pub(crate) fn is_open(walk: &Walk, remote: SocketAddr) -> bool {
    let mut known = walk.connect.iter().flat_map(|connect| &connect.breakers);
    known.any(|breaker| breaker.open && breaker.remote == remote)
}

impl<'a> View<'a> {
    pub fn new(case: &'a Case<'a>, pair: &'a PairEvidence) -> Self {
        let walk = &pair.walk;
        let own = Own { addresses: &case.facts.source.addresses, endpoints: case.decisions };
        let words = Vec::new();
        let mut view = Self { case, facts: case.facts, pair, walk, addresses: addresses(walk, own), words };
        let outdated: Vec<bool> = view.addresses.iter().map(|address| view.is_outdated(address)).collect();
        for (address, outdated) in view.addresses.iter_mut().zip(outdated) {
            address.outdated = outdated;
        }
        Self { words: words_of(&view), ..view }
    }

    /// Whether a Service's address was found to fail before the Service or its endpoints changed, and not again
    /// since, though walks have begun since: what refused it was what the Service was then.
    fn is_outdated(&self, address: &Address) -> bool {
        let open = is_open(self.walk, address.remote);
        let failed = match address.answer {
            Answer::Works | Answer::Mixed { .. } | Answer::Intercepted { .. } => false,
            Answer::Silent => open,
            other => other.was_tried(),
        };
        let old = failed && (address.remembered || open);
        let changed = self.facts.service().and_then(|service| service.changed);
        let since = changed.is_some_and(|at| address.began < at && at <= self.pair.started);
        address.purpose == DialPurpose::ServiceAddress && old && since
    }

    /// The target's addresses where a policy decision applies as it is: endpoints and plain addresses. A
    /// service address is translated first.
    pub fn direct(&self) -> impl Iterator<Item = &Address<'a>> {
        self.addresses.iter().filter(|address| address.purpose != DialPurpose::ServiceAddress)
    }

    /// The direct addresses that say anything about the network.
    pub fn tried(&self) -> impl Iterator<Item = &Address<'a>> {
        self.direct().filter(|address| self.counts_as_tried(address))
    }

    /// Whether an address says anything about the network. A pod without an address of a family has no route for
    /// it, which says nothing while the other family was tried.
    pub fn counts_as_tried(&self, address: &Address) -> bool {
        let other_family = |other: &Address<'a>| {
            other.answer.was_tried() && other.remote.is_ipv4() != address.remote.is_ipv4()
        };
        let no_route = address.answer == Answer::NetworkUnreachable(None);
        address.answer.was_tried()
            && !address.outdated
            && !(no_route && self.addresses.iter().any(other_family))
    }

    /// The Service's own addresses that say anything about the network.
    pub fn service_addresses(&self) -> impl Iterator<Item = &Address<'a>> {
        self.addresses
            .iter()
            .filter(|address| address.purpose == DialPurpose::ServiceAddress && self.counts_as_tried(address))
    }

    /// The way an application takes: the service address where one was dialled, else the addresses themselves.
    pub fn way(&self) -> Vec<&Address<'a>> {
        let service: Vec<&Address<'a>> = self.service_addresses().collect();
        if service.is_empty() { self.tried().collect() } else { service }
    }

    /// Whether a connection came about the way an application makes it.
    pub fn connects(&self) -> bool {
        self.way().iter().any(|address| address.answer.works())
    }

    pub fn endpoint(&self, ip: IpAddr) -> Option<&'a EndpointFacts> {
        self.facts.endpoints.get(&ip)
    }

    /// What to call an address: the pod behind it, or the address.
    pub fn name(&self, remote: SocketAddr) -> String {
        self.endpoint(remote.ip())
            .and_then(|endpoint| endpoint.pod.clone())
            .unwrap_or_else(|| remote.to_string())
    }

    /// The stance of policy towards an address, if there is a decision for it.
    pub fn stance(&self, address: &Address) -> Option<Stance<'a>> {
        let known = self.case.decisions.iter().find(|known| known.endpoint == address.remote)?;
        self.stance_towards(known, address)
    }

    /// The stance of a decision towards the observation of an address.
    pub fn stance_towards(&self, known: &'a EndpointDecision, address: &Address) -> Option<Stance<'a>> {
        let began = self.began(address);
        let target = self.endpoint(known.endpoint.ip()).and_then(|endpoint| endpoint.started);
        let started = [self.facts.source.started, target];
        let young = started.into_iter().flatten().any(|started| began.since(started) < GRACE_OF_YOUNG_PODS);
        let grace = if young { GRACE_OF_YOUNG_PODS } else { GRACE };
        Stance::new(known, began, grace, young)
    }

    /// The present decision for every endpoint, dialled or not.
    pub fn decisions(&self) -> impl Iterator<Item = &'a Decision> {
        self.case.decisions.iter().filter_map(|known| known.current().map(|(_, decision)| decision))
    }

    /// When the observation of an address began, at the earliest: a refusal that a walk reports may have been received
    /// a moment before it, and heartbeats do not tell of that.
    pub fn began(&self, address: &Address) -> Timestamp {
        if is_open(self.walk, address.remote) || address.remembered {
            // Heartbeats tell of walks that found nothing new there: what was found grows older with them.
            return address.began;
        }
        let (sent, last) = (self.walk.started, self.pair.started);
        let began = last.minus(sent.since(address.began));
        if address.reported && last > sent {
            return began.min(last.minus(MOMENT)).max(address.began);
        }
        began
    }

    /// Whether something that was seen at `at` counts for this run of walks: after its first SYN, and not
    /// longer ago than `within`.
    pub fn counts(&self, at: Timestamp, within: Duration) -> bool {
        at >= self.pair.since && self.case.now.since(at) <= within
    }

    /// Whether an admitted source connected to an endpoint between two walks of the run, which found what they did
    /// before and after.
    pub fn is_between(&self, address: &Address, endpoint: Option<&EndpointFacts>) -> bool {
        let sighting = endpoint.and_then(|endpoint| endpoint.admitted_source.as_ref());
        let first = if self.walk.started == self.pair.since { address.began } else { self.pair.since };
        self.pair.consecutive >= 2
            && sighting.is_some_and(|sighting| first <= sighting.at && sighting.at <= self.began(address))
    }

    /// Whether walks have found the same for so long that it is no matter of what we have not heard of yet. The
    /// data plane and the watches hear of a change at the same time, and either may be first: a first walk that
    /// contradicts what we know may only show that.
    pub fn repeated(&self) -> bool {
        let pair = self.pair;
        !self.walk.interim && pair.consecutive >= 2 && pair.since.plus(GRACE) <= pair.started
    }

    /// The same for what contradicts the cluster's state: a watch that is dead would have been noticed.
    pub fn outlasts_the_watches(&self) -> bool {
        self.repeated() && self.pair.since.plus(UNNOTICED) <= self.pair.started
    }

    /// The same for what an address answered, which was dialled again: what is reported a second time proves nothing.
    pub fn stands(&self, address: &Address) -> bool {
        self.outlasts_the_watches() && self.pair.since.plus(GRACE) <= self.began(address)
    }

    /// The same for what contradicts a decision, which counts only from a grace period after it on.
    pub fn stands_against(&self, address: &Address, stance: &Stance) -> bool {
        self.stands(address) && stance.counts_from.plus(UNNOTICED) <= self.pair.started
    }

    /// The Service or its ready endpoints changed so recently that the data plane may not have it yet.
    pub fn service_changed(&self) -> bool {
        let changed = self.facts.service().and_then(|service| service.changed);
        changed.is_some_and(|at| at.plus(GRACE) > self.pair.started)
    }

    /// Whether the policy kinds of this cluster can all be read.
    pub fn reads_all_policies(&self) -> bool {
        self.facts.unreadable_policy_kinds.is_empty()
    }
}
