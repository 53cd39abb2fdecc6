//! A name that does not become addresses.

mod of_service;

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::evidence::{Query, QueryOutcome, RequestOutcome, Resolve, TlsOutcome};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};
use peerwalk_netpol::Decision;

pub(super) use of_service::unexpected_address;

use super::unreachable;
use crate::errno::EPERM;
use crate::facts::{GRACE_OF_YOUNG_PODS, TargetFacts};
use crate::policy_text;
use crate::proof::unreadable;
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
        Reason::DnsTimeout | Reason::DnsDenied => blocked(view, resolve, (reason, confidence), &mut because),
        _ => (reason, confidence),
    };
    let confidence = match reason {
        Reason::DnsNameNotFound => {
            confidence.min(lag(view, &mut because)).min(of_service::exists(view, resolve, &mut because))
        }
        Reason::DnsRefused => confidence.min(of_service::exists(view, resolve, &mut because)),
        Reason::DnsNoData => confidence.min(lag(view, &mut because)),
        _ => confidence,
    };
    let confidence = match reason {
        Reason::DnsNameNotFound | Reason::DnsRefused | Reason::DnsNoData => {
            confidence.min(said_by_all(view, resolve, &mut because))
        }
        _ => confidence,
    };
    Some(unreachable(reason, Stage::Resolve, confidence, because))
}

/// Whether every name server has spoken, and nobody else in its place: policies of network plugins have rules for names,
/// and their proxies refuse and deny the rest.
fn said_by_all(view: &View, resolve: &Resolve, because: &mut Vec<Because>) -> Confidence {
    let mut confidence = Confidence::Confirmed;
    let open = |query: &&Query| !query.outcome.is_final() && query.outcome != QueryOutcome::Refused;
    if let Some(query) = resolve.queries.iter().find(open) {
        let text = format!("{} left a question open, and may know the name", query.server);
        because.push(Because::new(Topic::Missing, text));
        confidence = Confidence::Likely;
    }
    if !view.reads_all_policies() {
        because.push(Because::new(Topic::Missing, unreadable(view)));
        confidence = Confidence::Likely;
    }
    confidence
}

/// The name took all the time that there was, and what comes after it failed for want of time alone.
pub(super) fn no_time_left(view: &View) -> Option<Verdict> {
    let resolve =
        view.walk.resolve.as_ref().filter(|resolve| resolve.spent && !resolve.addresses.is_empty())?;
    let untried = !view.addresses.iter().any(|address| address.answer.was_tried());
    let cut_short = view.connects() && waited_in_vain(view);
    (untried || cut_short).then(|| {
        let text = format!("{} took the whole time of the walk: what comes after it had none", resolve.name);
        let because = vec![Because::new(Topic::Missing, text)];
        unreachable(Reason::DnsSlow, Stage::Resolve, Confidence::Likely, because)
    })
}

/// The handshake or the exchange ended without an answer.
fn waited_in_vain(view: &View) -> bool {
    let tls = view.walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Timeout);
    let request = view.walk.request.as_ref();
    tls || request.is_some_and(|request| request.outcome == RequestOutcome::NoResponse)
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
    let answered = |query: &Query| query.outcome.is_final();
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
    if let Some(reason) = late(&open) {
        return (reason, Confidence::Likely);
    }
    if all(is_denial) {
        return (Reason::DnsDenied, Confidence::Likely);
    }
    (Reason::DnsTimeout, Confidence::Likely)
}

/// What a server said after all. It lives and the way to it is open; an answer of failure is one all the same.
fn late(open: &[&Query]) -> Option<Reason> {
    let came: Vec<&QueryOutcome> = open.iter().filter_map(|query| query.late.as_ref()).collect();
    if came.iter().any(|late| late.is_final() || **late == QueryOutcome::Truncated) {
        return Some(Reason::DnsSlow);
    }
    if came.iter().any(|late| **late == QueryOutcome::Refused) {
        return Some(Reason::DnsRefused);
    }
    came.iter().any(|late| late.is_from_server()).then_some(Reason::DnsServerFailure)
}

/// A filter says so: by an ICMP prohibition, or in the pod's own kernel, which tells UDP (`EPERM` from `send()`).
fn is_denial(outcome: &QueryOutcome) -> bool {
    let QueryOutcome::Unreachable { errno, icmp } = outcome else { return false };
    *errno == EPERM || icmp.as_ref().is_some_and(is_prohibition)
}

/// A name server that a policy blocks looks dead: says so, where the decisions do.
fn blocked(
    view: &View,
    resolve: &Resolve,
    (reason, confidence): (Reason, Confidence),
    because: &mut Vec<Because>,
) -> (Reason, Confidence) {
    if let Some(server) = resolve.queries.iter().map(|query| query.server).find(|s| is_of_node(view, *s)) {
        let text =
            format!("{} is on the source's own node, where policies of pods do not apply", server.ip());
        because.push(Because::new(Topic::Policy, text));
        return (reason, confidence);
    }
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

/// A name server on the node, as a cache for its pods: at a link-local address, or at one of the node's own.
fn is_of_node(view: &View, server: SocketAddr) -> bool {
    let link_local = match server.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let node = view.facts.source.node.as_ref();
    link_local || node.is_some_and(|node| node.addresses.contains(&server.ip()))
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
