//! A verdict held against what the check wants, over a run of walks.

use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Observed, Outcome, Reason, Verdict};

/// What one verdict says of the expectation, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// The expectation is met.
    Met,
    /// It is violated, and the cause is proven: this counts at once.
    Violated,
    /// It seems violated: this counts when it repeats.
    SeemsViolated,
    /// Nothing, yet: the observation waits for its repetition.
    Waits,
    /// Nothing can be said.
    Nothing,
}

/// The walks before and including the present one, as far as they say the same of the expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Walks in a row that violated the expectation or seemed to.
    pub failures: u32,
    /// Walks in a row that met it.
    pub successes: u32,
    /// The outcome before.
    pub previous: Option<Outcome>,
    /// The last outcome that was not Unknown.
    pub decided: Option<Outcome>,
}

impl Run {
    /// The run after `walks` more walks that say `says`. What says nothing ends neither kind of run.
    pub fn after(self, says: Says, walks: u32) -> Self {
        match says {
            Says::Met => Self { failures: 0, successes: self.successes.saturating_add(walks), ..self },
            Says::Violated | Says::SeemsViolated => {
                Self { failures: self.failures.saturating_add(walks), successes: 0, ..self }
            }
            Says::Waits | Says::Nothing => self,
        }
    }

    /// The run once its outcome is known.
    pub fn with(self, outcome: Outcome) -> Self {
        let decided = if outcome == Outcome::Unknown { self.decided } else { Some(outcome) };
        Self { previous: Some(outcome), decided, ..self }
    }
}

/// When repetition counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// `spec.failureThreshold`.
    pub failures: u32,
    /// `spec.successThreshold`.
    pub successes: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { failures: 3, successes: 1 }
    }
}

/// What one verdict says of the expectation, by itself.
pub fn says(expect: Expectation, verdict: &Verdict) -> Says {
    if verdict.reason == Some(Reason::TargetNotAllowed) && verdict.confidence == Confidence::Confirmed {
        // The spec cannot work, whatever it expects.
        return Says::Violated;
    }
    match (expect, verdict.observed) {
        (Expectation::Reachable, Observed::Reachable) | (Expectation::Denied, Observed::Denied) => Says::Met,
        // Under `Denied`, unreachable is something else that fails, not the denial that was asked for.
        (_, Observed::Unknown) | (Expectation::Denied, Observed::Unreachable) => Says::Nothing,
        (Expectation::Reachable, Observed::Denied | Observed::Unreachable)
        | (Expectation::Denied, Observed::Reachable) => match verdict.confidence {
            Confidence::Confirmed => Says::Violated,
            Confidence::Likely => Says::SeemsViolated,
            Confidence::Suspected => Says::Waits,
        },
    }
}

/// The outcome for the pair: a proven violation counts at once, another one when it repeats, and until then
/// the outcome before stands. So it does after a failure until the expectation is met often enough, whatever said
/// nothing in between. `run` includes the walk that `verdict` is about.
pub fn outcome(expect: Expectation, verdict: &Verdict, run: Run, thresholds: Thresholds) -> Outcome {
    match says(expect, verdict) {
        Says::Nothing => Outcome::Unknown,
        Says::Violated => Outcome::Failed,
        Says::SeemsViolated if run.failures >= thresholds.failures => Outcome::Failed,
        Says::SeemsViolated | Says::Waits => run.previous.unwrap_or(Outcome::Unknown),
        Says::Met if run.decided == Some(Outcome::Failed) && run.successes < thresholds.successes => {
            run.previous.unwrap_or(Outcome::Unknown)
        }
        Says::Met => Outcome::AsExpected,
    }
}

#[cfg(test)]
mod tests;
