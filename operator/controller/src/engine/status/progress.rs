//! How long something has been missing. What is missing for longer than the check allows makes it Stalled.

use std::collections::BTreeSet;

use peerwalk_api::condition::{ConditionStatus, READY, RECONCILING, STALLED};
use peerwalk_api::{Condition, ConnectivityCheck, ConnectivityCheckStatus};
use peerwalk_model::Timestamp;

use super::ready::{Said, known};
use super::{Round, moment};

/// Since when Ready has been Unknown, and for what. Kept from one judging to the next.
#[derive(Debug, Default)]
pub struct Progress {
    waits: Option<Waits>,
}

#[derive(Debug)]
struct Waits {
    since: Timestamp,
    generation: Option<i64>,
    templates: BTreeSet<String>,
}

impl Progress {
    /// Whether something has been missing for longer than the check allows. What cannot work is stalled at
    /// once. Another spec or another template of the source pods has the whole time again.
    pub(super) fn stalled(
        &mut self,
        check: &ConnectivityCheck,
        round: &Round<'_>,
        said: &Said,
        before: &ConnectivityCheckStatus,
        now: Timestamp,
    ) -> bool {
        if said.status != ConditionStatus::Unknown || said.suspended {
            self.waits = None;
            return said.hopeless;
        }
        let generation = check.metadata.generation;
        let templates: BTreeSet<String> = round.selection.templates.keys().cloned().collect();
        let since = match &self.waits {
            Some(waits) if waits.generation == generation && templates.is_subset(&waits.templates) => {
                waits.since
            }
            Some(_) => now,
            None => stored(check, round, before, now).unwrap_or(now),
        };
        self.waits = Some(Waits { since, generation, templates });
        now.since(since) >= check.spec.progress_deadline.get()
    }
}

/// Since when the operator waited before it was started again. Ready may have been Unknown for longer:
/// Reconciling turns True whenever the time begins anew, and Stalled when it is over. A stored moment that is yet to
/// come is of a clock that was set since, and one of before it was set says nothing of how long is waited.
fn stored(
    check: &ConnectivityCheck,
    round: &Round<'_>,
    before: &ConnectivityCheckStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let generation = check.metadata.generation;
    let holds = |type_: &str, status: ConditionStatus| -> Option<&Condition> {
        before.condition(type_).filter(|c| c.status == status && c.observed_generation == generation)
    };
    holds(READY, ConditionStatus::Unknown)?;
    if let Some(stalled) = holds(STALLED, ConditionStatus::True) {
        // Stalled says that nothing has begun anew since; other pods of the same templates are no beginning.
        let began = moment(&stalled.last_transition_time).min(now);
        let over = began.minus(check.spec.progress_deadline.get());
        return round.selection.counting().all(|name| known(before, name)).then_some(over);
    }
    let since = moment(&holds(RECONCILING, ConditionStatus::True)?.last_transition_time);
    let youngest = round.selection.templates.values().map(|template| template.born).max();
    let since = youngest.into_iter().chain(round.set_at).fold(since, Timestamp::max);
    Some(since.min(now))
}
