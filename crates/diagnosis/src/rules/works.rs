//! When every stage passed, or enough of them for what is asked.

use peerwalk_model::evidence::{DialPurpose, RequestOutcome, TlsOutcome};
use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};
use peerwalk_netpol::Decision;

use crate::address::{Address, Answer};
use crate::names;
use crate::policy_text;
use crate::proof::unreadable;
use crate::rules::connect::{OUTDATED, interceptor, unasked};
use crate::rules::{backends, route, slow};
use crate::view::View;

/// Where a denial is expected, a connection is reachable enough, whatever comes after it.
pub(super) fn expected_denied(view: &View) -> Option<Verdict> {
    let connected = view.addresses.iter().find(|address| address.answer.works())?;
    if view.case.expect != Expectation::Denied {
        return None;
    }
    let allowed = allowance(view, connected);
    let mut because: Vec<Because> = allowed.iter().cloned().collect();
    if allowed.is_none() {
        because.push(Because::new(Topic::Missing, "no policy decision is known for the target"));
    }
    let unasked = unasked(view);
    because.extend(unasked.map(|text| Because::new(Topic::Missing, text)));
    let direct = interceptor(view).is_none() && unasked.is_none();
    // A network plugin with policies for requests may accept on the node, in the target's place.
    let answered = view.reads_all_policies() || is_answered(view);
    if !answered {
        because.push(Because::new(Topic::Missing, unreadable(view)));
    }
    let certain = allowed.is_some() && connected.unanimous && direct && answered;
    Some(passed(view, if certain { Confidence::Confirmed } else { Confidence::Likely }, because))
}

/// Whether the target's own application has answered.
fn is_answered(view: &View) -> bool {
    let request = view.walk.request.as_ref().map(|request| &request.outcome);
    let verified = view.walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Established);
    verified || matches!(request, Some(RequestOutcome::Status(status)) if (200..300).contains(status))
}

/// What the policies say that allows a connection. The Service's address may have led to any endpoint.
fn allowance(view: &View, connected: &Address) -> Option<Because> {
    if let Some(stance) = view.stance(connected) {
        return Some(policy_text::allowance(stance.decision)).filter(|_| !stance.denies());
    }
    if connected.purpose != DialPurpose::ServiceAddress {
        return None;
    }
    let allowing: Vec<&Decision> = view.decisions().filter(|decision| decision.is_allowed()).collect();
    let first = allowing.first()?;
    let all = view.decisions().count();
    if allowing.len() == all {
        return Some(policy_text::allowance(first));
    }
    let text = format!("policies allow {} of {all} endpoints: {first}", allowing.len());
    Some(Because::new(Topic::Policy, text))
}

/// The connection came about, and the walk is not at its end.
pub(super) fn incomplete(view: &View) -> Option<Verdict> {
    let missing = if view.walk.interim {
        "the walk has only begun"
    } else if view.case.wants_request && view.walk.request.is_none() {
        "the walk has no HTTP exchange, which the check asks for"
    } else if view.addresses.iter().any(|address| address.outdated) {
        OUTDATED
    } else if !view.connects() && interceptor(view).is_none() {
        "nothing in the walk shows a connection"
    } else {
        return None;
    };
    let because = vec![Because::new(Topic::Missing, missing)];
    Some(Verdict::unknown(Reason::Probing, Stage::Connect, because))
}

/// Every stage passed.
pub(super) fn reachable(view: &View) -> Verdict {
    if let Some(verdict) = backends::degraded(view) {
        return verdict;
    }
    let mut because = Vec::new();
    let failing: Vec<&Address> = view
        .addresses
        .iter()
        .filter(|address| view.counts_as_tried(address))
        .filter(|address| !matches!(address.answer, Answer::Works | Answer::Intercepted { .. }))
        .collect();
    if !failing.is_empty() {
        let tried = view.addresses.iter().filter(|address| view.counts_as_tried(address)).count();
        let text = format!("{} of {tried} addresses that were dialled did not connect", failing.len());
        because.push(Because::new(Topic::Missing, text));
        because.extend(
            failing
                .iter()
                .filter_map(|address| view.stance(address))
                .take(1)
                .map(|stance| Because::new(Topic::Policy, stance.decision.to_string())),
        );
    }
    let lost = view.addresses.iter().any(|address| address.answer.works() && !address.unanimous);
    if lost {
        because.push(Because::new(Topic::Missing, "some connection attempts were lost"));
    }
    if let Some(route) = view.walk.route.as_ref().filter(|route| !route.proxied.is_empty()) {
        if view.walk.proxied.is_none() {
            because.push(Because::new(Topic::Missing, "the way through the proxy was not tried"));
        }
        if !view.walk.proxied.as_ref().is_some_and(route::worked) {
            because.extend(route::disagreement(route));
        }
    }
    if let Some(text) = other_address(view) {
        because.push(Because::new(Topic::Missing, text));
    }
    because.extend(unasked(view).map(|text| Because::new(Topic::Missing, text)));
    let certain = because.is_empty()
        && interceptor(view).is_none()
        && !view.walk.resolve.as_ref().is_some_and(names::some_clients_fail);
    let fix = view.walk.resolve.as_ref().and_then(names::lost_fix);
    because.extend(fix.map(|text| Because::new(Topic::Fix, text)));
    because.extend(slow::warning(view));
    passed(view, if certain { Confidence::Confirmed } else { Confidence::Likely }, because)
}

/// The name leads to no address of the Service, so what was dialled is not what the application dials.
fn other_address(view: &View) -> Option<String> {
    let service = view.facts.service()?;
    let resolve = view.walk.resolve.as_ref()?;
    let known =
        |ip| view.addresses.iter().any(|address| address.remote.ip() == ip) || view.endpoint(ip).is_some();
    (!resolve.addresses.is_empty() && !resolve.addresses.iter().any(|ip| known(*ip)))
        .then(|| format!("{} does not lead to an address of Service {}", resolve.name, service.name))
}

fn passed(view: &View, confidence: Confidence, mut because: Vec<Because>) -> Verdict {
    if let Some(service) = view.facts.service().filter(|service| service.ready == 0) {
        let text = format!(
            "Service {} has no ready endpoints: one that shuts down and still serves may have answered",
            service.name
        );
        because.push(Because::new(Topic::Service, text));
    }
    let status = view
        .walk
        .request
        .as_ref()
        .is_some_and(|request| matches!(request.outcome, RequestOutcome::Status(_)));
    let stage = if status { Stage::Request } else { Stage::Connect };
    Verdict { observed: Observed::Reachable, reason: None, stage, confidence, policy: None, because }
}
