//! What each confirmed claim rests on, from the raw evidence.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_model::evidence::{
    Dial, DialOutcome, DialPurpose, LocalPeer, Request, RequestOutcome, TlsOutcome,
};
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Observed, Reason, Stage, Verdict};

use super::denied::{ending, looks_denied, prohibited, refusal, silent};
use super::{connected, names, out_of_resources, target_dials};
use crate::case::{Case, EndpointDecision, PairEvidence};
use crate::errno::ECONNREFUSED;
use crate::facts::{GRACE, TargetFacts, UNNOTICED};

/// The invariants of a confirmed verdict that depend on its reason.
pub(super) fn confirmed(case: &Case, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    if verdict.confidence != Confidence::Confirmed {
        return;
    }
    let of_services = matches!(
        verdict.reason,
        Some(
            Reason::ServicePortNotFound
                | Reason::NoEndpoints
                | Reason::NoLocalEndpoints
                | Reason::ServiceNotProgrammed
                | Reason::DnsUnexpectedAddress
                | Reason::WrongBackend
        )
    );
    must(!(of_services && case.facts.services_unheard), "what rests on Services hears of them");
    if verdict.reason == Some(Reason::ServicePortNotFound) {
        let asked = case.facts.service().and_then(|service| service.asked);
        let young = asked.is_some_and(|at| at.plus(GRACE) > case.now);
        must(!young, "a port may be there that has not been heard of yet");
    }
    if verdict.reason == Some(Reason::TargetNotAllowed) {
        return not_allowed(case, must);
    }
    let Some(pair) = case.evidence else { return };
    if matches!(
        verdict.reason,
        Some(Reason::ServiceNotProgrammed | Reason::NoEndpoints | Reason::NoLocalEndpoints)
    ) {
        let dials = target_dials(pair);
        let mut own = dials.iter().filter(|dial| dial.purpose == DialPurpose::ServiceAddress).peekable();
        let of_before = own.peek().is_some() && own.all(|dial| is_of_before(case, pair, dial));
        // A headless Service has no address: what is said of it is what its name says.
        let of_before = of_before && verdict.stage == Stage::Connect;
        must(!of_before, "a refusal from before a Service changed says nothing of what it is");
    }
    match verdict.reason {
        None if verdict.observed == Observed::Reachable => {
            let accepted = case.expect == Expectation::Denied
                && case.facts.target != TargetFacts::Dns
                && pair.walk.tls.is_none()
                && pair.walk.request.is_none()
                && pair.walk.proxied.is_none();
            must(
                !accepted || case.facts.unreadable_policy_kinds.is_empty(),
                "who accepts a connection may be a proxy of a policy that cannot be read",
            );
            reachable(case, pair, must);
        }
        Some(Reason::TlsUntrustedIssuer) => must(
            repeated(pair) && pair.since.plus(Duration::from_mins(1)) < pair.started,
            "roots may be a minute older than the certificate",
        ),
        Some(Reason::PolicyNotEnforced) => not_enforced(case, pair, must),
        Some(Reason::Filtered) => filtered(case, pair, must),
        Some(Reason::ServiceNotProgrammed) => not_programmed(case, pair, must),
        Some(Reason::NoEndpoints) => no_endpoints(case, pair, must),
        Some(Reason::NoLocalEndpoints) => no_local_endpoints(case, pair, must),
        Some(
            Reason::PartialBackends
            | Reason::HairpinFailed
            | Reason::FamilyDegraded
            | Reason::EndpointNotReady
            | Reason::PeerNotReading,
        ) => must(false, "what has other explanations is likely at most"),
        Some(Reason::DnsUnexpectedAddress) => names::unexpected_address(case, pair, must),
        Some(Reason::DnsNameNotFound | Reason::DnsRefused) => names::not_there(case, pair, must),
        Some(Reason::DnsSlow) => must(false, "DnsSlow is likely at most: other clients wait longer"),
        _ => {}
    }
}

/// Who sent the ICMP errors of some dials.
pub(super) fn offenders<'a>(dials: &'a [&Dial]) -> impl Iterator<Item = IpAddr> + 'a {
    let queues = dials.iter().filter_map(|dial| match &dial.outcome {
        DialOutcome::Failed { queue, .. } => Some(queue),
        _ => None,
    });
    queues.flatten().filter_map(|error| error.offender).map(|offender| offender.to_canonical())
}

