//! What judging is given: the evidence of one pair of source pod and target, and what the cluster knows of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use peerwalk_model::peer::Saw;
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Timestamp, Walk};
use peerwalk_netpol::Decision;

use crate::facts::Facts;

/// Everything judging may know about one pair of source pod and target.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What the check wants.
    pub expect: Expectation,
    /// Whether the check asks for an HTTP exchange, so that a connection alone is not the whole answer.
    pub wants_request: bool,
    /// What the sidecar found; `None` before its first walk.
    pub evidence: Option<&'a PairEvidence>,
    /// What the policies say and said, for every endpoint of the target that is known. Empty when nobody
    /// evaluates policies, as in the one-shot probe.
    pub decisions: &'a [EndpointDecision],
    /// What the cluster knows.
    pub facts: &'a Facts,
    /// The moment of judging.
    pub now: Timestamp,
}

/// The present run of walks that found the same, on the clock of whoever judges.
///
/// A walk is sent when it differs from the one before; after that, heartbeats move `started`, `ended` and
/// `consecutive`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairEvidence {
    /// The walk that was sent, which stands for every walk of the run.
    pub walk: Walk,
    /// When the run began: the start of its first walk. Signs of life count from here.
    pub since: Timestamp,
    /// When its last completed walk began.
    pub started: Timestamp,
    /// When its last completed walk ended. Staleness is the age of this.
    pub ended: Timestamp,
    /// How many walks it has, at least 1.
    pub consecutive: u32,
    /// What sidecars of destination pods saw of its dials, as far as they were asked; in no order.
    pub attestations: Vec<Attestation>,
    /// Destination pods, as `namespace/name`, that were asked about this run's dials and have not answered yet. Whoever
    /// asks does not wait for long: one that says nothing is left out then.
    pub awaited: BTreeSet<String>,
}

/// What one pod's kernel held of dials, by the word of its sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The pod, as `namespace/name`.
    pub who: String,
    /// It is an endpoint of the target, or was one within the last 30 s.
    pub endpoint: bool,
    /// When it looked.
    pub at: Timestamp,
    /// What it saw.
    pub saw: Saw,
}

impl PairEvidence {
    /// The first walk of a run.
    pub fn first(walk: Walk) -> Self {
        let (started, ended) = (walk.started, walk.ended);
        Self {
            walk,
            since: started,
            started,
            ended,
            consecutive: 1,
            attestations: Vec::new(),
            awaited: BTreeSet::new(),
        }
    }
}

/// What the policies say and said about one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointDecision {
    /// The endpoint's address and target port, or an address outside the cluster.
    pub endpoint: SocketAddr,
    /// Each decision with the moment from which it was in force, oldest first; the last is the present one.
    /// A new entry only where [`Decision::same_outcome`] is false. The first entry begins when the pair was
    /// first evaluated: what held before is not known. A minute of the past is enough.
    pub history: Vec<(Timestamp, Arc<Decision>)>,
}

impl EndpointDecision {
    /// The present decision and since when.
    pub fn current(&self) -> Option<(Timestamp, &Decision)> {
        self.history.last().map(|(since, decision)| (*since, decision.as_ref()))
    }
}
