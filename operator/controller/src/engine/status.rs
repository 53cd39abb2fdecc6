//! From what was said of each pair to the status of the check: conditions, counts, rows, samples. Pure.

mod covered;
mod outages;
mod progress;
mod ready;
mod redact;
mod rows;

use std::borrow::Cow;
use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp as Jiff;
use peerwalk_api::condition::{COVERED, ConditionStatus, READY, RECONCILING, STALLED, find, merge};
use peerwalk_api::{CheckResult, Condition, ConnectivityCheck, ConnectivityCheckStatus, Summary};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Outcome, PodRef, Reason, Timestamp, Verdict};

use super::checks::PairState;
use super::outages::Gaps;
use super::select::Selection;
use crate::cluster::record::{Pod, UnreadableCheck};

pub use progress::Progress;
use ready::Said;
pub(super) use ready::rolls_out;
pub(super) use redact::Discretion;

/// The conditions that are ours, in the order in which they are written.
const OURS: [&str; 4] = [READY, RECONCILING, STALLED, COVERED];

/// Reasons of an Unknown that the return of sidecars ends.
const WANTS_REPORTS: [Reason; 3] = [Reason::NotReporting, Reason::Probing, Reason::ResultsStale];

/// Everything a status is made of.
#[derive(Clone, Debug)]
pub(super) struct Round<'a> {
    pub selection: &'a Selection,
    /// For each target, whether the operator's configuration allows it at all.
    pub allowed: Vec<bool>,
    /// ConfigMaps of roots that could not be read: name, entry, why.
    pub roots_missing: Vec<(String, String, String)>,
    /// Why pods that are made now get no sidecar.
    pub paused: Option<&'a str>,
    pub pairs: Vec<PairView<'a>>,
    /// What sidecars told of the time in which nobody judged.
    pub gaps: &'a Gaps,
    /// When the clock was last set.
    pub set_at: Option<Timestamp>,
}

/// One pair, as the status sees it.
#[derive(Clone, Debug)]
pub(super) struct PairView<'a> {
    pub pod: &'a PodRef,
    pub template: &'a str,
    pub target: usize,
    pub reports: bool,
    /// The sidecar has been heard: it is attached, or was and may come back.
    pub heard: bool,
    /// There is fresh evidence, or an answer that needs none.
    pub complete: bool,
    /// The pod has run for less than something may be missing.
    pub young: bool,
    pub outcome: Outcome,
    pub shown: Cow<'a, Verdict>,
}

impl<'a> PairView<'a> {
    pub(super) fn new(
        pod: &'a Pod,
        target: usize,
        state: &'a PairState,
        young: bool,
        discretion: &Discretion<'_>,
    ) -> Self {
        let wants = state.verdict.reason.is_some_and(|reason| WANTS_REPORTS.contains(&reason));
        Self {
            pod: &pod.id,
            template: &pod.template,
            target,
            reports: state.reports,
            heard: state.heard,
            complete: !wants && state.verdict.reason != Some(Reason::NotInjected),
            young,
            outcome: state.outcome,
            shown: discretion.shown(&state.shown),
        }
    }
}

/// A stored status as far as it is ours: conditions of other types belong to others.
pub(super) fn ours(mut status: ConnectivityCheckStatus) -> ConnectivityCheckStatus {
    let mut conditions: Vec<Option<Condition>> = status.conditions.into_iter().map(Some).collect();
    let mut take =
        |type_: &str| conditions.iter_mut().find(|c| c.as_ref().is_some_and(|c| c.type_ == type_))?.take();
    status.conditions = OURS.into_iter().filter_map(&mut take).collect();
    status
}

/// The status of a check. Times, rows and samples of `before` stand where nothing changed.
pub(super) fn status(
    check: &ConnectivityCheck,
    round: &Round<'_>,
    before: &ConnectivityCheckStatus,
    progress: &mut Progress,
    now: Timestamp,
) -> ConnectivityCheckStatus {
    let said = ready::ready(check, round);
    let stalled = progress.stalled(check, round, &said, before, now);
    let reconciling = said.status == ConditionStatus::Unknown && !stalled && !said.suspended;
    let covered = covered::covered(check, round);
    let targets = rows::rows(check, round, before, &Time(jiff(now)));
    let status = ConnectivityCheckStatus {
        observed_generation: check.metadata.generation,
        result: match said.status {
            ConditionStatus::True => CheckResult::AsExpected,
            ConditionStatus::False => CheckResult::Failed,
            ConditionStatus::Unknown if said.suspended => CheckResult::Suspended,
            ConditionStatus::Unknown => CheckResult::Unknown,
        },
        summary: Some(summary(check, round)),
        outages: outages::outages(check, &targets, round.gaps, before),
        targets,
        observed_templates: round.selection.counting().map(ready::short).collect(),
        ..ConnectivityCheckStatus::default()
    };
    with_conditions(
        status,
        [said.clone(), said.when(reconciling, "Settled"), said.when(stalled, "Progressing"), covered],
        before,
        now,
    )
    .clamped()
}