fn not_allowed(case: &Case, must: &mut impl FnMut(bool, &str)) {
    if case.facts.target == (TargetFacts::Url { allowed: false }) {
        return;
    }
    let Some(pair) = case.evidence else {
        return must(false, "TargetNotAllowed without a walk is the configuration's word");
    };
    let dials = target_dials(pair);
    must(!dials.iter().any(|dial| was_tried(dial)), "what was dialled may be dialled");
    let refused: Vec<IpAddr> = dials
        .iter()
        .filter(|dial| dial.outcome == DialOutcome::NotAllowed)
        .map(|dial| dial.remote.ip())
        .collect();
    must(!refused.is_empty(), "TargetNotAllowed has seen an address that may not be dialled");
    let of_service = case.facts.service().is_some() || case.facts.names_service;
    let in_no_cluster = |ip: &IpAddr| {
        ip.is_loopback() || ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_link_local())
    };
    must(
        !of_service || refused.iter().all(in_no_cluster),
        "an address that may have been a Service's a moment ago is no fault of the check",
    );
}

fn reachable(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    let through_proxy = matches!(case.facts.target, TargetFacts::Url { .. }) && pair.walk.proxied.is_some();
    if through_proxy || case.facts.target == TargetFacts::Dns {
        return;
    }
    let dials = target_dials(pair);
    must(
        !dials.iter().any(|dial| may_be_ours(case, dial)),
        "a confirmed connection was accepted by nobody in the source pod",
    );
    let Some(service) = case.facts.service().filter(|service| service.headless) else { return };
    let direct = dials.iter().filter(|dial| dial.purpose != DialPurpose::ServiceAddress);
    let other = |dial: &&&Dial| service.number.is_some_and(|number| dial.remote.port() != number);
    must(
        direct.filter(other).all(|dial| !connected(dial)),
        "what connects behind a headless Service has the port that an application dials",
    );
}

fn not_enforced(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    must(case.facts.unreadable_policy_kinds.is_empty(), "a confirmed claim has read every policy");
    must(
        answered_by_certificate(pair) || super::peers::denied_holds(case, pair),
        "PolicyNotEnforced is confirmed by an answer behind a certificate, or by the target's own word",
    );
    must(
        outlasts_the_watches(pair),
        "what contradicts a decision is confirmed when a dead watch would have been noticed",
    );
    must(
        !case.decisions.is_empty() && case.decisions.iter().all(|known| settled(known, pair, false)),
        "PolicyNotEnforced rests on denials that have been in force for long, of every endpoint",
    );
    let dials = target_dials(pair);
    must(
        !dials.iter().any(|dial| may_be_ours(case, dial)),
        "a confirmed connection was accepted by nobody in the source pod",
    );
    must(unconnected(&dials).is_empty(), "no endpoint behaves as the policies say");
    must(!changed(case, pair), "the Service leads to no endpoint of before");
    let own = dials.iter().any(|dial| dial.purpose == DialPurpose::ServiceAddress && connected(dial));
    let direct = dials.iter().any(|dial| dial.purpose != DialPurpose::ServiceAddress && connected(dial));
    let ready = case.facts.service().is_none_or(|service| service.ready > 0);
    must(ready || direct || !own, "the Service leads to no endpoint that shuts down");
    let host_network = |known: &EndpointDecision| {
        case.facts.endpoints.get(&known.endpoint.ip()).is_some_and(|endpoint| endpoint.host_network)
    };
    must(!case.decisions.iter().any(host_network), "no endpoint shares its node's network");
}

/// Application bytes of whom a certificate names.
fn answered_by_certificate(pair: &PairEvidence) -> bool {
    let verified = pair.walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Established);
    let status = |request: &Request| matches!(request.outcome, RequestOutcome::Status(_));
    verified && pair.walk.request.as_ref().is_some_and(status)
}

fn filtered(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    must(case.facts.unreadable_policy_kinds.is_empty(), "a confirmed claim has read every policy");
    must(
        outlasts_the_watches(pair),
        "what contradicts a decision is confirmed when a dead watch would have been noticed",
    );
    let dials = target_dials(pair);
    must(!dials.iter().any(|dial| connected(dial)), "a confirmed filter has let nothing pass");
    let failing = unconnected(&dials);
    must(!failing.is_empty(), "a confirmed filter has refused a direct dial");
    for remote in failing {
        let these: Vec<&Dial> = dials.iter().filter(|dial| dial.remote == remote).copied().collect();
        let refused = these.iter().any(|dial| refusal(dial).is_some());
        must(refused, "a confirmed filter has refused every address that was dialled");
        must(dialled_again(pair, &dials, remote), "a refusal that is only reported again does not stand");
        let known = case.decisions.iter().find(|known| known.endpoint == remote);
        must(
            known.is_some_and(|known| settled(known, pair, true)),
            "a confirmed filter contradicts a decision that has allowed for long, for certain",
        );
    }
}

