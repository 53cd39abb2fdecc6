//! The rows of a status: one a target, failures first.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use peerwalk_api::condition::clamp;
use peerwalk_api::status::{MAX_ROW_MESSAGE, MAX_SAMPLE, PodCounts, TargetStatus};
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus};
use peerwalk_model::verdict::{Because, Topic};
use peerwalk_model::{Confidence, Outcome};

use super::{PairView, Round, headline, number};

/// Pods of which a row shows what they saw.
const SAMPLED_PODS: usize = 2;

/// The worst pair of each failing target, the worst target first: by confidence, then by the number of pods,
/// then in the order of the spec.
pub(super) fn failing<'a>(check: &ConnectivityCheck, round: &'a Round<'_>) -> Vec<(usize, &'a PairView<'a>)> {
    let mut worst: Vec<(usize, usize, &PairView<'_>)> = (0..check.spec.targets.len())
        .filter_map(|position| {
            let failed: Vec<&PairView<'_>> =
                of(round, position).filter(|p| p.outcome == Outcome::Failed).collect();
            let pair = failed.iter().max_by_key(|pair| pair.shown.confidence)?;
            Some((position, failed.len(), *pair))
        })
        .collect();
    worst.sort_by_key(|(position, pods, pair)| {
        (std::cmp::Reverse(pair.shown.confidence), std::cmp::Reverse(*pods), *position)
    });
    worst.into_iter().map(|(position, _, pair)| (position, pair)).collect()
}

/// The rows, failures first, then what is not known, then the rest; in each the order of the spec.
pub(super) fn rows(
    check: &ConnectivityCheck,
    round: &Round<'_>,
    before: &ConnectivityCheckStatus,
    now: &Time,
) -> Vec<TargetStatus> {
    if check.spec.suspend {
        return Vec::new();
    }
    let mut rows: Vec<(Outcome, TargetStatus)> = check
        .spec
        .targets
        .iter()
        .enumerate()
        .filter_map(|(position, target)| {
            let pairs: Vec<&PairView<'_>> = of(round, position).collect();
            row(&target.name, &pairs, before, now)
        })
        .collect();
    rows.sort_by_key(|(outcome, _)| *outcome);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn of<'a>(round: &'a Round<'_>, position: usize) -> impl Iterator<Item = &'a PairView<'a>> {
    round.pairs.iter().filter(move |pair| pair.target == position)
}

fn row(
    name: &str,
    pairs: &[&PairView<'_>],
    before: &ConnectivityCheckStatus,
    now: &Time,
) -> Option<(Outcome, TargetStatus)> {
    let worst = pairs.iter().min_by_key(|pair| (pair.outcome, std::cmp::Reverse(pair.shown.confidence)))?;
    let count = |outcome: Outcome| number(pairs.iter().filter(|pair| pair.outcome == outcome).count());
    let shown = &worst.shown;
    let mut row = TargetStatus {
        name: name.to_owned(),
        outcome: worst.outcome.into(),
        observed: shown.observed.into(),
        reason: shown.reason.map(|reason| reason.code().to_owned()),
        stage: Some(shown.stage.into()),
        confidence: (shown.reason.is_some() || shown.confidence != Confidence::Confirmed)
            .then(|| shown.confidence.into()),
        since: Some(now.clone()),
        pods: PodCounts {
            as_expected: count(Outcome::AsExpected),
            failed: count(Outcome::Failed),
            unknown: count(Outcome::Unknown),
        },
        policy: shown.policy.clone().map(Into::into),
        message: clamp(&headline(shown), MAX_ROW_MESSAGE),
        samples: Vec::new(),
    };
    let old = before.targets.iter().find(|old| old.name == row.name && old.outcome == row.outcome);
    if let Some(old) = old {
        row.since.clone_from(&old.since);
    }
    match old.filter(|old| old.reason == row.reason) {
        // Samples are frozen at the transition: another pod's view of the same is no news.
        Some(old) => row.samples.clone_from(&old.samples),
        None if worst.outcome != Outcome::AsExpected => row.samples = samples(pairs, worst.outcome),
        None => {}
    }
    Some((worst.outcome, row))
}

/// What single pods saw: the lines of the explanation that the row's message leaves out.
fn samples(pairs: &[&PairView<'_>], outcome: Outcome) -> Vec<String> {
    let told = pairs.iter().filter(|pair| pair.outcome == outcome).take(SAMPLED_PODS);
    told.flat_map(|pair| {
        let lines = pair.shown.because.iter().filter(|because| worth_showing(because));
        lines.map(|because| {
            clamp(&format!("{} {}: {}", pair.pod.name, because.topic, because.text), MAX_SAMPLE)
        })
    })
    .collect()
}

fn worth_showing(because: &Because) -> bool {
    matches!(
        because.topic,
        Topic::Connect | Topic::Alive | Topic::Path | Topic::Fix | Topic::Missing | Topic::Route
    )
}
