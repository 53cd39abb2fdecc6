//! What judging says: what was observed, why, and how sure that is.

use std::fmt;

use crate::flow::Direction;
use crate::reason::Reason;

/// A stage of a walk, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Stage {
    /// Name to addresses.
    #[default]
    Resolve,
    /// Direct or through a proxy.
    Route,
    /// TCP to the service address and endpoints.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The HTTP exchange.
    Request,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Route => "route",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Request => "request",
        })
    }
}

/// What the network did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Observed {
    /// Every stage passed.
    Reachable,
    /// Denied by policy, with proof.
    Denied,
    /// Not usable; the cause perhaps not known.
    Unreachable,
    /// The attempt is void: starved, contradictory, or no fresh evidence.
    #[default]
    Unknown,
}

/// How sure a verdict is. Only `Confirmed` fails a check by itself or satisfies `expect: Denied`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Confidence {
    /// The observation is not yet repeated, or a change fell into it.
    #[default]
    Suspected,
    /// Repeated, but some other explanation is not excluded.
    Likely,
    /// Every other explanation known is excluded.
    Confirmed,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspected => "suspected",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        })
    }
}

/// What a check wants of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Expectation {
    /// Every stage passes.
    #[default]
    Reachable,
    /// A policy denies it, proven.
    Denied,
}

/// A verdict held against the expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Outcome {
    /// The expectation is violated.
    Failed,
    /// Nothing can be said; the reason tells what is missing.
    Unknown,
    /// The expectation is met.
    AsExpected,
}

/// What a line of the explanation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Topic {
    /// The name and its addresses.
    Resolve,
    /// The proxy variables.
    Route,
    /// The dials.
    Connect,
    /// The handshake.
    Tls,
    /// The exchange.
    Request,
    /// Whether the target lives.
    Alive,
    /// Whether the path to its node is whole.
    Path,
    /// What the policies say.
    Policy,
    /// What the Service and its endpoints are.
    Service,
    /// The prober's own trouble.
    Local,
    /// What was not seen, and what would decide it.
    Missing,
    /// What to change.
    Fix,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Route => "route",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::Alive => "alive",
            Self::Path => "path",
            Self::Policy => "policy",
            Self::Service => "service",
            Self::Local => "local",
            Self::Missing => "missing",
            Self::Fix => "fix",
        })
    }
}

/// One line of the explanation.
///
/// The text carries no times and no durations, so that a steady state is explained by the same words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Because {
    /// What the line is about.
    pub topic: Topic,
    /// A sentence without its final stop.
    pub text: String,
}

impl Because {
    /// A line of the explanation.
    pub fn new(topic: Topic, text: impl Into<String>) -> Self {
        Self { topic, text: text.into() }
    }
}

/// The policy that decides, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct PolicyCause {
    /// `NetworkPolicy`.
    pub kind: String,
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub name: String,
    /// The rule that decides, numbered from 1; `None` where no rule admits the flow.
    pub rule: Option<u32>,
    /// The side it applies to.
    pub direction: Direction,
}

/// What judging says of one pair of source pod and target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Verdict {
    /// What the network did.
    pub observed: Observed,
    /// Why; `None` when reachable.
    pub reason: Option<Reason>,
    /// The failing stage, or the last that passed.
    pub stage: Stage,
    /// How sure that is.
    pub confidence: Confidence,
    /// The policy behind [`Reason::PolicyDenied`] or [`Reason::PolicyNotEnforced`], where it can be named.
    pub policy: Option<PolicyCause>,
    /// The proof, stage by stage, and what is missing from it.
    pub because: Vec<Because>,
}

impl Verdict {
    /// A void attempt, with its reason.
    pub fn unknown(reason: Reason, stage: Stage, because: Vec<Because>) -> Self {
        Self {
            observed: Observed::Unknown,
            reason: Some(reason),
            stage,
            confidence: Confidence::Suspected,
            policy: None,
            because,
        }
    }

    /// The first line about `topic`.
    pub fn line(&self, topic: Topic) -> Option<&str> {
        self.because.iter().find(|b| b.topic == topic).map(|b| b.text.as_str())
    }
}
