//! The resource itself, and everything of its spec but the targets.
#![allow(clippy::duplicated_attributes, reason = "each column of the table has a type and a path")]

use std::time::Duration;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::DurationString;
use crate::profile::{self, Profile};
use crate::rule::{rules, within};
use crate::selector::LabelSelector;
use crate::status::ConnectivityCheckStatus;
use crate::target::Target;

/// What to try, from which pods, and when an answer counts.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "peerwalk.dev",
    version = "v1alpha1",
    kind = "ConnectivityCheck",
    doc = "Whether the pods of a workload can reach what they depend on, and if not, why.",
    namespaced,
    status = "ConnectivityCheckStatus",
    shortname = "cck",
    category = "peerwalk",
    derive = "PartialEq",
    selectable = ".spec.suspend",
    selectable = ".status.result",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True: every expectation is met. False: one is violated. Unknown: see the reason."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "The reason of the worst target, or what is missing."
    ),
    printcolumn(
        name = "OK",
        type_ = "string",
        json_path = ".status.summary.ok",
        description = "Pairs of source pod and target that are as expected, of all."
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.since",
        description = "When Ready last changed."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.source.podSelector",
        description = "Which pods the targets are tried from.",
        priority = 1
    ),
    printcolumn(
        name = "Targets",
        type_ = "integer",
        json_path = ".status.summary.targets",
        description = "Number of targets.",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What is known, in words.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = profile::rules_of_limits()))]
pub struct ConnectivityCheckSpec {
    /// Whether checking rests. The result is then Suspended and Ready is Unknown.
    #[serde(default)]
    pub suspend: bool,

    /// The pods from which the targets are tried.
    pub source: Source,

    /// What is tried, and what is expected of it. 1 to 64, each with a name of its own.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub targets: Vec<Target>,

    /// How far away the targets are, and so how long an answer may take: Lan 2s for one connection and 3s for
    /// one walk, CrossRegion 5s and 10s, Batch 10s and 30s.
    #[serde(default)]
    pub profile: Profile,

    /// How long an answer may take, where that is not what the profile says.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// From the start of one walk to the start of the next, 5s to 1h. Changes of policies, endpoints,
    /// services, pods and labels are noticed at once; this is the safety net.
    #[serde(default = "default_interval")]
    #[schemars(extend("x-kubernetes-validations" = within("interval", "5s", "1h")))]
    pub interval: DurationString,

    /// How resolving and requesting are tried again within a walk. Connecting has its own series.
    #[serde(default)]
    pub retries: Retries,

    /// How often in a row a target must fail before it counts, 1 to 100, where the cause is not proven.
    /// A failure with a proven cause counts at once.
    #[serde(default = "default_failure_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,

    /// How often in a row a target that failed must be as expected before it counts, 1 to 100.
    #[serde(default = "default_success_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: u32,

    /// How long something may be missing (pods, sidecars, a target, proof, fresh results) before the
    /// check is Stalled, 10s to 24h.
    #[serde(default = "default_progress_deadline")]
    #[schemars(extend("x-kubernetes-validations" = within("progressDeadline", "10s", "24h")))]
    pub progress_deadline: DurationString,

    /// How old the last completed walk may be before its result no longer counts, up to 24h. The default
    /// is 2 × interval + the time for one walk, and at least 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = within("staleAfter", "60s", "24h")))]
    pub stale_after: Option<DurationString>,
}

/// The pods from which the targets are tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "self.maxPods >= self.minPods",
    "source.maxPods must not be less than source.minPods: raise maxPods or lower minPods",
)])))]
pub struct Source {
    /// Pods of the check's own namespace, by label; running ones that are not being deleted.
    pub pod_selector: LabelSelector,

    /// How many pods must be selected, 0 to 100. With 0 an empty selection is no error.
    #[serde(default = "default_min_pods")]
    #[schemars(range(min = 0, max = 100))]
    pub min_pods: u32,

    /// From how many of the selected pods the targets are tried, 1 to 100; a stable sample of them.
    #[serde(default = "default_max_pods")]
    #[schemars(range(min = 1, max = 100))]
    pub max_pods: u32,
}

/// How long an answer may take, where that is not what the profile says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// For one connection, 100ms to 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = within("timeouts.connect", "100ms", "30s")))]
    pub connect: Option<DurationString>,

    /// For one walk, all its attempts included, 100ms to 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = within("timeouts.total", "100ms", "1m")))]
    pub total: Option<DurationString>,
}

/// How resolving and requesting are tried again within a walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "duration(self.backoff) <= duration(self.maxBackoff)",
    "retries.backoff must not be longer than retries.maxBackoff: lower backoff or raise maxBackoff",
)])))]
pub struct Retries {
    /// Attempts in all, 1 to 5.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = 5))]
    pub attempts: u32,

    /// The wait before the second attempt, 10ms to 30s; it doubles each time, with jitter.
    #[serde(default = "default_backoff")]
    #[schemars(extend("x-kubernetes-validations" = within("retries.backoff", "10ms", "30s")))]
    pub backoff: DurationString,

    /// The longest wait, 10ms to 30s.
    #[serde(default = "default_max_backoff")]
    #[schemars(extend("x-kubernetes-validations" = within("retries.maxBackoff", "10ms", "30s")))]
    pub max_backoff: DurationString,
}

impl ConnectivityCheckSpec {
    /// How long one connection may take: what `timeouts` says, else what the profile says.
    pub fn connect_timeout(&self) -> Duration {
        self.timeouts.connect.as_ref().map_or_else(|| self.profile.connect(), DurationString::get)
    }

    /// How long one walk may take, all its attempts included: what `timeouts` says, else what the profile says.
    pub fn total_timeout(&self) -> Duration {
        self.timeouts.total.as_ref().map_or_else(|| self.profile.total(), DurationString::get)
    }

    /// How old the last completed walk may be: `staleAfter`, or its default of twice the interval and one
    /// walk, and at least a minute.
    pub fn stale_after(&self) -> Duration {
        let default = || (self.interval.get() * 2 + self.total_timeout()).max(Duration::from_mins(1));
        self.stale_after.as_ref().map_or_else(default, DurationString::get)
    }
}

impl From<&Retries> for peerwalk_model::plan::Retries {
    fn from(retries: &Retries) -> Self {
        Self {
            attempts: retries.attempts,
            backoff: retries.backoff.get(),
            max_backoff: retries.max_backoff.get(),
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: default_attempts(), backoff: default_backoff(), max_backoff: default_max_backoff() }
    }
}

fn default_interval() -> DurationString {
    Duration::from_secs(10).into()
}

fn default_progress_deadline() -> DurationString {
    Duration::from_mins(2).into()
}

fn default_backoff() -> DurationString {
    Duration::from_millis(200).into()
}

fn default_max_backoff() -> DurationString {
    Duration::from_secs(2).into()
}

const fn default_attempts() -> u32 {
    2
}

const fn default_failure_threshold() -> u32 {
    3
}

const fn default_success_threshold() -> u32 {
    1
}

const fn default_min_pods() -> u32 {
    1
}

const fn default_max_pods() -> u32 {
    10
}
