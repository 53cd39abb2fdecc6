//! The history of policy decisions, for each pair of source pod and address.
//!
//! Judging needs to know since when a decision is in force: a walk that a change fell into proves nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use peerwalk_diagnosis::EndpointDecision;
use peerwalk_model::{PodRef, Timestamp};
use peerwalk_netpol as netpol;

use crate::cluster::flow::{self, Destination};
use crate::cluster::record::{ObjectKey, Pod};
use crate::cluster::{Index, flow::peer};

/// How many decisions of a pair are kept: enough to see that it flaps.
const HISTORY: usize = 8;

/// Decisions by source pod and destination.
#[derive(Debug, Default)]
pub struct Decisions {
    policies: Option<netpol::PolicyIndex>,
    pairs: BTreeMap<PodRef, BTreeMap<Destination, EndpointDecision>>,
}

impl Decisions {
    /// Policies or namespace labels changed: the arranged policies are made anew when next needed.
    pub fn forget_policies(&mut self) {
        self.policies = None;
    }

    /// Decides a pair anew. Returns whether the outcome differs from the one before.
    pub fn decide(&mut self, index: &Index, source: &Pod, to: Destination, now: Timestamp) -> bool {
        let Some(decision) = self.once(index, source, to) else { return false };
        let pairs = self.pairs.entry(source.id.clone()).or_default();
        let Some(known) = pairs.get_mut(&to) else {
            let since = first_in_force(index, source, to.address, now);
            let history = vec![(since, Arc::new(decision))];
            pairs.insert(to, EndpointDecision { endpoint: to.address, history });
            return false;
        };
        if let Some((_, last)) = known.history.last_mut()
            && last.same_outcome(&decision)
        {
            // The policies behind it may have other names now; the effect is the same.
            if **last != decision {
                *last = Arc::new(decision);
            }
            return false;
        }
        known.history.push((now, Arc::new(decision)));
        if known.history.len() > HISTORY {
            known.history.remove(0);
        }
        true
    }

    /// What was decided for a pair; `None` when it never was.
    pub fn get(&self, source: &PodRef, to: Destination) -> Option<&EndpointDecision> {
        self.pairs.get(source)?.get(&to)
    }

    /// Drops every pair of a source.
    pub fn remove(&mut self, source: &PodRef) {
        self.pairs.remove(source);
    }

    /// One decision outside any history, such as that for the way to the hub. `None` when the source has no
    /// address of the destination's family.
    pub fn once(&mut self, index: &Index, source: &Pod, to: Destination) -> Option<netpol::Decision> {
        let policies = self.policies.get_or_insert_with(|| arrange(index));
        let flow = flow::new(index, source, to)?;
        Some(netpol::evaluate(policies, &flow, &netpol::Profile::UPSTREAM))
    }
}

/// Since when a decision that is made for the first time is taken to be in force: since the younger of the
/// two pods exists. A policy that is younger than both is seen as a change, except right after a start of the
/// operator, when nothing is known of the past.
fn first_in_force(index: &Index, source: &Pod, address: SocketAddr, now: Timestamp) -> Timestamp {
    let destination = match peer(index, address.ip()).as_pod() {
        Some(pod) => index.pod(&ObjectKey::new(&pod.namespace, &pod.name)).map_or(now, |pod| pod.created),
        None => source.created,
    };
    source.created.max(destination).min(now)
}

fn arrange(index: &Index) -> netpol::PolicyIndex {
    let namespaces = index
        .namespaces()
        .map(|(name, record)| netpol::Namespace { name: name.clone(), labels: record.labels.clone() });
    let unreadable = index
        .unreadable_policies()
        .keys()
        .map(|key| netpol::PolicyRef::network_policy(key.namespace.as_str(), key.name.as_str()));
    netpol::PolicyIndex::new(namespaces, index.policies().cloned()).with_unreadable(unreadable)
}
