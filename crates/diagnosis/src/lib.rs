//! From evidence to verdict: pure and total.
//!
//! [`judge`] takes a [`Case`], everything that may be known of one pair of source pod and target, and says
//! what was observed, why, and how sure that is. It reads no clock and no environment, and it never guesses:
//! without evidence the answer is unknown. The decisions behind it are in `docs/adr/0002-judging.md`.

mod case;
mod facts;
mod outcome;

pub use case::{Case, EndpointDecision, PairEvidence};
pub use facts::{
    Coverage, EndpointFacts, Facts, GRACE, GRACE_OF_YOUNG_PODS, NodeFacts, ServiceFacts, Sighting,
    SourceFacts, TargetFacts,
};
pub use outcome::{Run, Says, Thresholds, outcome, says};
