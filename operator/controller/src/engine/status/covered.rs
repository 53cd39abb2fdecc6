//! The Covered condition: whether all selected pods report.

use peerwalk_api::ConnectivityCheck;
use peerwalk_api::condition::ConditionStatus;
use peerwalk_model::Reason;
use peerwalk_model::verdict::{Topic, Verdict};

use super::ready::{Said, begins, good_templates};
use super::{PairView, Round, headline};
use crate::engine::select::Selection;

/// The Covered condition.
pub(super) fn covered(check: &ConnectivityCheck, round: &Round<'_>) -> Said {
    let selection = round.selection;
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
            format!("no running pod is selected{}", paused(round)),
        );
    }
    if without > 0 {
        let message = format!(
            "{without} of {running} selected pods run without the sidecar{}{}; {}",
            skipped(selection),
            paused(round),
            how_to_inject(without, selection.not_injectable)
        );
        return Said::new(ConditionStatus::False, Reason::NotInjected.code(), message);
    }
    if let Some(first) = silent.first() {
        let why = way_to_hub(&first.shown).unwrap_or_else(|| headline(&first.shown));
        let message = format!("{} of {sampled} pods do not report; {}: {why}", silent.len(), first.pod);
        return Said::new(ConditionStatus::False, Reason::NotReporting.code(), message);
    }
    let good = good_templates(round);
    if round.pairs.iter().any(|pair| !pair.complete || begins(pair, &good)) {
        return Said::new(
            ConditionStatus::Unknown,
            Reason::Probing.code(),
            "not every pod has completed its first round",
        );
    }
    let message = if sampled < running {
        format!(
            "{sampled} of {sampled} sampled pods report, of {running} selected{}",
            of_templates(selection)
        )
    } else {
        format!("{sampled} of {running} selected pods report")
    };
    Said::new(ConditionStatus::True, "AllReporting", message)
}

/// The policies that close the way to the hub, and the rules to add: who reads this is the one who can add them.
fn way_to_hub(verdict: &Verdict) -> Option<String> {
    let policy = verdict.line(Topic::Policy)?;
    let fixes = verdict.because.iter().filter(|because| because.topic == Topic::Fix);
    Some(fixes.fold(policy.to_owned(), |told, fix| format!("{told}; {}", fix.text)))
}

/// What a pod without a sidecar was told when it was made. Anybody who may make pods may have written it.
fn skipped(selection: &Selection) -> String {
    const LONGEST: usize = 240;
    selection.skipped.as_ref().map_or_else(String::new, |(pod, why)| {
        let why: String = why.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        format!("; {pod} was left without it over {why}")
    })
}

/// That no pod gets a sidecar for now, and why.
pub(super) fn paused(round: &Round<'_>) -> String {
    round.paused.map_or_else(String::new, |why| format!("; injection is paused: {why}"))
}

/// What to do about pods without a sidecar, where some may be unable to have one.
pub(super) fn how_to_inject(without: usize, not_injectable: usize) -> String {
    const LEAVE_OUT: &str = "share their node's network or run Windows and cannot have it: leave them out of spec.source.podSelector";
    let remedy = Reason::NotInjected.remedy();
    match not_injectable {
        0 => remedy.to_owned(),
        all if all == without => format!("they {LEAVE_OUT}"),
        some => format!("{some} of them {LEAVE_OUT}. {remedy}"),
    }
}

/// How many templates are tried, where that is not all of them.
fn of_templates(selection: &Selection) -> String {
    let tried = selection.templates.values().filter(|t| t.sampled).count();
    match selection.templates.values().filter(|t| t.injected > 0).count() {
        all if tried < all => format!("; they are of the newest {tried} of {all} templates"),
        _ => String::new(),
    }
}

fn silent_pods<'a>(round: &'a Round<'_>) -> Vec<&'a PairView<'a>> {
    let mut silent: Vec<&PairView<'_>> = Vec::new();
    for pair in round.pairs.iter().filter(|pair| !pair.reports) {
        if silent.last().is_none_or(|last| last.pod != pair.pod) {
            silent.push(pair);
        }
    }
    silent
}
