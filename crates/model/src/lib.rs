//! The shared words of Peerwalk: pods, targets, plans, evidence, verdicts and the catalogue of reasons.
//!
//! Data only. Nothing here reads a clock, does I/O or knows a wire format; the `serde` feature is for
//! scenario files, tests and the output of command lines, and promises no stability.

pub mod address;
pub mod evidence;
pub mod flow;
pub mod name;
pub mod peer;
pub mod plan;
pub mod proxy;
pub mod reason;
pub mod report;
#[cfg(feature = "serde")]
mod serde_ms;
pub mod time;
pub mod verdict;

pub use evidence::Walk;
pub use flow::{Direction, Protocol};
pub use name::{PodRef, TargetKey};
pub use plan::Plan;
pub use reason::Reason;
pub use time::Timestamp;
pub use verdict::{Because, Confidence, Observed, Outcome, Stage, Verdict};
