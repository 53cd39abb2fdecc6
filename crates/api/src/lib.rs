//! The `ConnectivityCheck` resource: its types, its conditions, and the CRD made from them.
//!
//! Everything a user may write is bounded by the schema and its CEL rules, so that what the API server
//! admits can be acted on. What the operator writes (`status`) is bounded by the writer instead: a limit
//! in the schema would freeze an object at the moment it has the most to say.
//!
//! This crate holds no client and knows no runtime; it can be used wherever the resource is read.

pub mod check;
pub mod condition;
pub mod crd;
pub mod duration;
pub mod profile;
mod rule;
pub mod selector;
pub mod status;
pub mod target;

pub use check::{ConnectivityCheck, ConnectivityCheckSpec, Retries, Source, Timeouts};
pub use condition::{Condition, ConditionStatus};
pub use crd::{crd, crd_yaml};
pub use duration::{DurationString, ParseDurationError};
pub use profile::Profile;
pub use selector::LabelSelector;
pub use status::{CheckResult, ConnectivityCheckStatus, Summary, TargetStatus};
pub use target::{Target, TargetKind};
