//! What stands behind a Service explains why its address does not answer.

use std::net::IpAddr;

use peerwalk_model::evidence::{DialOutcome, DialPurpose};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Protocol, Reason, Stage, Verdict};

use super::connect::unasked;
use super::{resolve, unreachable};
use crate::address::{Address, Answer};
use crate::errno::{ECONNREFUSED, EHOSTUNREACH, EPERM};
use crate::facts::ServiceFacts;
use crate::peer::Word;
use crate::proof::{Relation, relation, unreadable};
use crate::signal::is_prohibition;
use crate::stance::Stance;
use crate::view::View;

/// A headless Service without endpoints has no address in DNS.
pub(super) fn headless_without_endpoints(view: &View) -> Option<Verdict> {
    let service = view.facts.service().filter(|service| service.headless && service.ready == 0)?;
    let resolve = view.walk.resolve.as_ref().filter(|resolve| resolve::has_no_address(resolve))?;
    let text = format!(
        "headless Service {} has no ready endpoints, so {} has no address",
        service.name, resolve.name
    );
    let because = vec![Because::new(Topic::Service, text)];
    Some(unreachable(Reason::NoEndpoints, Stage::Resolve, since_change(view), because))
}

/// A Service without endpoints, and nothing answers at its address. Where no endpoint is ready, connections go to those
/// that shut down and still serve (KEP-1669): whatever connects is judged as it is.
pub(super) fn no_endpoints(view: &View) -> Option<Verdict> {
    let service = view.facts.service().filter(|service| service.ready == 0)?;
    let way = view.way();
    let lead = format!("Service {} has no ready endpoints for port {}", service.name, service.port);
    let accepted = |address: &&Address| match address.answer {
        Answer::Works | Answer::ResetAfterAccept | Answer::Intercepted { .. } => true,
        Answer::Mixed { connected, .. } => connected > 0,
        _ => false,
    };
    if way.is_empty() || way.iter().any(accepted) || view.addresses.iter().any(|address| address.outdated) {
        return None;
    }
    let explicit = way.iter().all(|address| {
        matches!(
            address.answer,
            Answer::Refused(_) | Answer::Reset | Answer::NetworkUnreachable(_) | Answer::RoutingLoop(_)
        )
    });
    let confidence = if explicit { Confidence::Confirmed } else { Confidence::Likely };
    let mut because = vec![Because::new(Topic::Service, lead)];
    because.extend(in_the_source(view).map(|text| Because::new(Topic::Connect, text)));
    Some(unreachable(Reason::NoEndpoints, Stage::Connect, confidence.min(since_change(view)), because))
}

/// `internalTrafficPolicy: Local`, and no endpoint on the source's node.
pub(super) fn no_local_endpoints(view: &View) -> Option<Verdict> {
    let service = view.facts.service()?;
    if !service.internal_traffic_policy_local || service.local > 0 || service.ready == 0 {
        return None;
    }
    // A policy that explains what an endpoint itself answered explains the Service's address as well.
    // Over UDP silence proves no denial, and may be one all the same.
    let by_policy = |address: &Address| {
        view.stance(address).filter(Stance::denies).is_some_and(|stance| {
            match relation(view, address, &stance) {
                Relation::Fits(_) => true,
                Relation::Unrelated => address.protocol == Protocol::Udp,
                Relation::Contradicts | Relation::Agrees => false,
            }
        })
    };
    // A filter that says so, and a pod without a route, have nothing to do with where the endpoints are.
    let otherwise = |address: &Address| {
        address.refusals.iter().any(|error| is_prohibition(error))
            || address.answer == Answer::NetworkUnreachable(None)
    };
    if view.tried().any(by_policy) || view.service_addresses().any(otherwise) {
        return None;
    }
    let confidence = unanswered(view)?;
    let text = format!(
        "Service {} has {} ready endpoints, none of them on the source's node, and internalTrafficPolicy Local",
        service.name, service.ready
    );
    let because = vec![Because::new(Topic::Service, text)];
    let confidence = confidence.min(since_programming(view));
    Some(unreachable(Reason::NoLocalEndpoints, Stage::Connect, confidence, because))
}

