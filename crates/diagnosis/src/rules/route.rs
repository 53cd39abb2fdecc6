//! What the application's proxy variables make of the target.

use peerwalk_model::evidence::{ProxyAttempt, ProxyUse, RequestOutcome, Route};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};

use super::{request, tls, unreachable};
use crate::address::group;
use crate::facts::TargetFacts;
use crate::view::View;

/// A URL outside the cluster that the variables send to a proxy: the proxy is the application's way, and
/// what the direct way gives does not matter.
pub(super) fn proxied_elsewhere(view: &View) -> Option<Verdict> {
    let route = view.walk.route.as_ref().filter(|route| !route.proxied.is_empty())?;
    let attempt = view.walk.proxied.as_ref()?;
    if !matches!(view.facts.target, TargetFacts::Url { .. }) || view.walk.interim {
        return None;
    }
    let agreed = if all_agree(route) { Confidence::Confirmed } else { Confidence::Likely };
    let because = disagreement(route);
    let failed = through_proxy(view, attempt);
    Some(match failed {
        Some(verdict) => Verdict {
            confidence: verdict.confidence.min(agreed),
            because: [verdict.because, because].concat(),
            ..verdict
        },
        None => Verdict {
            observed: Observed::Reachable,
            reason: None,
            stage: Stage::Request,
            confidence: agreed,
            policy: None,
            because,
        },
    })
}

/// An in-cluster target that answers directly, and fails through the proxy that the variables send it to.
pub(super) fn proxy(view: &View) -> Option<Verdict> {
    let route = view.walk.route.as_ref().filter(|route| !route.proxied.is_empty())?;
    let attempt = view.walk.proxied.as_ref().filter(|_| !view.walk.interim)?;
    view.facts.service()?;
    let direct = view.walk.request.as_ref()?;
    if request::judged(direct).is_some() || worked(attempt) || !most_would(route) {
        return None;
    }
    let mut because: Vec<Because> = route.proxied.iter().flat_map(misrouted).collect();
    because.extend(disagreement(route));
    let confidence = if all_agree(route) { Confidence::Confirmed } else { Confidence::Likely };
    Some(unreachable(Reason::ProxyMisrouted, Stage::Route, confidence, because))
}

/// Whether the target answered through the proxy.
pub(crate) fn worked(attempt: &ProxyAttempt) -> bool {
    attempt.request.as_ref().is_some_and(|exchange| request::judged(exchange).is_none())
}

/// What failed on the way through the proxy.
fn through_proxy(view: &View, attempt: &ProxyAttempt) -> Option<Verdict> {
    if worked(attempt) {
        return None;
    }
    let dialled = group(attempt.dials.iter(), view.walk.started);
    if !dialled.iter().any(|address| address.answer.works()) {
        let text = if attempt.dials.is_empty() {
            format!("the name of proxy {} does not resolve", attempt.proxy)
        } else {
            format!("no address of proxy {} connects", attempt.proxy)
        };
        let because = vec![Because::new(Topic::Route, text)];
        return Some(unreachable(Reason::ProxyUnreachable, Stage::Route, Confidence::Likely, because));
    }
    if let Some(status) = attempt.connect_status.filter(|status| !(200..300).contains(status)) {
        let text = format!("proxy {} answered CONNECT with {status}", attempt.proxy);
        let because = vec![Because::new(Topic::Route, text)];
        return Some(unreachable(Reason::HttpStatus, Stage::Route, Confidence::Likely, because));
    }
    let failed = attempt
        .tls
        .as_ref()
        .and_then(tls::judged)
        .or_else(|| attempt.request.as_ref().and_then(request::judged));
    Some(failed.unwrap_or_else(|| {
        let text = format!("nothing came back through proxy {}", attempt.proxy);
        unreachable(
            Reason::NoResponse,
            Stage::Request,
            Confidence::Likely,
            vec![Because::new(Topic::Route, text)],
        )
    }))
}

/// Every client of every container takes the same way, and all variables can be seen.
fn all_agree(route: &Route) -> bool {
    route.not_visible.is_empty() && route.proxied.iter().all(|used| used.direct_clients.is_empty())
}

/// Most clients that follow proxy variables would use the proxy. Which client the application has is not
/// known: where few would, a failure through the proxy is told and not counted.
fn most_would(route: &Route) -> bool {
    route.proxied.iter().any(|used| used.clients.len() > used.direct_clients.len())
}

/// Clients that would take another way, and what cannot be seen.
pub(crate) fn disagreement(route: &Route) -> Vec<Because> {
    let mut lines = Vec::new();
    for used in route.proxied.iter().filter(|used| !used.direct_clients.is_empty()) {
        let text = format!(
            "in container {}, {} would use the proxy and {} would go direct",
            used.container,
            used.clients.join(", "),
            used.direct_clients.join(", ")
        );
        lines.push(Because::new(Topic::Missing, text));
    }
    if !route.not_visible.is_empty() {
        let text = format!(
            "not every environment variable of container {} can be seen from outside",
            route.not_visible.join(", ")
        );
        lines.push(Because::new(Topic::Missing, text));
    }
    lines
}

fn misrouted(used: &ProxyUse) -> [Because; 2] {
    let name = used.exceptions.as_ref().map_or("NO_PROXY", |(name, _)| name.as_str());
    [
        Because::new(
            Topic::Route,
            format!(
                "container {} sets {} to {}, and {} does not except the target",
                used.container, used.variable, used.proxy, name
            ),
        ),
        Because::new(Topic::Fix, format!("add {} to {} of container {}", used.entry, name, used.container)),
    ]
}

/// What came of the attempt through the proxy, in words.
pub(crate) fn said(attempt: &ProxyAttempt) -> String {
    let answer = match (&attempt.request, attempt.connect_status) {
        (Some(request), _) => match &request.outcome {
            RequestOutcome::Status(status) => format!("status {status}"),
            RequestOutcome::Reset => "the connection was reset".into(),
            RequestOutcome::NoResponse => "no answer".into(),
            RequestOutcome::Malformed(text) => format!("no HTTP: {text}"),
        },
        (None, Some(status)) => format!("status {status} to CONNECT"),
        (None, None) if attempt.dials.is_empty() => "its name does not resolve".into(),
        (None, None) => "no answer".into(),
    };
    format!("through proxy {} of container {}: {answer}", attempt.proxy, attempt.container)
}
