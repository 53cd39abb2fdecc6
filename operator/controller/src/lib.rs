//! Watches, plans, judges and writes the status.
//!
//! One engine owns all state and handles one input at a time ([`engine::Engine`]): no client, no clock, no
//! async. Around it are the watches ([`watch`]), the writer ([`publish`]) and the loop that joins them
//! ([`run`]). The controller knows nothing of the hub: what sidecars tell comes in as [`SidecarEvent`], what
//! they are asked goes out as [`Output`].

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

pub use engine::{Engine, Form, Input, Output, SidecarEvent};
pub use leading::{Leader, Leading};
pub use run::{Controller, Error, Explain, Links, run};
pub use settings::{Allow, AllowEntry, Settings};

/// The name of our container in other people's pods.
pub const SIDECAR_CONTAINER: &str = "peerwalk";