fn not_programmed(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    let Some(service) = case.facts.service() else { return must(false, "only a Service has programming") };
    let dials = target_dials(pair);
    let (own, direct): (Vec<&Dial>, Vec<&Dial>) =
        dials.iter().partition(|dial| dial.purpose == DialPurpose::ServiceAddress);
    let working: BTreeSet<SocketAddr> =
        direct.iter().filter(|dial| connected(dial)).map(|dial| dial.remote).collect();
    must(working.len() == service.ready, "every ready endpoint was dialled and works");
    must(unconnected(&direct).is_empty(), "no endpoint fails");
    let decided = |remote: &SocketAddr| {
        let known = case.decisions.iter().find(|known| known.endpoint == *remote);
        known.is_some_and(|known| certain_throughout(known, pair))
    };
    must(working.iter().all(decided), "every endpoint's decision is certain, and was during the walk");
    let denies = |known: &EndpointDecision| known.current().is_some_and(|(_, d)| !d.is_allowed());
    must(!case.decisions.iter().any(denies), "no endpoint is denied by policy");
    must(!own.is_empty() && !own.iter().any(|dial| connected(dial)), "the Service's address does not answer");
    must(!own.iter().all(|dial| silent(dial)), "what is silent may be translated");
    must(!own.iter().any(|dial| came_from_behind(dial)), "nothing came through the Service's address");
    must(
        own.iter().any(|dial| untranslated(dial)),
        "something other than the Service's address says that it leads nowhere: silence has causes behind it too",
    );
    must(!direct.iter().any(|dial| may_be_ours(case, dial)), "the endpoints themselves have answered");
    must(
        outlasts_the_watches(pair) && !changed(case, pair),
        "an endpoint that is not known yet may be what fails",
    );
}

fn no_endpoints(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    let service = case.facts.service();
    must(service.is_some_and(|service| service.ready == 0), "the Service has no ready endpoint");
    must(
        service.and_then(|service| service.changed).is_none_or(|at| at <= pair.started),
        "facts that changed during the walk explain nothing for certain",
    );
    if pair.walk.resolve.as_ref().is_some_and(|resolve| resolve.addresses.is_empty()) {
        // The name server says the same.
        return;
    }
    let dials = target_dials(pair);
    let answers = |dial: &&&Dial| !matches!(dial.outcome, DialOutcome::Skipped | DialOutcome::NotAllowed);
    let own = dials.iter().filter(answers).any(|dial| dial.purpose == DialPurpose::ServiceAddress);
    let way = dials.iter().filter(|dial| !own || dial.purpose == DialPurpose::ServiceAddress);
    must(!way.clone().any(|dial| connected(dial)), "nobody answers for a Service without endpoints");
    must(
        way.clone().next().is_none()
            || way.clone().any(|dial| matches!(dial.outcome, DialOutcome::Failed { .. })),
        "a Service without endpoints is confirmed by an explicit answer",
    );
}

fn no_local_endpoints(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    let local = case.facts.service().is_some_and(|service| {
        service.internal_traffic_policy_local && service.local == 0 && service.ready > 0
    });
    must(local, "the Service has endpoints, and none on the node that its traffic policy asks for");
    must(!changed(case, pair), "the Service has been like this for long");
    let dials = target_dials(pair);
    let own = || dials.iter().filter(|dial| dial.purpose == DialPurpose::ServiceAddress);
    must(own().any(|dial| was_tried(dial)), "the Service's address was dialled");
    must(!own().any(|dial| connected(dial)), "the Service's address does not answer");
    must(!own().any(|dial| prohibited(dial)), "no filter forbids the Service's address");
    must(
        !own().any(|dial| no_route(dial)) || own().any(|dial| was_tried(dial) && !no_route(dial)),
        "the source pod has a route",
    );
    let by_policy = |remote: &SocketAddr| {
        let known = case.decisions.iter().find(|known| known.endpoint == *remote);
        let denies = known.and_then(EndpointDecision::current).filter(|(_, decision)| !decision.is_allowed());
        denies.is_some_and(|(_, decision)| looks_denied(case, &dials, *remote, decision))
    };
    must(!unconnected(&dials).iter().any(by_policy), "no policy explains what the endpoints answer");
}

/// Two completed walks or more found the same, the last of them a grace period after the first.
pub(super) fn repeated(pair: &PairEvidence) -> bool {
    !pair.walk.interim && pair.consecutive >= 2 && pair.since.plus(GRACE) <= pair.started
}

/// The same for so long that a watch which is dead would have been noticed (see `operator/controller/src/watch.rs`).
pub(super) fn outlasts_the_watches(pair: &PairEvidence) -> bool {
    repeated(pair) && pair.since.plus(UNNOTICED) <= pair.started
}

