//! The history of policy decisions, for each pair of source pod and address.
//!
//! Judging needs to know since when a decision is in force: a walk that a change fell into proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerwalk_diagnosis::EndpointDecision;
use peerwalk_model::{PodRef, Timestamp};
use peerwalk_netpol as netpol;

use crate::cluster::Index;
use crate::cluster::flow::{self, Destination};
use crate::cluster::record::Pod;
use crate::seen::Seen;

/// How many decisions of a pair are kept: enough to see that it flaps.
const HISTORY: usize = 8;

/// Decisions by source pod and destination.
#[derive(Debug, Default)]
pub struct Decisions {
    pairs: BTreeMap<PodRef, BTreeMap<Destination, EndpointDecision>>,
}

impl Decisions {
    /// Decides a pair anew. Returns whether the outcome changed at this very moment: whoever asks next, for
    /// another target that leads to the same address, is told as well.
    pub fn decide(
        &mut self,
        (index, seen): (&Index, &Seen),
        source: &Pod,
        to: Destination,
        now: Timestamp,
    ) -> bool {
        let Some(decision) = once(index, source, to) else {
            // An address that is translated by now is none that policies are asked about.
            if let Some(pairs) = self.pairs.get_mut(&source.id) {
                pairs.remove(&to);
            }
            return false;
        };
        let pairs = self.pairs.entry(source.id.clone()).or_default();
        let Some(known) = pairs.get_mut(&to) else {
            let since = seen.first_in_force(index, source, to).min(now);
            let history = vec![(since, Arc::new(decision))];
            pairs.insert(to, EndpointDecision { endpoint: to.address, history });
            return false;
        };
        let changes = known.history.len() > 1;
        if let Some((since, last)) = known.history.last_mut()
            && last.same_outcome(&decision)
        {
            // The policies behind it may have other names now; the effect is the same.
            if **last != decision {
                *last = Arc::new(decision);
            }
            return changes && *since == now;
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

    /// Every address that decisions of a source are kept for.
    pub fn of<'a>(
        &'a self,
        source: &PodRef,
    ) -> impl Iterator<Item = (&'a Destination, &'a EndpointDecision)> {
        self.pairs.get(source).into_iter().flatten()
    }

    /// Drops the pairs of a source that nobody asks for any more. What a change of policy meant for them is
    /// known by when it was seen, should they come back.
    pub fn retain(&mut self, source: &PodRef, wanted: &BTreeSet<Destination>) {
        let Some(pairs) = self.pairs.get_mut(source) else { return };
        pairs.retain(|to, _| wanted.contains(to));
        if pairs.is_empty() {
            self.pairs.remove(source);
        }
    }

    /// The addresses that are decided for a source.
    #[cfg(test)]
    pub fn decided(&self, source: &PodRef) -> Vec<std::net::SocketAddr> {
        self.pairs.get(source).into_iter().flatten().map(|(to, _)| to.address).collect()
    }

    /// Drops every pair of a source.
    pub fn remove(&mut self, source: &PodRef) {
        self.pairs.remove(source);
    }
}

/// One decision outside any history, such as that for the way to the hub. `None` when the source has no address of the
/// destination's family.
pub fn once(index: &Index, source: &Pod, to: Destination) -> Option<netpol::Decision> {
    let flow = flow::new(index, source, to)?;
    Some(netpol::evaluate(index.policies(), &flow, &netpol::Profile::UPSTREAM))
}
