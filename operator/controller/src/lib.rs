//! Watches, plans, judges and writes the status.
//!
//! One engine owns all state and handles one input at a time ([`engine::Engine`]): no client, no clock, no
//! async. Around it are the watches ([`watch`]), the writer ([`publish`]) and the loop that joins them
//! ([`run`]). The controller knows nothing of the hub: what sidecars tell comes in as [`SidecarEvent`], what
//! they are asked goes out as [`Output`].

mod breaker;
mod clocks;
pub mod cluster;
mod decisions;
mod discovery;
pub mod engine;
mod evidence;
mod latency;
mod leading;
pub mod metrics;
pub mod publish;
mod run;
mod sample;
mod seen;
mod settings;
pub mod watch;

pub use engine::{Engine, Form, Input, Output, Pause, Pauses, SidecarEvent};
pub use leading::{Leader, Leading, leads_now};
pub use run::{Controller, Error, Explain, Links, run};
pub use settings::{Allow, AllowEntry, Details, Settings};

/// The name of our container in other people's pods.
pub const SIDECAR_CONTAINER: &str = "peerwalk";
/// The annotation in which the webhook says why it left a pod without our container: `skipped: WHY`.
pub const INJECTION_ANNOTATION: &str = "peerwalk.dev/injection";
/// The label of namespaces and pods that opts in (`enabled`) or out (`disabled`).
pub const INJECT_LABEL: &str = "peerwalk.dev/inject";
