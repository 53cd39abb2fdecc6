//! From evidence to verdict: pure and total.
//!
//! [`judge`] takes a [`Case`], everything that may be known of one pair of source pod and target, and says
//! what was observed, why, and how sure that is. It reads no clock and no environment, and it never guesses:
//! without evidence the answer is unknown. [`outcome`] holds a verdict against what the check wants, [`explain`]
//! prints it, and [`check`] tells which invariants one breaks. The decisions behind it are in
//! `docs/adr/0002-judging.md`. With the feature `scenarios`, [`scenario`] reads the files of the tests; with `serde`,
//! [`Known`] is what an operator gives to somebody who judges without one.

mod address;
mod case;
mod catalogue;
mod check;
mod errno;
mod explain;
mod facts;
mod judge;
#[cfg(feature = "serde")]
mod known;
mod life;
mod names;
mod narrate;
mod outcome;
mod peer;
mod place;
mod policy_text;
mod proof;
mod rules;
#[cfg(feature = "scenarios")]
pub mod scenario;
#[cfg(test)]
mod scene;
mod signal;
mod stance;
mod trail;
mod view;

pub use case::{Attestation, Case, EndpointDecision, PairEvidence};
pub use catalogue::{Example, WITHOUT_WALK, reason_markdown, reasons_markdown};
pub use check::{Violation, check};
pub use explain::explain;
pub use facts::{
    Coverage, EndpointFacts, Facts, GRACE, GRACE_OF_YOUNG_PODS, Latency, NodeFacts, Quantiles, ServiceFacts,
    Sighting, SourceFacts, TargetFacts, UNNOTICED,
};
pub use judge::judge;
#[cfg(feature = "serde")]
pub use known::{Contradiction, Known, KnownDecision, KnownEndpoint, KnownNode, KnownSource};
pub use outcome::{Run, Says, Thresholds, outcome, says};
