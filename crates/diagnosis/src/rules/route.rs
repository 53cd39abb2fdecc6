//! What the application's proxy variables make of the target.

mod came;
mod words;

use peerwalk_model::evidence::{ProxyAttempt, ProxyUse, RequestOutcome, Route};
use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};

use super::{request, unreachable};
use crate::facts::TargetFacts;
use crate::view::View;
use came::Came;
pub(crate) use words::{disagreement, said};

/// A URL outside the cluster that the variables send to a proxy: the proxy is the application's way, and
/// what the direct way gives does not matter, not even that the name does not resolve.
pub(super) fn proxied_elsewhere(view: &View) -> Option<Verdict> {
    let route = proxied(view).filter(|_| matches!(view.facts.target, TargetFacts::Url { .. }))?;
    let attempt = view.walk.proxied.as_ref();
    let Some((attempt, used)) = attempt.and_then(|attempt| Some((attempt, followed(route, attempt)?))) else {
        return open_way(route, attempt, false).map(|(used, why)| not_proven(route, used, why));
    };
    let agreed = if all_agree(route) { Confidence::Confirmed } else { Confidence::Likely };
    let mut verdict = match (why_open(used, Some(attempt)), through_proxy(used, attempt)) {
        (Some(why), _) => return Some(not_proven(route, used, why)),
        (None, Some(failed)) => failed,
        (None, None) => match open_way(route, Some(attempt), true) {
            Some((used, why)) => return Some(not_proven(route, used, why)),
            None => Verdict {
                observed: Observed::Reachable,
                reason: None,
                stage: Stage::Request,
                confidence: agreed,
                policy: None,
                because: Vec::new(),
            },
        },
    };
    verdict.confidence = verdict.confidence.min(agreed);
    verdict.because.extend(disagreement(route));
    Some(verdict)
}

/// An in-cluster target that most clients would ask a proxy for, and the way through it is open: the direct
/// way is not the application's. Where a denial is expected, a connection violates it all the same.
pub(super) fn not_walked(view: &View) -> Option<Verdict> {
    let route = proxied(view).filter(|_| view.facts.service().is_some())?;
    let connected = view.addresses.iter().any(|address| address.answer.works());
    if (view.case.expect == Expectation::Denied && connected) || proxy(view).is_some() {
        return None;
    }
    let (used, why) = open_way(route, view.walk.proxied.as_ref(), true)?;
    let mut verdict = not_proven(route, used, why);
    verdict.because.push(words::fix(used));
    Some(verdict)
}

/// An in-cluster target that answers directly, and fails through the proxy that the variables send it to.
pub(super) fn proxy(view: &View) -> Option<Verdict> {
    let route = proxied(view).filter(|_| view.facts.service().is_some())?;
    let attempt = view.walk.proxied.as_ref()?;
    let used = followed(route, attempt).filter(|used| most_would(route, used))?;
    let direct = view.walk.request.as_ref().filter(|direct| request::judged(direct).is_none())?;
    let came = Came::of(attempt);
    if used.credentials && came.may_lack_credentials() {
        return None;
    }
    let (reason, confidence) = match &came {
        Came::Worked | Came::NotTried(_) | Came::Beyond(_) => return None,
        Came::Unresolved | Came::Unconnected => (Reason::ProxyUnreachable, Confidence::Likely),
        // The target says so directly, too.
        Came::Forbidden if direct.outcome == RequestOutcome::Status(came::FORBIDDEN) => return None,
        // Only a proxy answers CONNECT. Another failure may be one endpoint's of several, met through the proxy by
        // chance.
        Came::Refused(_) if all_agree(route) => (Reason::ProxyMisrouted, Confidence::Confirmed),
        Came::Refused(_)
        | Came::Failed(_)
        | Came::Forbidden
        | Came::AsksForCredentials
        | Came::NoAnswer(_) => (Reason::ProxyMisrouted, Confidence::Likely),
    };
    let mut because: Vec<Because> = words::failure(used, attempt, &came).into_iter().collect();
    because.extend([words::sends(used), words::fix(used)]);
    because.extend(route.proxied.iter().flat_map(|used| [words::sends(used), words::fix(used)]));
    because.extend(disagreement(route));
    Some(unreachable(reason, Stage::Route, confidence, because))
}

/// Whether the target itself answered through the proxy.
pub(crate) fn worked(attempt: &ProxyAttempt) -> bool {
    Came::of(attempt) == Came::Worked
}

