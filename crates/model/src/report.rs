//! What a sidecar tells besides evidence: heartbeats and transitions.

use std::time::Duration;

use crate::Timestamp;
use crate::name::TargetKey;
use crate::verdict::Stage;

/// A sign of life, with enough to know how fresh the evidence is and whether the hub has all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The plan the sidecar works on.
    pub plan_generation: u64,
    /// [`crate::evidence::digest`] over the evidence it last sent for each target.
    pub digest: u64,
    /// One entry for each target that has a completed walk.
    pub targets: Vec<TargetFreshness>,
    /// Transitions that fell out of the ring before they were delivered.
    pub transitions_lost: u64,
    /// The sidecar's own sockets.
    pub sockets: Sockets,
}

/// The sidecar's own sockets to targets, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// Open.
    pub active: u32,
    /// Dials that wait for their turn.
    pub waiting: u32,
    /// Open for longer than any dial may be, since the process began: a defect of ours.
    pub leaked: u32,
    /// Addresses whose circuit breaker is open or half-open.
    pub breakers: u32,
}

/// How fresh the evidence of one target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFreshness {
    /// Which target.
    pub target: TargetKey,
    /// Signature of the last completed walk: the same as that of the evidence last sent, or the evidence
    /// is on its way.
    pub signature: u64,
    /// When the last completed walk began.
    pub started: Timestamp,
    /// When it ended. Staleness is the age of this, not of the heartbeat: a wedged walker is stale.
    pub ended: Timestamp,
    /// When the present run of walks with the same signature began.
    pub since: Timestamp,
    /// How many walks that run has.
    pub consecutive: u32,
    /// How long the last completed walk took.
    pub elapsed: Duration,
    /// How long its stages took, where all of them passed on the direct way; the whole walk also waits for budget and
    /// for addresses that are silent.
    pub took: Option<Took>,
}

/// How long the stages of a walk took that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// The connection that an application would use.
    pub connect: Duration,
    /// Name, connection, handshake and exchange together.
    pub whole: Duration,
}

/// A change of what a walk found, kept in a bounded ring and replayed when the sidecar attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which target.
    pub target: TargetKey,
    /// When the first walk of the new kind ended.
    pub at: Timestamp,
    /// Whether every stage passed.
    pub passed: bool,
    /// The stage that failed, or the last one that passed.
    pub stage: Stage,
    /// The signature of the walk.
    pub signature: u64,
}
