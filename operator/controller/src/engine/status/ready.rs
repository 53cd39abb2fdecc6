//! The Ready condition.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use peerwalk_api::condition::{ConditionStatus, MAX_MESSAGE, clamp};
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus, Target};
use peerwalk_model::address::never_dialled;
use peerwalk_model::{Outcome, PodRef, Reason};

use super::covered::{how_to_inject, paused};
use super::{PairView, Round, WANTS_REPORTS, headline, rows};
use crate::engine::url::Authority;
use crate::sample;

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
    pub(super) fn new(
        status: ConditionStatus,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { status, reason: reason.into(), message: message.into(), suspended: false, hopeless: false }
    }

    /// The condition that holds for the same reason, or does not hold.
    pub(super) fn when(&self, holds: bool, otherwise: &str) -> Self {
        if holds {
            Self { status: ConditionStatus::True, ..self.clone() }
        } else {
            Self::new(ConditionStatus::False, otherwise, "")
        }
    }

    fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::Unknown, reason.code(), message)
    }
}

/// The Ready condition, by the first of these that applies.
pub(super) fn ready(check: &ConnectivityCheck, round: &Round<'_>) -> Said {
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

fn not_allowed(check: &ConnectivityCheck, round: &Round<'_>) -> Option<Said> {
    let by_configuration = round.allowed.iter().position(|allowed| !allowed);
    let by_sidecar = || round.pairs.iter().find(|p| p.shown.reason == Some(Reason::TargetNotAllowed));
    let (position, words) = match by_configuration {
        Some(position) => (position, None),
        None => by_sidecar().map(|pair| (pair.target, Some(headline(&pair.shown))))?,
    };
    let target = check.spec.targets.get(position)?;
    let words = words.unwrap_or_else(|| why_not_allowed(target).to_owned());
    let message = format!("{}: {words}", target.name);
    let said = Said::new(ConditionStatus::False, Reason::TargetNotAllowed.code(), message);
    Some(Said { hopeless: true, ..said })
}

/// What to do about a target that the configuration does not allow; for some, allowing it would not help.
fn why_not_allowed(target: &Target) -> &'static str {
    let address = target.url.as_deref().and_then(|url| Authority::of(url).host.parse::<IpAddr>().ok());
    if address.is_some_and(never_dialled) {
        "loopback, link-local, multicast and metadata addresses are never dialled; correct the url"
    } else {
        "the operator's configuration does not allow this target; ask for it to be added to allowedTargets"
    }
}

