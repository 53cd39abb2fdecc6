//! A name that does not become addresses.

use peerwalk_model::evidence::{Query, QueryOutcome, Resolve};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};
use peerwalk_netpol::Decision;

use super::unreachable;
use crate::errno::EPERM;
use crate::facts::{GRACE_OF_YOUNG_PODS, TargetFacts};
use crate::policy_text;
use crate::signal::is_prohibition;
use crate::view::View;

/// Resolution failed.
pub(super) fn name(view: &View) -> Option<Verdict> {
    let resolve = view.walk.resolve.as_ref().filter(|resolve| resolve.addresses.is_empty())?;
    if resolve.queries.is_empty() {
        let text = format!("no name server was asked for {}", resolve.name);
        let because = vec![Because::new(Topic::Missing, text)];
        return Some(Verdict::unknown(Reason::DnsTimeout, Stage::Resolve, because));
    }
    let (reason, confidence) = word(resolve);
    let mut because = Vec::new();
    let (reason, confidence) = match reason {
        Reason::DnsTimeout | Reason::DnsDenied => blocked(view, reason, confidence, &mut because),
        _ => (reason, confidence),
    };
    let confidence = match reason {
        Reason::DnsNameNotFound | Reason::DnsNoData => confidence.min(lag(view, &mut because)),
        _ => confidence,
    };
    Some(unreachable(reason, Stage::Resolve, confidence, because))
}

/// A target that is a name alone is reached when the name resolves.
pub(super) fn name_is_the_target(view: &View) -> Option<Verdict> {
    if view.facts.target != TargetFacts::Dns {
        return None;
    }
    view.walk.resolve.as_ref()?;
    Some(Verdict {
        observed: Observed::Reachable,
        reason: None,
        stage: Stage::Resolve,
        confidence: Confidence::Confirmed,
        policy: None,
        because: Vec::new(),
    })
}

/// Whether every question got its answer from some server, and that answer was no address.
pub(super) fn has_no_address(resolve: &Resolve) -> bool {
    resolve.addresses.is_empty()
        && !resolve.queries.is_empty()
        && matches!(word(resolve).0, Reason::DnsNameNotFound | Reason::DnsNoData)
}

/// What the queries say together. A question that one server left open and another answered is answered.
fn word(resolve: &Resolve) -> (Reason, Confidence) {
    let answered = |query: &Query| is_answer(&query.outcome);
    let same = |one: &Query, other: &Query| one.name == other.name && one.record == other.record;
    let open: Vec<&Query> = resolve
        .queries
        .iter()
        .filter(|query| !answered(query))
        .filter(|query| !resolve.queries.iter().any(|other| answered(other) && same(query, other)))
        .collect();
    let any = |wanted: fn(&QueryOutcome) -> bool| open.iter().any(|query| wanted(&query.outcome));
    let all = |wanted: fn(&QueryOutcome) -> bool| open.iter().all(|query| wanted(&query.outcome));
    if open.is_empty() {
        let exists = resolve.queries.iter().any(|query| query.outcome == QueryOutcome::NoData);
        let reason = if exists { Reason::DnsNoData } else { Reason::DnsNameNotFound };
        return (reason, Confidence::Confirmed);
    }
    if all(|outcome| *outcome == QueryOutcome::Refused) {
        return (Reason::DnsRefused, Confidence::Confirmed);
    }
    if any(|outcome| {
        matches!(outcome, QueryOutcome::ServerFailure | QueryOutcome::OtherCode(_) | QueryOutcome::Malformed)
    }) {
        return (Reason::DnsServerFailure, Confidence::Likely);
    }
    if any(|outcome| *outcome == QueryOutcome::Refused) {
        return (Reason::DnsRefused, Confidence::Likely);
    }
    if any(|outcome| *outcome == QueryOutcome::Truncated) {
        return (Reason::DnsTruncatedNoTcp, Confidence::Likely);
    }
    if all(is_denial) {
        return (Reason::DnsDenied, Confidence::Likely);
    }
    (Reason::DnsTimeout, Confidence::Likely)
}

/// A filter says so: by an ICMP prohibition, or in the pod's own kernel, which tells UDP (`EPERM` from `send()`).
fn is_denial(outcome: &QueryOutcome) -> bool {
    let QueryOutcome::Unreachable { errno, icmp } = outcome else { return false };
    *errno == EPERM || icmp.as_ref().is_some_and(is_prohibition)
}

fn is_answer(outcome: &QueryOutcome) -> bool {
    matches!(outcome, QueryOutcome::Addresses(_) | QueryOutcome::NoData | QueryOutcome::NameNotFound)
}

/// A name server that a policy blocks looks dead: says so, where the decisions do.
fn blocked(
    view: &View,
    reason: Reason,
    confidence: Confidence,
    because: &mut Vec<Because>,
) -> (Reason, Confidence) {
    let current: Vec<&Decision> =
        view.facts.dns.iter().filter_map(|known| known.current()).map(|(_, decision)| decision).collect();
    let Some(first) = current.first() else { return (reason, confidence) };
    let confidence = confidence.min(changed_dns(view));
    if current.iter().any(|decision| decision.is_allowed()) {
        because.push(policy_text::allowance(first));
        return (reason, confidence);
    }
    because.extend(policy_text::denial(first));
    because.extend(policy_text::fixes(first));
    (Reason::DnsDenied, confidence)
}

/// A decision about the name servers that changed during the walk or shortly before leaves it open which of
/// the two was in force.
fn changed_dns(view: &View) -> Confidence {
    let recent = view.facts.dns.iter().any(|known| {
        known.history.len() > 1
            && known.current().is_some_and(|(since, decision)| {
                let before =
                    if decision.is_allowed() { crate::facts::GRACE } else { std::time::Duration::ZERO };
                since.plus(before) > view.pair.started
            })
    });
    if recent { Confidence::Suspected } else { Confidence::Likely }
}

/// Name servers learn of a new Service some time after the API does, and remember that a name was not there.
fn lag(view: &View, because: &mut Vec<Because>) -> Confidence {
    let Some(service) = view.facts.service() else { return Confidence::Confirmed };
    if service.changed.is_some_and(|at| at.plus(GRACE_OF_YOUNG_PODS) > view.pair.started) {
        let text = format!("Service {} changed a moment ago: name servers may not know it yet", service.name);
        because.push(Because::new(Topic::Missing, text));
        return Confidence::Suspected;
    }
    Confidence::Confirmed
}
