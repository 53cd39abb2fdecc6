//! The policy decision for an address as it stood while the walk looked.
//!
//! A change of the decision in [walk start − grace, walk end] can mean two things: an observation that fits
//! the decision in force is explained by it, one that contradicts it may only show that the data plane is not
//! there yet. See `docs/adr/0002-judging.md`.

use std::time::Duration;

use peerwalk_model::{Direction, Timestamp};
use peerwalk_netpol::{Cause, Decision};

use crate::case::EndpointDecision;
use crate::facts::GRACE;

/// What the policies say of an address, and how that relates to the time of the observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stance<'a> {
    pub decision: &'a Decision,
    pub age: Age,
    /// Nothing left to the implementation decides it, and as far as is known nothing did when the observation began.
    pub certain: bool,
    /// From when on an observation that contradicts it counts: a grace period after it came into force, and after
    /// it became certain.
    pub counts_from: Timestamp,
}

/// Since when a decision has been what it is, seen from the observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// For longer than the grace period before it.
    Settled,
    /// It changed less than a grace period before it.
    Recent,
    /// It changed during or after it.
    During,
    /// It was first evaluated less than a grace period before it, or later: what held before is not known.
    FirstSeen {
        /// It was evaluated before the observation began.
        in_force: bool,
    },
}

impl<'a> Stance<'a> {
    /// The stance of a decision towards an observation that began at `began`; `None` without a decision.
    /// `young` tells that one of the pods is so young that its first evaluation is itself a change.
    pub fn new(known: &'a EndpointDecision, began: Timestamp, grace: Duration, young: bool) -> Option<Self> {
        let (_, decision) = known.current()?;
        let same = |other: &Decision| {
            other.egress.verdict == decision.egress.verdict
                && other.ingress.verdict == decision.ingress.verdict
        };
        let run = || known.history.iter().rev().take_while(|(_, other)| same(other));
        let (length, since) = run().fold((0, began), |(length, _), (since, _)| (length + 1, *since));
        // What was left to the network plugin until then may have been decided the other way.
        let certain_since = run().take_while(|(_, other)| other.is_certain()).last().map(|(since, _)| *since);
        let young = young && by_policy(decision);
        let grace = if young { grace } else { grace.min(GRACE) };
        let changed = length < known.history.len() || young;
        let age = if since.plus(grace) <= began {
            Age::Settled
        } else if !changed {
            Age::FirstSeen { in_force: since <= began }
        } else if since <= began {
            Age::Recent
        } else {
            Age::During
        };
        // A first decision begins when it was first evaluated: what held before is told by its age.
        let first = length == known.history.len();
        let certain = certain_since.is_some_and(|at| at <= began || (first && at == since));
        let counts_from = certain_since.unwrap_or(since).max(since).plus(grace);
        Some(Self { decision, age, certain, counts_from })
    }

    pub fn denies(&self) -> bool {
        !self.decision.is_allowed()
    }

    /// The first direction, as a packet travels, that denies.
    pub fn denying(&self) -> Option<Direction> {
        self.decision.denying()
    }

    /// The decision held while the walk looked, from its first packet on.
    pub fn in_force(&self) -> bool {
        matches!(self.age, Age::Settled | Age::Recent | Age::FirstSeen { in_force: true })
    }
}

/// Whether any policy took part. Where none selects either end there is nothing that a data plane would
/// have to be told about a young pod.
fn by_policy(decision: &Decision) -> bool {
    [&decision.egress, &decision.ingress]
        .into_iter()
        .any(|direction| matches!(direction.cause, Cause::RuleMatch | Cause::NoRuleMatches))
}

#[cfg(test)]
mod tests;