/// Every endpoint that was dialled connects, the Service's own address does not. Where policies deny an endpoint,
/// the address may have led to that one.
pub(super) fn not_programmed(view: &View) -> Option<Verdict> {
    let service = view.facts.service()?;
    let endpoints: Vec<&Address> = view.tried().collect();
    if endpoints.is_empty() || !endpoints.iter().all(|address| address.answer.works()) {
        return None;
    }
    if view.decisions().any(|decision| !decision.is_allowed()) {
        return None;
    }
    // It leads to whoever received it.
    let received = |word: &Word| {
        word.dial.purpose == DialPurpose::ServiceAddress && (word.syn_arrived() || word.holds())
    };
    if view.words.iter().any(received) {
        return None;
    }
    let mut confidence = unanswered(view)?.min(since_programming(view));
    let text = format!(
        "the endpoints of Service {} answer when they are dialled directly ({} of {}), its own address does not",
        service.name,
        endpoints.len(),
        service.ready.max(endpoints.len())
    );
    let mut because = vec![Because::new(Topic::Service, text)];
    because.extend(in_the_source(view).map(|text| Because::new(Topic::Connect, text)));
    let excuses = excuses(view, service, &endpoints);
    if !excuses.is_empty() {
        confidence = confidence.min(Confidence::Likely);
    }
    because.extend(excuses.into_iter().map(|text| Because::new(Topic::Missing, text)));
    if let Some(silent) =
        view.service_addresses().find(|a| a.answer == Answer::Silent && !a.silence.is_complete())
    {
        because.push(Because::new(Topic::Missing, crate::proof::series(silent)));
    }
    Some(unreachable(Reason::ServiceNotProgrammed, Stage::Connect, confidence, because))
}

/// What else may be behind a Service's address that does not answer while endpoints do.
fn excuses(view: &View, service: &ServiceFacts, endpoints: &[&Address]) -> Vec<String> {
    let mut excuses = Vec::new();
    if endpoints.len() != service.ready {
        excuses.push(
            "the Service's address may have led to an endpoint that was not dialled in this walk".into(),
        );
    }
    if view.service_addresses().any(|address| from_behind(address) && !at_once(view, address)) {
        excuses.push(
            "what came back from the Service's address came from behind it: it is translated, and one endpoint \
             may fail in turn"
                .into(),
        );
    }
    if view.service_addresses().any(|address| address.answer == Answer::Silent) {
        excuses.push(
            "silence does not tell an address that nothing translates from a filter, a source address or a way back \
             that fails behind the translation: an ICMP error of a node or router that finds no way to it would"
                .into(),
        );
    } else if !view.service_addresses().any(|address| says_untranslated(address) || from_behind(address)) {
        excuses.push("nobody but the Service's address itself says that it leads nowhere".into());
    }
    if view.service_addresses().any(|address| address.refusals.iter().any(|error| is_prohibition(error))) {
        excuses
            .push("a packet filter forbids the Service's address: it is not for want of programming".into());
    }
    if view.service_addresses().any(|address| at_once(view, address)) {
        excuses.push(
            "what fails inside the source pod may also be a route or a filter of its own for the Service's address".into(),
        );
    } else if view.service_addresses().any(|address| address.answer == Answer::NetworkUnreachable(None)) {
        excuses.push("the source pod itself has no route to the Service's address".into());
    }
    let certain = |address: &&Address| view.stance(address).is_some_and(|stance| stance.certain);
    if !endpoints.iter().all(certain) {
        excuses.push(
            "policies may deny the Service's address, and not the endpoints: no decision is known, or it is left \
             to the network plugin"
                .into(),
        );
    }
    if !view.reads_all_policies() {
        excuses.push(unreadable(view));
    }
    if endpoints.iter().any(|address| view.facts.source.addresses.contains(&address.remote.ip())) {
        excuses.push(
            "the source pod is itself an endpoint: its way back through the Service may be what fails".into(),
        );
    }
    excuses.extend(unasked(view).map(str::to_owned));
    if !view.service_addresses().all(|address| view.stands(address)) {
        excuses.push("an endpoint may not be known here yet: a later walk that sees the same decides".into());
    }
    excuses
}