/// The status of a check that cannot be read, and since when that is known. Times of `before` stand where
/// nothing changed.
pub(super) fn not_readable(
    check: &UnreadableCheck,
    before: &ConnectivityCheckStatus,
    since: Timestamp,
) -> ConnectivityCheckStatus {
    let message = format!("this check cannot be read and is not carried out: {}", check.error);
    let ready = Said::new(ConditionStatus::False, Reason::NotReadable.code(), message);
    let covered = Said::new(ConditionStatus::Unknown, Reason::NotReadable.code(), "");
    let status = ConnectivityCheckStatus {
        observed_generation: check.generation,
        result: CheckResult::Failed,
        outages: before.outages.clone(),
        ..ConnectivityCheckStatus::default()
    };
    let (reconciling, stalled) = (ready.when(false, "Settled"), ready.when(true, "Progressing"));
    with_conditions(status, [ready, reconciling, stalled, covered], before, since)
}

/// The status with its conditions, in the order of [`OURS`].
fn with_conditions(
    status: ConnectivityCheckStatus,
    said: [Said; 4],
    before: &ConnectivityCheckStatus,
    now: Timestamp,
) -> ConnectivityCheckStatus {
    let generation = status.observed_generation;
    let new = OURS.into_iter().zip(said).map(|(type_, said)| {
        Condition::new(type_, said.status, &said.reason, &said.message, jiff(now)).of_generation(generation)
    });
    let conditions = merge(&before.conditions, new.collect());
    let since = find(&conditions, READY).map(|ready| ready.last_transition_time.clone());
    ConnectivityCheckStatus { conditions, since, ..status }
}

/// Whether time alone may change it.
pub(super) fn waits(status: &ConnectivityCheckStatus) -> bool {
    status.result != CheckResult::AsExpected && status.result != CheckResult::Suspended
        || status.condition(COVERED).is_some_and(|covered| covered.status != ConditionStatus::True)
}

/// The line of an explanation that says most by itself.
pub(super) fn headline(verdict: &Verdict) -> String {
    let topics: &[Topic] = match verdict.reason {
        Some(Reason::PolicyDenied | Reason::PolicyNotEnforced | Reason::PolicyProgramming) => {
            &[Topic::Policy]
        }
        _ if verdict.stage == peerwalk_model::Stage::Route => &[Topic::Route, Topic::Fix, Topic::Missing],
        // What was reached, by the stage that says most of it.
        None | Some(Reason::UnexpectedlyReachable) => {
            &[Topic::Request, Topic::Tls, Topic::Connect, Topic::Resolve]
        }
        Some(
            Reason::NoEndpoints
            | Reason::NoLocalEndpoints
            | Reason::ServiceNotProgrammed
            | Reason::ServicePortNotFound
            | Reason::PartialBackends
            | Reason::HairpinFailed
            | Reason::TargetNotFound,
        ) => &[Topic::Service, Topic::Connect],
        // What was found of a connection that was made.
        Some(reason)
            if reason.stage() == peerwalk_model::reason::ReasonStage::Connect
                && matches!(verdict.stage, peerwalk_model::Stage::Tls | peerwalk_model::Stage::Request) =>
        {
            &[Topic::Request, Topic::Tls]
        }
        Some(Reason::NotProven) => &[Topic::Connect, Topic::Resolve, Topic::Missing],
        Some(reason) => match reason.stage() {
            peerwalk_model::reason::ReasonStage::Resolve => &[Topic::Resolve, Topic::Policy, Topic::Missing],
            peerwalk_model::reason::ReasonStage::Tls => &[Topic::Tls],
            peerwalk_model::reason::ReasonStage::Request => &[Topic::Request],
            peerwalk_model::reason::ReasonStage::Local => &[Topic::Local],
            peerwalk_model::reason::ReasonStage::Coverage => &[Topic::Missing, Topic::Policy, Topic::Fix],
            _ => &[Topic::Connect, Topic::Missing],
        },
    };
    let lines: Vec<&str> = topics.iter().filter_map(|topic| verdict.line(*topic)).take(2).collect();
    if lines.is_empty() {
        let first = verdict.because.first().map(|b| b.text.clone());
        return first.unwrap_or_else(|| verdict.reason.map_or_else(String::new, |r| r.meaning().to_owned()));
    }
    lines.join("; ")
}

fn summary(check: &ConnectivityCheck, round: &Round<'_>) -> Summary {
    let count = |outcome: Outcome| number(round.pairs.iter().filter(|pair| pair.outcome == outcome).count());
    let reporting: BTreeSet<&PodRef> = round.pairs.iter().filter(|p| p.heard).map(|p| p.pod).collect();
    let (as_expected, pairs) = (count(Outcome::AsExpected), number(round.pairs.len()));
    Summary {
        pods: number(round.selection.sampled.len()),
        reporting: number(reporting.len()),
        targets: number(check.spec.targets.len()),
        pairs,
        as_expected,
        failed: count(Outcome::Failed),
        unknown: count(Outcome::Unknown),
        ok: format!("{as_expected}/{pairs}"),
    }
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// In whole seconds, as the API stores times.
fn jiff(now: Timestamp) -> Jiff {
    Jiff::from_second(now.as_millis().div_euclid(1000)).unwrap_or(Jiff::UNIX_EPOCH)
}

/// The moment of a condition.
fn moment(time: &Time) -> Timestamp {
    Timestamp::from_millis(time.0.as_millisecond())
}

#[cfg(test)]
mod tests;
