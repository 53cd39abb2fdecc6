//! What the operator says of a check.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use peerwalk_model::verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{Condition, find};

mod fit;
#[cfg(test)]
mod tests;

/// The longest message of a row, in bytes.
pub const MAX_ROW_MESSAGE: usize = 256;
/// The longest sample, in bytes.
pub const MAX_SAMPLE: usize = 160;
/// The most samples in one object.
pub const MAX_SAMPLES: usize = 20;
/// The most outages that a status tells of.
pub const MAX_OUTAGES: usize = 10;
/// The most pod templates that a status names.
pub const MAX_TEMPLATES: usize = 100;
/// The largest status, in bytes of JSON.
pub const MAX_STATUS: usize = 32 * 1024;

/// What is known. The conditions are the contract; `result` and `summary` are for tools that cannot index
/// them. Written on transitions only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectivityCheckStatus {
    /// The `metadata.generation` this was said of; -1 before the operator has seen the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready (the verdict), Reconciling and Stalled (as kstatus has them), Covered (whether all selected
    /// pods report).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// When Ready last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// The state of Ready as one word.
    #[serde(default)]
    pub result: CheckResult,

    /// Counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,

    /// One row a target, failures first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<TargetStatus>,

    /// Rows left out to keep the object small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<u32>,

    /// The last outages, the latest last: targets that were as expected and then were not. Those of a time in which no
    /// operator judged are there as the sidecars tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub outages: Vec<Outage>,

    /// The pod templates that Ready was said of, each as a short hash. By them an operator that has just
    /// started tells a rollout from other pods of the same template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub observed_templates: Vec<String>,
}

/// The state of Ready as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckResult {
    /// Every expectation is met.
    AsExpected,
    /// An expectation is violated.
    Failed,
    /// Something is missing, or the check is new.
    #[default]
    Unknown,
    /// Checking rests.
    Suspended,
}

/// Counts over all pairs of source pod and target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Source pods that take part.
    pub pods: u32,
    /// Source pods that report.
    pub reporting: u32,
    /// Targets.
    pub targets: u32,
    /// Pairs of source pod and target.
    pub pairs: u32,
    /// Pairs that are as expected.
    pub as_expected: u32,
    /// Pairs that violate the expectation.
    pub failed: u32,
    /// Pairs of which nothing can be said.
    pub unknown: u32,
    /// `asExpected/pairs`, for the eye.
    pub ok: String,
}

/// What is known of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The name in `spec.targets`.
    pub name: String,

    /// Whether the expectation is met.
    pub outcome: Outcome,

    /// What the network did.
    pub observed: Observed,

    /// Why, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// The stage that failed, or the last that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Stage")]
    pub stage: Option<Stage>,

    /// How sure that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Confidence")]
    pub confidence: Option<Confidence>,

    /// When the outcome last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// How many source pods say what.
    pub pods: PodCounts,

    /// The policy that decides, where it can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStatus>,

    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,

    /// What single pods saw when the outcome or its reason changed. No times and no durations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub samples: Vec<String>,
}

/// A time in which a target was not as expected, after it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// The name in `spec.targets`.
    pub target: String,

    /// When it began.
    pub start: Time,

    /// When it was over; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,

    /// Why, as a code; absent where no operator judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// The stage that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Stage")]
    pub stage: Option<Stage>,
}

/// How many source pods say what of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Pods for which the target is as expected.
    pub as_expected: u32,
    /// Pods for which it is not.
    pub failed: u32,
    /// Pods of which nothing can be said.
    pub unknown: u32,
}

/// A policy and the rule of it that decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The policy's kind, such as NetworkPolicy.
    pub kind: String,
    /// The policy's namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The policy's name.
    pub name: String,
    /// The rule that decides, numbered from 1; absent where no rule admits the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Which side of the connection it applies to.
    pub direction: Direction,
}

/// Declares an enum of the status and its conversion from the model's enum of the same variants.
macro_rules! mirror {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)+ } from $source:path) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        $(#[$meta])*
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl From<$source> for $name {
            fn from(value: $source) -> Self {
                match value { $(<$source>::$variant => Self::$variant,)+ }
            }
        }
    };
}

mirror! {
    /// Whether the expectation is met.
    Outcome {
        /// It is violated.
        Failed,
        /// Nothing can be said.
        Unknown,
        /// It is met.
        AsExpected,
    } from verdict::Outcome
}

mirror! {
    /// What the network did.
    Observed {
        /// Every stage passed.
        Reachable,
        /// A policy denied it, with proof.
        Denied,
        /// Not usable.
        Unreachable,
        /// Not known.
        Unknown,
    } from verdict::Observed
}

mirror! {
    /// A stage of a walk.
    Stage {
        /// Name to addresses.
        Resolve,
        /// Direct or through a proxy.
        Route,
        /// TCP.
        Connect,
        /// The handshake.
        Tls,
        /// The HTTP exchange.
        Request,
    } from verdict::Stage
}

mirror! {
    /// How sure something is.
    #[serde(rename_all = "lowercase")]
    Confidence {
        /// Not yet repeated, or a change fell into it.
        Suspected,
        /// Repeated, with some other explanation not excluded.
        Likely,
        /// Every other explanation known is excluded.
        Confirmed,
    } from verdict::Confidence
}

mirror! {
    /// A side of a connection.
    Direction {
        /// Into the destination.
        Ingress,
        /// Out of the source.
        Egress,
    } from peerwalk_model::Direction
}

impl From<verdict::PolicyCause> for PolicyStatus {
    fn from(cause: verdict::PolicyCause) -> Self {
        Self {
            kind: cause.kind,
            namespace: cause.namespace,
            name: cause.name,
            rule: cause.rule,
            direction: cause.direction.into(),
        }
    }
}

impl ConnectivityCheckStatus {
    /// The condition of a type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        find(&self.conditions, type_)
    }

    /// The same status within all limits, samples going first, then messages, then rows from the end.
    pub fn clamped(mut self) -> Self {
        fit::fit(&mut self);
        self
    }
}