fn failed(check: &ConnectivityCheck, round: &Round<'_>) -> Option<Said> {
    let worst = rows::failing(check, round);
    let (position, pair) = worst.first()?;
    let name = &check.spec.targets.get(*position)?.name;
    let more = match worst.len() - 1 {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    // However long the first is, that there are more must be told.
    let first = clamp(&format!("{name}: {}", headline(&pair.shown)), MAX_MESSAGE - more.len());
    let reason = pair.shown.reason.unwrap_or(Reason::UnexpectedlyReachable);
    Some(Said::new(ConditionStatus::False, reason.code(), format!("{first}{more}")))
}

fn no_source_pods(check: &ConnectivityCheck, round: &Round<'_>) -> Option<Said> {
    let (running, least) = (round.selection.running, check.spec.source.min_pods);
    (super::number(running) < least).then(|| {
        Said::unknown(
            Reason::NoSourcePods,
            format!("{running} running pods match spec.source.podSelector, at least {least} are asked for"),
        )
    })
}

fn roots_missing(round: &Round<'_>) -> Option<Said> {
    let (map, entry, error) = round.roots_missing.first()?;
    let message = format!("the roots in entry {entry} of ConfigMap {map} cannot be used: {error}");
    Some(Said::unknown(Reason::NotProven, message))
}

/// Pairs of which a walk says nothing certain, so that more walks of the same kind will not help.
fn unproven(check: &ConnectivityCheck, round: &Round<'_>) -> Option<Said> {
    let good = good_templates(round);
    let uncertain = |pair: &&PairView<'_>| pair.outcome == Outcome::Unknown && pair.complete;
    let pair = round.pairs.iter().filter(uncertain).find(|pair| !begins(pair, &good))?;
    let name = &check.spec.targets.get(pair.target)?.name;
    let reason = pair.shown.reason.unwrap_or(Reason::Probing);
    Some(Said::unknown(reason, format!("{name}: {}", headline(&pair.shown))))
}

/// Every template that counts needs one pod with a complete fresh round; what the other pods of the template
/// lack is told by Covered.
fn incomplete(round: &Round<'_>) -> Option<Said> {
    let selection = round.selection;
    if selection.sampled.is_empty() && !selection.templates.is_empty() {
        return Some(match selection.running {
            0 => Said::unknown(Reason::Probing, "no matching pod runs yet"),
            running => no_sidecar(round, running, selection.not_injectable, "running pods"),
        });
    }
    let good = good_templates(round);
    let name = selection.counting().find(|name| !good.contains(name))?;
    let template = selection.templates.get(name)?;
    if template.running > 0 && template.injected == 0 {
        let not_injectable = if template.injectable { 0 } else { template.running };
        return Some(no_sidecar(round, template.running, not_injectable, "running pods of one template"));
    }
    let pair = round.pairs.iter().find(|pair| pair.template == name && !pair.complete);
    Some(pair.map_or_else(
        || Said::unknown(Reason::Probing, "pods of a new template are not yet walking"),
        |pair| {
            let reason = pair.shown.reason.filter(|r| WANTS_REPORTS.contains(r)).unwrap_or(Reason::Probing);
            Said::unknown(reason, format!("{}: {}", pair.pod, headline(&pair.shown)))
        },
    ))
}

fn no_sidecar(round: &Round<'_>, running: usize, not_injectable: usize, which: &str) -> Said {
    let (remedy, paused) = (how_to_inject(running, not_injectable), paused(round));
    let message = format!("none of {running} {which} has the sidecar{paused}; {remedy}");
    Said::unknown(Reason::NotInjected, message)
}

/// Whether a pair is one of a pod that has only begun, beside another of its template that is as expected in
/// everything: what its first walks leave open is told by Covered.
pub(super) fn begins(pair: &PairView<'_>, good: &BTreeSet<&str>) -> bool {
    pair.young && pair.outcome == Outcome::Unknown && good.contains(pair.template)
}

/// Templates of which at least one pod is as expected in everything.
pub(super) fn good_templates<'a>(round: &Round<'a>) -> BTreeSet<&'a str> {
    let mut pods: BTreeMap<&PodRef, (&str, bool)> = BTreeMap::new();
    for pair in &round.pairs {
        pods.entry(pair.pod).or_insert((pair.template, true)).1 &= pair.outcome == Outcome::AsExpected;
    }
    pods.into_values().filter(|(_, good)| *good).map(|(template, _)| template).collect()
}

/// Whether a template that was not among those that `base` is said of lacks its round, as in a rollout. Ages
/// of pods do not tell: those of a template are replaced one by one when nodes are drained.
pub(in crate::engine) fn rolls_out(round: &Round<'_>, base: &ConnectivityCheckStatus) -> bool {
    let good = good_templates(round);
    let mut new = round.selection.counting().filter(|name| !known(base, name));
    new.any(|name| !good.contains(name))
}

/// Whether a status was said of a template too.
pub(super) fn known(status: &ConnectivityCheckStatus, template: &str) -> bool {
    status.observed_templates.contains(&short(template))
}

/// What stands for a template in a status: names may be long.
pub(super) fn short(template: &str) -> String {
    format!("{:08x}", sample::weight("template", template) >> 32)
}

fn as_expected(round: &Round<'_>) -> Said {
    let met = round.pairs.iter().filter(|pair| pair.outcome == Outcome::AsExpected).count();
    let message = match round.pairs.len() {
        0 => "no pods are selected, and none are asked for".to_owned(),
        n if n == met => format!("all {n} pairs of source pod and target are as expected"),
        n => format!("{met} of {n} pairs of source pod and target are as expected; Covered has the others"),
    };
    Said::new(ConditionStatus::True, "AsExpected", message)
}