/// An address was dialled again, not only reported, a grace period after the run began.
fn dialled_again(pair: &PairEvidence, dials: &[&Dial], remote: SocketAddr) -> bool {
    let closed = |dial: &Dial| {
        let breakers = pair.walk.connect.iter().flat_map(|connect| &connect.breakers);
        !breakers.clone().any(|breaker| breaker.open && breaker.remote == dial.remote)
    };
    dials.iter().filter(|dial| dial.remote == remote).any(|dial| {
        // A later walk of the run reports errors that are at most five seconds older than itself.
        let fresh = closed(dial) && pair.walk.started.since(dial.started) <= Duration::from_secs(5);
        let later = pair.started > pair.walk.started;
        let last = if fresh && later { pair.started.minus(Duration::from_secs(5)) } else { dial.started };
        last.max(dial.started) >= pair.since.plus(GRACE)
    })
}

/// The decision has been certain and the same for long before the last walk, and still is.
fn settled(known: &EndpointDecision, pair: &PairEvidence, allows: bool) -> bool {
    let before = pair.started.minus(GRACE + UNNOTICED);
    let Some(first) = known.history.iter().rposition(|(since, _)| *since <= before) else { return false };
    known.history[first..]
        .iter()
        .all(|(_, decision)| decision.is_allowed() == allows && decision.caveats.is_empty())
}

/// The decision is certain and was since the walk began, as far as it is known.
fn certain_throughout(known: &EndpointDecision, pair: &PairEvidence) -> bool {
    let first = known.history.iter().rposition(|(since, _)| *since <= pair.started).unwrap_or(0);
    let held = &known.history[first..];
    !held.is_empty() && held.iter().all(|(_, decision)| decision.caveats.is_empty())
}

fn changed(case: &Case, pair: &PairEvidence) -> bool {
    let at = case.facts.service().and_then(|service| service.changed);
    at.is_some_and(|at| at.plus(GRACE) > pair.started)
}

/// A refusal that was received before the Service changed, by a walk before the last, and not again.
fn is_of_before(case: &Case, pair: &PairEvidence, dial: &Dial) -> bool {
    let changed = case.facts.service().and_then(|service| service.changed);
    let icmp = matches!(&dial.outcome, DialOutcome::Failed { queue, .. } if !queue.is_empty());
    let old = icmp && dial.started.plus(GRACE) < pair.walk.started;
    old && changed.is_some_and(|at| dial.started < at && at <= pair.started)
}

/// The kernel has seen a packet go out for it, or come back.
fn was_tried(dial: &Dial) -> bool {
    let skipped = matches!(dial.outcome, DialOutcome::Skipped | DialOutcome::NotAllowed);
    !skipped && !out_of_resources(dial)
}

/// Addresses that were dialled directly, and not one socket connected. One for which the pod has no route says
/// nothing.
fn unconnected(dials: &[&Dial]) -> BTreeSet<SocketAddr> {
    let direct = || dials.iter().filter(|dial| dial.purpose != DialPurpose::ServiceAddress);
    let tried = direct().filter(|dial| was_tried(dial)).filter(|dial| !no_route(dial));
    let connects = |remote| direct().any(|dial| dial.remote == remote && connected(dial));
    tried.map(|dial| dial.remote).filter(|remote| !connects(*remote)).collect()
}

/// The pod itself has no route.
fn no_route(dial: &Dial) -> bool {
    matches!(&dial.outcome, DialOutcome::Failed { immediate: true, queue, .. } if queue.is_empty())
}

/// Something in the source pod accepted, or nobody knows; but not the pod as an endpoint of the target.
fn may_be_ours(case: &Case, dial: &Dial) -> bool {
    let endpoint = |address| case.decisions.iter().any(|known| known.endpoint == address);
    match &dial.outcome {
        DialOutcome::Connected { local_peer: Some(LocalPeer::Socket { address, .. }) } => {
            let own = case.facts.source.addresses.contains(&address.ip());
            !(own && (*address == dial.remote || endpoint(*address)))
        }
        DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) } => true,
        _ => false,
    }
}

/// An ICMP error of whom nothing translates: through the Service's address every error is the address's own.
fn untranslated(dial: &Dial) -> bool {
    let offender = ending(dial).and_then(|error| error.offender);
    offender.is_some_and(|offender| offender.to_canonical() != dial.remote.ip().to_canonical())
}

/// An RST (ECONNREFUSED, and no ICMP error that ended it), or "host unreachable".
fn came_from_behind(dial: &Dial) -> bool {
    match (ending(dial), &dial.outcome) {
        (Some(error), _) => matches!((error.v6, error.kind, error.code), (false, 3, 1) | (true, 1, 3)),
        (None, DialOutcome::Failed { errno: ECONNREFUSED, .. }) => true,
        _ => false,
    }
}
