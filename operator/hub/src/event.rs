//! What the hub tells.

use peerwalk_model::peer::Saw;
use peerwalk_model::report::{Heartbeat, Transition};
use peerwalk_model::{PodRef, Timestamp, Walk};

/// Something a sidecar did or said. Moments are on the hub's own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubEvent {
    /// A sidecar attached.
    Attached {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
    },
    /// Its stream ended, and no other stream of the same pod took its place.
    Detached {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
    },
    /// Streams of two processes take each other's place again and again: both have tokens of the pod.
    Contested {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
    },
    /// A sign of life.
    Heartbeat {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
        /// What it said. Only targets of the plan.
        heartbeat: Heartbeat,
    },
    /// A walk of a target of the plan.
    Evidence {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
        /// What it found.
        walk: Box<Walk>,
    },
    /// What a pod holds of dials that it was asked about.
    Saw {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
        /// The number of the question.
        id: u64,
        /// What it holds.
        saw: Saw,
    },
    /// Changes of what walks found, oldest first. One that was told before a stream broke may be told again.
    Transitions {
        /// Whose.
        pod: PodRef,
        /// When.
        at: Timestamp,
        /// The changes.
        transitions: Vec<Transition>,
    },
}
