//! Conditions, as `metav1.Condition` has them, and how they are kept from one write to the next.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The verdict: True when every expectation is met, False when one is violated.
pub const READY: &str = "Ready";
/// The operator is at work on what was changed or is missing (kstatus; only True means something).
pub const RECONCILING: &str = "Reconciling";
/// It will not get better by itself (kstatus; only True means something).
pub const STALLED: &str = "Stalled";
/// Whether all selected pods report.
pub const COVERED: &str = "Covered";

/// The longest message of a condition, in bytes.
pub const MAX_MESSAGE: usize = 1024;

// The bounds are those of metav1.Condition, but for the message: the writer keeps it short, and a status
// that the schema refuses would freeze the object.
/// One aspect of the check's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect: Ready, Reconciling, Stalled or Covered.
    #[serde(rename = "type")]
    #[schemars(
        length(max = 316),
        regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
                         (([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$")
    )]
    pub type_: String,

    /// Whether it holds.
    pub status: ConditionStatus,

    /// The `metadata.generation` this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,

    /// When `status` last changed.
    pub last_transition_time: Time,

    /// Why, as a code.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,

    /// Why, in words.
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be said.
    Unknown,
}

impl ConditionStatus {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Condition {
    /// A condition that began to hold `now`; [`merge`] keeps the time of an older one. The message is
    /// clamped to [`MAX_MESSAGE`].
    pub fn new(type_: &str, status: ConditionStatus, reason: &str, message: &str, now: Timestamp) -> Self {
        Self {
            type_: type_.to_owned(),
            status,
            observed_generation: None,
            last_transition_time: Time(now),
            reason: reason.to_owned(),
            message: clamp(message, MAX_MESSAGE),
        }
    }

    /// The same, said of `generation`.
    pub fn of_generation(mut self, generation: Option<i64>) -> Self {
        self.observed_generation = generation;
        self
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The next conditions, with the times of the previous ones where the status did not change.
///
/// The time of the schema's default, the Unix epoch, is not kept: nothing happened then. Types that are
/// only among the previous ones are gone.
pub fn merge(previous: &[Condition], mut next: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut next {
        if let Some(old) = find(previous, &condition.type_)
            && old.status == condition.status
            && old.last_transition_time.0 != Timestamp::UNIX_EPOCH
        {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
    next
}

/// `text` in at most `max` bytes, cut between characters and then ended by `…`.
pub fn clamp(text: &str, max: usize) -> String {
    const MARK: char = '…';
    if text.len() <= max {
        return text.to_owned();
    }
    let mut cut = text[..text.floor_char_boundary(max.saturating_sub(MARK.len_utf8()))].to_owned();
    if MARK.len_utf8() <= max {
        cut.push(MARK);
    }
    cut
}
