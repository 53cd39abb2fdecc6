//! The outages of a status: the ones it has, what its rows begin and end, and what sidecars told of gaps.
//!
//! An outage is one target that was as expected and is not. It stays the same while it lasts, whoever judges: replicas
//! that take over find it in the stored status, and what sidecars tell again falls into its time.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use peerwalk_api::status::{MAX_OUTAGES, Outage, Outcome as RowOutcome, TargetStatus};
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus};
use peerwalk_model::{Reason, Timestamp};

use super::{WANTS_REPORTS, jiff, moment};
use crate::engine::outages::{Gaps, ToldOutage};

/// Outages of a target that are nearer than this are one: what pods tell, and what is judged of it, is some walks apart.
const NEAR: Duration = Duration::from_secs(30);

/// The outages after these rows, the latest last.
pub(super) fn outages(
    check: &ConnectivityCheck,
    rows: &[TargetStatus],
    gaps: &Gaps,
    before: &ConnectivityCheckStatus,
) -> Vec<Outage> {
    let named = |name: &str| check.spec.targets.iter().any(|target| target.name == name);
    let mut all: Vec<Outage> = before.outages.iter().filter(|old| named(&old.target)).cloned().collect();
    for row in rows {
        follow(&mut all, row, gaps, before);
    }
    let mut told: Vec<&ToldOutage> = gaps.over().filter(|told| named(&told.target)).collect();
    told.sort_by_key(|told| told.start);
    for told in told {
        if !all.iter().any(|known| is_the_same(known, told)) {
            all.push(Outage {
                target: told.target.clone(),
                start: time(told.start),
                end: Some(time(told.end)),
                reason: None,
                stage: Some(told.stage.into()),
            });
        }
    }
    all.sort_by(|a, b| (a.start.0, &a.target).cmp(&(b.start.0, &b.target)));
    all.drain(..all.len().saturating_sub(MAX_OUTAGES));
    all
}

/// What a row begins, goes on with, or ends.
fn follow(all: &mut Vec<Outage>, row: &TargetStatus, gaps: &Gaps, before: &ConnectivityCheckStatus) {
    let open = all.iter_mut().rev().find(|known| known.target == row.name && known.end.is_none());
    let since = row.since.as_ref().map(moment).unwrap_or_default();
    match (open, is_down(row)) {
        (Some(open), true) => {
            open.reason.clone_from(&row.reason);
            open.stage = row.stage;
        }
        (Some(open), false) if row.outcome == RowOutcome::AsExpected => {
            let start = moment(&open.start);
            let told = gaps.back_at(&row.name).filter(|back| *back >= start && *back < since);
            // A clock that was set back may have it end before it began.
            open.end = Some(time(told.unwrap_or(since).max(start)));
        }
        (None, true) if was_met(row, gaps, before) => {
            let told = gaps.broken_since(&row.name).filter(|broken| *broken < since);
            all.push(Outage {
                target: row.name.clone(),
                start: time(told.unwrap_or(since)),
                end: None,
                reason: row.reason.clone(),
                stage: row.stage,
            });
        }
        _ => {}
    }
}

/// Whether a target is not as expected. That nobody tells is no outage of the target.
fn is_down(row: &TargetStatus) -> bool {
    let silent = |code: &str| {
        let reasons = WANTS_REPORTS.into_iter().chain([Reason::NotInjected, Reason::NoSourcePods]);
        reasons.into_iter().any(|reason| reason.code() == code)
    };
    match row.outcome {
        RowOutcome::Failed => true,
        RowOutcome::Unknown => row.reason.as_deref().is_some_and(|code| !silent(code)),
        RowOutcome::AsExpected => false,
    }
}

/// Whether the target of a row was as expected before. What never worked is no outage.
fn was_met(row: &TargetStatus, gaps: &Gaps, before: &ConnectivityCheckStatus) -> bool {
    let stored = before.targets.iter().find(|old| old.name == row.name);
    stored.is_some_and(|old| old.outcome == RowOutcome::AsExpected) || gaps.met.contains(&row.name)
}

/// Whether what a sidecar told is an outage that is known already, as it is sent again until it is acknowledged, and by
/// every pod that met it.
fn is_the_same(known: &Outage, told: &ToldOutage) -> bool {
    let ends = known.end.as_ref().map(moment);
    known.target == told.target
        && moment(&known.start).minus(NEAR) <= told.end
        && ends.is_none_or(|end| told.start.minus(NEAR) <= end)
}

/// As the API stores times.
fn time(at: Timestamp) -> Time {
    Time(jiff(at))
}

#[cfg(test)]
mod tests;
