//! What a check says to one who waits. Pure.

use jiff::Timestamp;
use peerwalk_api::CheckResult;
use peerwalk_api::condition::{Condition, ConditionStatus, STALLED};

use crate::check::Check;
use crate::print::clean;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Every expectation is met.
    Ready(String),
    /// One is violated.
    Failed {
        /// The code.
        reason: String,
        /// In words.
        message: String,
    },
    /// Neither, and waiting will not help.
    Undecided(String),
    /// Nothing that counts; what is waited for.
    NotYet(String),
}

/// What stood in the status before the waiting began. The times are only compared with each other, all of the
/// operator's clock: clocks of different machines tell nothing of what was first.
#[derive(Clone, Debug)]
pub(super) struct Before {
    ready: Option<(ConditionStatus, Timestamp)>,
    stalled: Option<(ConditionStatus, Timestamp)>,
}

impl Before {
    pub(super) fn of(check: &Check) -> Self {
        let state = |condition: &Condition| (condition.status, condition.last_transition_time.0);
        Self { ready: check.ready().map(state), stalled: check.status.condition(STALLED).map(state) }
    }
}

/// What a check says, where only what is different from `before` counts.
pub(super) fn said(check: &Check, before: Option<&Before>) -> Said {
    let (status, generation) = (&check.status, check.generation);
    let Some(ready) = check.ready() else {
        return Said::NotYet("no operator has judged the check".to_owned());
    };
    if matches!(status.observed_generation, None | Some(-1)) {
        return Said::NotYet("no operator has judged the check".to_owned());
    }
    if !check.current {
        return Said::NotYet(format!("generation {generation} has not been judged"));
    }
    let message = clean(&ready.message);
    if status.result == CheckResult::Suspended {
        return Said::Undecided(message);
    }
    let old = |was: Option<(ConditionStatus, Timestamp)>, is: &Condition| {
        was.is_some_and(|was| was == (is.status, is.last_transition_time.0))
    };
    let stalled = status.condition(STALLED).filter(|stalled| stalled.status == ConditionStatus::True);
    match ready.status {
        ConditionStatus::Unknown => {
            let reason = clean(&ready.reason);
            let stuck = stalled.is_some_and(|stalled| !old(before.and_then(|b| b.stalled), stalled));
            let words = format!("{reason}: {message}");
            if stuck { Said::Undecided(words) } else { Said::NotYet(words) }
        }
        _ if old(before.and_then(|b| b.ready), ready) => Said::NotYet(format!(
            "Ready is {}, as it was before this began, and a status is only written when something changes",
            ready.status.as_str()
        )),
        ConditionStatus::True => Said::Ready(message),
        ConditionStatus::False => Said::Failed { reason: clean(&ready.reason), message },
    }
}

#[cfg(test)]
mod tests;