/// `connect()` itself failed at a Service's address, and no packet was answered, with an error that a load balancer of
/// sockets gives which has no backend for it.
fn at_once(view: &View, address: &Address) -> bool {
    let dials = view.walk.connect.iter().flat_map(|connect| &connect.dials);
    let mut own = dials.filter(|dial| dial.purpose == address.purpose && dial.remote == address.remote);
    own.any(|dial| {
        matches!(&dial.outcome, DialOutcome::Failed { errno: EPERM | ECONNREFUSED | EHOSTUNREACH, immediate: true, queue }
            if queue.is_empty())
    })
}

/// That nothing of the network was asked for a Service's address.
fn in_the_source(view: &View) -> Option<&'static str> {
    view.service_addresses().any(|address| at_once(view, address)).then_some(
        "connect() itself failed at the Service's address, before any packet: where Services are translated at the \
         socket, the translation has no endpoint for it",
    )
}

/// An answer that only the host of an endpoint gives, or the node that looked for it: the address was translated. So it
/// was where an ICMP error comes from the address itself, as every error of what is translated does.
fn from_behind(address: &Address) -> bool {
    match address.answer {
        Answer::Reset | Answer::HostUnreachable(_) => true,
        Answer::Refused(error) => is_own(address, error.offender),
        Answer::NetworkUnreachable(offender) | Answer::RoutingLoop(offender) => is_own(address, offender),
        _ => false,
    }
}

fn is_own(address: &Address, offender: Option<IpAddr>) -> bool {
    offender.is_some_and(|offender| offender.to_canonical() == address.remote.ip().to_canonical())
}

/// An error of somebody whom nothing translates.
fn says_untranslated(address: &Address) -> bool {
    let offender = match address.answer {
        Answer::Refused(error) => error.offender,
        Answer::NetworkUnreachable(offender) | Answer::RoutingLoop(offender) => offender,
        _ => None,
    };
    offender.is_some() && !is_own(address, offender)
}

/// Nothing translates the port of a headless Service: the application dials it at the pods, and a walk dials the
/// endpoints at their target port.
pub(crate) fn dialled_elsewhere(view: &View) -> Option<String> {
    let service = view.facts.service().filter(|service| service.headless)?;
    let number = service.number?;
    let other = view.tried().find(|address| address.remote.port() != number)?;
    Some(format!(
        "Service {} is headless: who dials its name reaches port {number} of its pods, and port {} was dialled; a check \
         of the target port would decide",
        service.name,
        other.remote.port()
    ))
}

/// How sure it is that no service address answers; `None` when one does, or when none was dialled.
pub(super) fn unanswered(view: &View) -> Option<Confidence> {
    let confidence = |address: &Address| match address.answer {
        Answer::Silent if address.silence.is_complete() => Some(Confidence::Confirmed),
        Answer::Silent if address.silence.ports() >= 3 => Some(Confidence::Likely),
        Answer::Silent | Answer::Unexplained(_) if view.repeated() => Some(Confidence::Likely),
        Answer::Silent | Answer::Unexplained(_) => Some(Confidence::Suspected),
        Answer::Reset | Answer::HostUnreachable(_) | Answer::Forbidden => Some(Confidence::Likely),
        // An address that nothing translates goes wherever the routes lead.
        Answer::Refused(_) | Answer::NetworkUnreachable(_) | Answer::RoutingLoop(_) => {
            Some(Confidence::Confirmed)
        }
        _ => None,
    };
    let all: Option<Vec<Confidence>> = view.service_addresses().map(confidence).collect();
    all?.into_iter().min()
}

/// What programs Service addresses takes time after the Service or its endpoints changed: until then an
/// address that does not answer is no fault.
pub(super) fn since_programming(view: &View) -> Confidence {
    if view.service_changed() { Confidence::Suspected } else { Confidence::Confirmed }
}

/// Facts that changed during the walk explain nothing for certain.
fn since_change(view: &View) -> Confidence {
    let changed = view.facts.service().and_then(|service| service.changed);
    if changed.is_some_and(|at| at > view.pair.started) {
        Confidence::Suspected
    } else {
        Confidence::Confirmed
    }
}
