//! A target of which a part works: some endpoints, one address family, or itself alone.

use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};

use super::connect::interceptor;
use super::route::goes_by_proxy;
use super::{service, unreachable};
use crate::address::{Address, Answer};
use crate::view::View;

/// An endpoint never answers while another does: an application fails for a share of its connections, whatever one
/// connection to the Service's address came to.
pub(super) fn partial(view: &View) -> Option<Verdict> {
    view.facts.service()?;
    if interceptor(view).is_some() || goes_by_proxy(view) {
        return None;
    }
    let dead: Vec<&Address> = view.tried().filter(|address| never_answers(view, address)).collect();
    let first = dead.first()?;
    let others = || view.tried().filter(|address| address.remote.is_ipv4() == first.remote.is_ipv4());
    // Where policies deny a part of the endpoints, that is what there is to say.
    let denied = dead.iter().filter_map(|address| view.stance(address)).any(|stance| stance.denies());
    if denied || !others().any(|address| address.answer.works()) || !service_fits(view, &dead) {
        return None;
    }
    let text = format!(
        "{} of {} endpoints that were dialled never answer, others do: an application fails for a share of its \
         connections",
        dead.len(),
        view.tried().count()
    );
    let mut because = vec![Because::new(Topic::Service, text)];
    let sick =
        |address: &&&Address| view.endpoint(address.remote.ip()).is_some_and(|e| e.pod.is_some() && !e.ready);
    because.extend(
        dead.iter()
            .find(sick)
            .map(|address| Because::new(Topic::Alive, format!("{} is not Ready", view.name(address.remote)))),
    );
    Some(unreachable(Reason::PartialBackends, Stage::Connect, Confidence::Likely, because))
}

/// Silence on enough ports, or an answer that says no.
fn never_answers(view: &View, address: &Address) -> bool {
    match address.answer {
        Answer::Silent => address.silence.is_complete() || (view.repeated() && address.silence.retransmitted),
        Answer::Reset | Answer::Refused(_) | Answer::HostUnreachable(_) | Answer::RoutingLoop(_) => true,
        Answer::NetworkUnreachable(offender) => offender.is_some(),
        _ => false,
    }
}

/// The Service's address works, now and then, or fails as an endpoint does that it may have led to.
fn service_fits(view: &View, dead: &[&Address]) -> bool {
    let alike = |one: &Address, other: &Address| {
        std::mem::discriminant(&one.answer) == std::mem::discriminant(&other.answer)
            && one.remote.is_ipv4() == other.remote.is_ipv4()
    };
    view.service_addresses().all(|address| {
        matches!(address.answer, Answer::Works | Answer::Mixed { .. })
            || dead.iter().any(|dead| alike(dead, address))
    })
}

/// The only endpoint is the source pod itself: it answers when it is dialled as itself, and not through the Service.
pub(super) fn hairpin(view: &View) -> Option<Verdict> {
    let service = view.facts.service().filter(|service| service.ready == 1)?;
    let own = |address: &Address| view.facts.source.addresses.contains(&address.remote.ip());
    let mut endpoints = view.tried().peekable();
    endpoints.peek()?;
    if !endpoints.all(|address| own(address) && address.answer.works()) {
        return None;
    }
    let mut addresses = view.service_addresses().peekable();
    addresses.peek()?;
    if !addresses.all(|address| address.answer == Answer::Silent) {
        return None;
    }
    if view.decisions().any(|decision| !decision.is_allowed()) {
        return None;
    }
    let confidence = service::unanswered(view)?.min(service::since_programming(view)).min(Confidence::Likely);
    let because = vec![
        Because::new(
            Topic::Service,
            format!(
                "the only endpoint of Service {} is the source pod itself: its way through the Service leads back to \
                 it, and gets no answer",
                service.name
            ),
        ),
        Because::new(
            Topic::Missing,
            "a Service's address that is not programmed on this node is as silent: another pod of the node that dials \
             it would tell",
        ),
    ];
    Some(unreachable(Reason::HairpinFailed, Stage::Connect, confidence, because))
}

/// One address family works, the other fails entirely: clients that prefer the other one wait or fail.
pub(super) fn degraded(view: &View) -> Option<Verdict> {
    let of = |v4: bool| -> Vec<&Address> {
        let tried = view.addresses.iter().filter(|address| view.counts_as_tried(address));
        tried.filter(|address| address.remote.is_ipv4() == v4).collect()
    };
    let (v4, v6) = (of(true), of(false));
    let works =
        |family: &[&Address]| !family.is_empty() && family.iter().all(|address| address.answer.works());
    let fails = |family: &[&Address]| {
        let silent = |address: &Address| address.answer == Answer::Silent && address.silence.ports() >= 3;
        let dead = |address: &&Address| never_answers(view, address) || silent(address);
        !family.is_empty() && family.iter().all(dead)
    };
    let (name, failing) = match (works(&v4), works(&v6)) {
        (true, false) if fails(&v6) => ("IPv6", v6),
        (false, true) if fails(&v4) => ("IPv4", v4),
        _ => return None,
    };
    // What the policies deny is not broken.
    if failing.iter().filter_map(|address| view.stance(address)).any(|stance| stance.denies()) {
        return None;
    }
    let text = format!("every address of {name} that was dialled fails, and the other family works");
    let what = "clients that try one family alone, or this one first, wait or fail".to_owned();
    Some(Verdict {
        observed: Observed::Reachable,
        reason: Some(Reason::FamilyDegraded),
        stage: Stage::Connect,
        confidence: Confidence::Likely,
        policy: None,
        because: vec![Because::new(Topic::Connect, text), Because::new(Topic::Missing, what)],
    })
}