/// Whether the application's own way leads through a proxy, so that the direct way alone proves no denial.
pub(crate) fn goes_by_proxy(view: &View) -> bool {
    let Some(route) = &view.walk.route else { return false };
    match view.facts.target {
        TargetFacts::Url { .. } => !route.proxied.is_empty(),
        TargetFacts::Service(_) => route.proxied.iter().any(|used| most_would(route, used)),
        TargetFacts::Dns => false,
    }
}

/// The route of a whole walk, when it leads some client to a proxy.
fn proxied<'a>(view: &View<'a>) -> Option<&'a Route> {
    view.walk.route.as_ref().filter(|route| !route.proxied.is_empty() && !view.walk.interim)
}

/// Whose variables the attempt followed.
fn followed<'a>(route: &'a Route, attempt: &ProxyAttempt) -> Option<&'a ProxyUse> {
    let mut same = route.proxied.iter().filter(|used| follows(attempt, used));
    same.clone().find(|used| used.container == attempt.container).or_else(|| same.next())
}

fn follows(attempt: &ProxyAttempt, used: &ProxyUse) -> bool {
    used.is_walkable() && used.proxy == attempt.proxy
}

/// What failed on the way through the proxy. The proxy and the target may both have caused it, unless it came
/// about inside a tunnel.
fn through_proxy(used: &ProxyUse, attempt: &ProxyAttempt) -> Option<Verdict> {
    let came = Came::of(attempt);
    let reason = match &came {
        // What was not tried is open, and told before.
        Came::Worked | Came::NotTried(_) => return None,
        Came::Beyond(verdict) => return Some(verdict.clone()),
        Came::Unresolved | Came::Unconnected => Reason::ProxyUnreachable,
        Came::NoAnswer(reason) => *reason,
        Came::AsksForCredentials | Came::Refused(_) | Came::Forbidden | Came::Failed(_) => Reason::HttpStatus,
    };
    let because = words::failure(used, attempt, &came)
        .unwrap_or_else(|| Because::new(Topic::Route, words::said(attempt)));
    Some(unreachable(reason, Stage::Route, Confidence::Likely, vec![because]))
}

/// The first way that is open; with `of_most`, among those that most clients of a container would go.
fn open_way<'a>(
    route: &'a Route,
    attempt: Option<&ProxyAttempt>,
    of_most: bool,
) -> Option<(&'a ProxyUse, String)> {
    let mut asked = route.proxied.iter().filter(|used| !of_most || most_would(route, used));
    asked.find_map(|used| Some((used, why_open(used, attempt)?)))
}

/// Why it is not known what the application meets on this way; `None` when it is.
fn why_open(used: &ProxyUse, attempt: Option<&ProxyAttempt>) -> Option<String> {
    if !used.is_walkable() {
        return Some(words::not_spoken(used));
    }
    let Some(attempt) = attempt else {
        // The rules for dials hold for what a proxy dials in our place.
        return Some(words::not_tried(
            used,
            "the name leads to no address here that the check may reach; allowing its host in allowedTargets would let it be asked",
        ));
    };
    if !follows(attempt, used) {
        return Some(words::not_tried(used, "the walk took another way"));
    }
    match Came::of(attempt) {
        Came::NotTried(why) => Some(words::not_tried(used, &why)),
        came if used.credentials && came.may_lack_credentials() => {
            Some(words::without_credentials(used, &came))
        }
        Came::Forbidden => Some(words::whose_answer(used)),
        _ => None,
    }
}

/// Nothing can be said of the application's way.
fn not_proven(route: &Route, used: &ProxyUse, why: String) -> Verdict {
    let mut because = vec![words::sends(used), Because::new(Topic::Missing, why)];
    because.extend(disagreement(route));
    Verdict::unknown(Reason::NotProven, Stage::Route, because)
}

/// Every client of every container takes the same way, and all variables can be seen.
fn all_agree(route: &Route) -> bool {
    let way = |used: &ProxyUse| (used.scheme.clone(), used.proxy.clone());
    let one = route.proxied.windows(2).all(|pair| way(&pair[0]) == way(&pair[1]));
    one && route.not_visible.is_empty() && route.proxied.iter().all(|used| used.direct_clients.is_empty())
}

/// Most clients of the container that follow proxy variables would use a proxy. Which client the application
/// has is not known: where few would, a failure through the proxy is told and not counted.
fn most_would(route: &Route, used: &ProxyUse) -> bool {
    let same = route.proxied.iter().filter(|other| other.container == used.container);
    same.map(|other| other.clients.len()).sum::<usize>() > used.direct_clients.len()
}
