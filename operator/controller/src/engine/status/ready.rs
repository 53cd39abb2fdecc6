//! The Ready and Covered conditions.

use std::collections::BTreeMap;

use peerwalk_api::ConnectivityCheck;
use peerwalk_api::condition::ConditionStatus;
use peerwalk_model::{Outcome, Reason};

use super::{PairView, Round, WANTS_REPORTS, headline, rows};

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
    /// The check rests.
    pub suspended: bool,
    /// The spec cannot work as it is; waiting does not help.
    pub hopeless: bool,
}

impl Said {
    fn new(status: ConditionStatus, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), message: message.into(), suspended: false, hopeless: false }
    }

    fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::Unknown, reason.code(), message)
    }
}

/// The Ready condition, by the first of these that applies.
pub(super) fn ready(check: &ConnectivityCheck, round: &Round) -> Said {
    suspended(check)
        .or_else(|| not_allowed(check, round))
        .or_else(|| failed(check, round))
        .or_else(|| no_source_pods(check, round))
        .or_else(|| roots_missing(round))
        .or_else(|| unproven(check, round))
        .or_else(|| incomplete(round))
        .unwrap_or_else(|| as_expected(round))
}

fn suspended(check: &ConnectivityCheck) -> Option<Said> {
    check.spec.suspend.then(|| Said {
        suspended: true,
        ..Said::new(
            ConditionStatus::Unknown,
            "Suspended",
            "checking rests; set spec.suspend to false to go on",
        )
    })
}

fn not_allowed(check: &ConnectivityCheck, round: &Round) -> Option<Said> {
    let by_configuration = round.allowed.iter().position(|allowed| !allowed);
    let by_sidecar =
        round.pairs.iter().find(|p| p.shown.reason == Some(Reason::TargetNotAllowed)).map(|p| p.target);
    let target = check.spec.targets.get(by_configuration.or(by_sidecar)?)?;
    let message = format!(
        "{}: the operator's configuration does not allow this target; ask for it to be added to allowedTargets",
        target.name
    );
    let said = Said::new(ConditionStatus::False, Reason::TargetNotAllowed.code(), message);
    Some(Said { hopeless: true, ..said })
}

fn failed(check: &ConnectivityCheck, round: &Round) -> Option<Said> {
    let worst = rows::failing(check, round);
    let (position, pair) = worst.first()?;
    let name = &check.spec.targets.get(*position)?.name;
    let more = match worst.len() - 1 {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    let reason = pair.shown.reason.unwrap_or(Reason::UnexpectedlyReachable);
    Some(Said::new(ConditionStatus::False, reason.code(), format!("{name}: {}{more}", headline(&pair.shown))))
}

fn no_source_pods(check: &ConnectivityCheck, round: &Round) -> Option<Said> {
    let (running, least) = (round.selection.running, check.spec.source.min_pods);
    (super::number(running) < least).then(|| {
        Said::unknown(
            Reason::NoSourcePods,
            format!("{running} running pods match spec.source.podSelector, at least {least} are asked for"),
        )
    })
}

fn roots_missing(round: &Round) -> Option<Said> {
    let (map, entry, error) = round.roots_missing.first()?;
    let message = format!("the roots in entry {entry} of ConfigMap {map} cannot be used: {error}");
    Some(Said::unknown(Reason::NotProven, message))
}

/// Pairs of which a walk says nothing certain, so that more walks of the same kind will not help.
fn unproven(check: &ConnectivityCheck, round: &Round) -> Option<Said> {
    let pair = round.pairs.iter().find(|pair| pair.outcome == Outcome::Unknown && pair.complete)?;
    let name = &check.spec.targets.get(pair.target)?.name;
    let reason = pair.shown.reason.unwrap_or(Reason::Probing);
    Some(Said::unknown(reason, format!("{name}: {}", headline(&pair.shown))))
}

/// Every template among the source pods needs one pod with a complete fresh round; what the other pods of
/// the template lack is told by Covered.
fn incomplete(round: &Round) -> Option<Said> {
    if !round.selection.templates.is_empty() && round.selection.sampled.is_empty() {
        return Some(no_sidecar(round));
    }
    let mut by_template: BTreeMap<&str, Vec<&PairView>> = BTreeMap::new();
    for template in round.selection.templates.keys() {
        by_template.insert(template, Vec::new());
    }
    for pair in &round.pairs {
        by_template.entry(&pair.template).or_default().push(pair);
    }
    let missing = by_template.into_values().find(|pairs| !has_complete_pod(pairs))?;
    let pair = missing.iter().find(|pair| !pair.complete);
    Some(pair.map_or_else(
        || Said::unknown(Reason::Probing, "pods of a new template are not yet walking"),
        |pair| {
            let reason =
                pair.shown.reason.filter(|r| WANTS_REPORTS.contains(&r.code())).unwrap_or(Reason::Probing);
            Said::unknown(reason, format!("{}: {}", pair.pod, headline(&pair.shown)))
        },
    ))
}

fn no_sidecar(round: &Round) -> Said {
    if round.selection.running == 0 {
        return Said::unknown(Reason::Probing, "no matching pod runs yet");
    }
    Said::unknown(
        Reason::NotInjected,
        format!(
            "none of {} running pods has the sidecar; {}",
            round.selection.running,
            Reason::NotInjected.remedy()
        ),
    )
}

fn has_complete_pod(pairs: &[&PairView]) -> bool {
    pairs.iter().any(|one| pairs.iter().filter(|pair| pair.pod == one.pod).all(|pair| pair.complete))
}

fn as_expected(round: &Round) -> Said {
    let message = match round.pairs.len() {
        0 => "no pods are selected, and none are asked for".to_owned(),
        n => format!("all {n} pairs of source pod and target are as expected"),
    };
    Said::new(ConditionStatus::True, "AsExpected", message)
}

/// The Covered condition.
pub(super) fn covered(check: &ConnectivityCheck, round: &Round) -> Said {
    let selection = &round.selection;
    let (running, without) = (selection.running, selection.not_injected.len());
    let sampled = selection.sampled.len();
    let silent = silent_pods(round);
    if check.spec.suspend {
        return Said::new(ConditionStatus::Unknown, "Suspended", "");
    }
    if running == 0 {
        return Said::new(
            ConditionStatus::Unknown,
            Reason::NoSourcePods.code(),
            "no running pod is selected",
        );
    }
    if without > 0 {
        let message = format!(
            "{without} of {running} selected pods run without the sidecar; {}",
            Reason::NotInjected.remedy()
        );
        return Said::new(ConditionStatus::False, Reason::NotInjected.code(), message);
    }
    if let Some(first) = silent.first() {
        let message = format!(
            "{} of {sampled} pods do not report; {}: {}",
            silent.len(),
            first.pod,
            headline(&first.shown)
        );
        return Said::new(ConditionStatus::False, Reason::NotReporting.code(), message);
    }
    if !round.pairs.iter().all(|pair| pair.complete) {
        return Said::new(
            ConditionStatus::Unknown,
            Reason::Probing.code(),
            "not every pod has completed its first round",
        );
    }
    let message = if sampled < running {
        format!("{sampled} of {sampled} sampled pods report, of {running} selected")
    } else {
        format!("{sampled} of {running} selected pods report")
    };
    Said::new(ConditionStatus::True, "AllReporting", message)
}

fn silent_pods(round: &Round) -> Vec<&PairView> {
    let mut silent: Vec<&PairView> = Vec::new();
    for pair in round.pairs.iter().filter(|pair| !pair.reports) {
        if silent.last().is_none_or(|last| last.pod != pair.pod) {
            silent.push(pair);
        }
    }
    silent
}
