//! What stands behind a Service explains why its address does not answer.

use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::{resolve, unreachable};
use crate::address::{Address, Answer};
use crate::facts::GRACE;
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

/// A Service without endpoints, and nothing answers at its address.
pub(super) fn no_endpoints(view: &View) -> Option<Verdict> {
    let service = view.facts.service().filter(|service| service.ready == 0)?;
    let way = view.way();
    let lead = format!("Service {} has no ready endpoints for port {}", service.name, service.port);
    if way.iter().any(|address| matches!(address.answer, Answer::Works | Answer::ResetAfterAccept)) {
        let because = vec![
            Because::new(Topic::Service, lead),
            Because::new(Topic::Missing, "a connection came about all the same: the next walk decides"),
        ];
        return Some(Verdict::unknown(Reason::NoEndpoints, Stage::Connect, because));
    }
    if way.is_empty() || way.iter().any(|address| matches!(address.answer, Answer::Intercepted { .. })) {
        return None;
    }
    let explicit = way.iter().all(|address| {
        matches!(address.answer, Answer::Refused(_) | Answer::Reset | Answer::NetworkUnreachable(_))
    });
    let confidence = if explicit { Confidence::Confirmed } else { Confidence::Likely };
    let because = vec![Because::new(Topic::Service, lead)];
    Some(unreachable(Reason::NoEndpoints, Stage::Connect, confidence.min(since_change(view)), because))
}

/// `internalTrafficPolicy: Local`, and no endpoint on the source's node.
pub(super) fn no_local_endpoints(view: &View) -> Option<Verdict> {
    let service = view.facts.service()?;
    if !service.internal_traffic_policy_local || service.local > 0 || service.ready == 0 {
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

/// Every endpoint that was dialled connects, the Service's own address does not.
pub(super) fn not_programmed(view: &View) -> Option<Verdict> {
    let service = view.facts.service()?;
    let endpoints: Vec<&Address> = view.tried().collect();
    if endpoints.is_empty() || !endpoints.iter().all(|address| address.answer.works()) {
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
    if endpoints.iter().all(|address| view.facts.source.addresses.contains(&address.remote.ip())) {
        let text =
            "the only endpoint is the source pod itself: its way back through the Service may be what fails";
        because.push(Because::new(Topic::Missing, text));
        confidence = confidence.min(Confidence::Likely);
    }
    if let Some(silent) =
        view.service_addresses().find(|a| a.answer == Answer::Silent && !a.silence.is_complete())
    {
        because.push(Because::new(Topic::Missing, crate::proof::series(silent)));
    }
    Some(unreachable(Reason::ServiceNotProgrammed, Stage::Connect, confidence, because))
}

/// How sure it is that no service address answers; `None` when one does, or when none was dialled.
fn unanswered(view: &View) -> Option<Confidence> {
    let confidence = |address: &Address| match address.answer {
        Answer::Silent if address.silence.is_complete() => Some(Confidence::Confirmed),
        Answer::Silent if address.silence.ports() >= 3 => Some(Confidence::Likely),
        Answer::Silent | Answer::Unexplained(_) => Some(Confidence::Suspected),
        Answer::Refused(_) | Answer::Reset | Answer::HostUnreachable(_) | Answer::NetworkUnreachable(_) => {
            Some(Confidence::Confirmed)
        }
        _ => None,
    };
    let all: Option<Vec<Confidence>> = view.service_addresses().map(confidence).collect();
    all?.into_iter().min()
}

/// What programs Service addresses takes time after the Service or its endpoints changed: until then an
/// address that does not answer is no fault.
fn since_programming(view: &View) -> Confidence {
    let changed = view.facts.service().and_then(|service| service.changed);
    if changed.is_some_and(|at| at.plus(GRACE) > view.pair.started) {
        Confidence::Suspected
    } else {
        Confidence::Confirmed
    }
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
