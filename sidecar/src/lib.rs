//! The sidecar: receives a plan, walks, reports.
//!
//! [`run`] is what the injected container does. It works with no hub at hand, for as long as the pod lives.

pub mod args;
pub mod attest;
mod environment;
pub mod ledger;
pub mod link;
pub mod probe;
mod random;
pub mod run;
pub mod schedule;
