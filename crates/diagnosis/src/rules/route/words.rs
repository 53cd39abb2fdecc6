//! What is said of proxies, in words that a steady state repeats.

use peerwalk_model::Because;
use peerwalk_model::evidence::{ProxyAttempt, ProxyUse, Route};
use peerwalk_model::verdict::Topic;

use super::came::{Came, answer};

/// Clients that would take another way, proxies that are not spoken to, and what cannot be seen.
pub(crate) fn disagreement(route: &Route) -> Vec<Because> {
    let mut lines = Vec::new();
    for used in &route.proxied {
        let same = route.proxied.iter().filter(|other| other.container == used.container);
        let mut ways: Vec<String> = same
            .map(|other| format!("{} would use the proxy {}", other.clients.join(", "), shown(other)))
            .collect();
        if let [way] = ways.as_mut_slice() {
            *way = format!("{} would use the proxy", used.clients.join(", "));
        }
        if !used.direct_clients.is_empty() {
            ways.push(format!("{} would go direct", used.direct_clients.join(", ")));
        }
        if ways.len() > 1 {
            lines.push(missing(format!("in container {}, {}", used.container, ways.join(" and "))));
        }
        if !used.is_walkable() {
            lines.push(missing(not_spoken(used)));
        }
    }
    if !route.not_visible.is_empty() {
        lines.push(missing(format!(
            "not every environment variable of container {} can be seen from outside",
            route.not_visible.join(", ")
        )));
    }
    lines
}

/// Which variable sends the target to which proxy.
pub(super) fn sends(used: &ProxyUse) -> Because {
    let text = format!(
        "container {} sets {} to {}, and {} does not match the target",
        used.container,
        used.variable,
        shown(used),
        exceptions(used)
    );
    Because::new(Topic::Route, text)
}

/// What to change so that every client goes direct.
pub(super) fn fix(used: &ProxyUse) -> Because {
    let text = format!("add {} to {} of container {}", used.entry, exceptions(used), used.container);
    Because::new(Topic::Fix, text)
}

/// What failed, where the attempt's own line does not say it.
pub(super) fn failure(used: &ProxyUse, attempt: &ProxyAttempt, came: &Came) -> Option<Because> {
    let proxy = &attempt.proxy;
    let text = match came {
        Came::Unresolved => format!("the name of proxy {proxy} does not resolve"),
        Came::Unconnected => format!("no address of proxy {proxy} connects"),
        Came::AsksForCredentials => format!(
            "proxy {proxy} asks for credentials (407), and {} of container {} holds none",
            used.variable, used.container
        ),
        Came::Refused(status) => format!("proxy {proxy} answered CONNECT with {status}"),
        _ => return None,
    };
    Some(Because::new(Topic::Route, text))
}

/// Why a proxy's scheme leaves the way open, and what would decide.
pub(super) fn not_spoken(used: &ProxyUse) -> String {
    format!(
        "{} of container {} names a proxy of scheme {}, which Peerwalk does not speak: a request by the application itself would decide",
        used.variable, used.container, used.scheme
    )
}

pub(super) fn not_tried(used: &ProxyUse, why: &str) -> String {
    format!("the way through proxy {} was not tried: {why}", used.proxy)
}

/// Why the answer of a proxy that was asked without the variable's credentials says nothing of a request with
/// them.
pub(super) fn without_credentials(used: &ProxyUse, came: &Came) -> String {
    let gave = match came {
        Came::AsksForCredentials => "asks for credentials that Peerwalk does not have",
        _ => "may ask for credentials that Peerwalk does not have",
    };
    format!(
        "proxy {} {gave}: a request with those of {} of container {} would decide",
        used.proxy, used.variable, used.container
    )
}

pub(super) fn whose_answer(used: &ProxyUse) -> String {
    format!(
        "status 403 may be the answer of proxy {} itself or the target's: the log of either would decide",
        used.proxy
    )
}

/// What came of the attempt through the proxy.
pub(crate) fn said(attempt: &ProxyAttempt) -> String {
    let came = Came::of(attempt);
    let answer = match (&attempt.request, attempt.connect_status) {
        (Some(request), _) => answer(&request.outcome),
        (None, Some(status)) => format!("status {status} to CONNECT"),
        (None, None) => match came {
            Came::Unresolved => "its name does not resolve".into(),
            Came::NotTried(why) => format!("not tried, {why}"),
            Came::Unconnected => "it does not connect".into(),
            _ => "no answer".into(),
        },
    };
    format!("through proxy {} of container {}: {answer}", attempt.proxy, attempt.container)
}

/// The proxy, with its scheme where that is not the usual one.
fn shown(used: &ProxyUse) -> String {
    if used.is_walkable() { used.proxy.clone() } else { format!("{}://{}", used.scheme, used.proxy) }
}

fn exceptions(used: &ProxyUse) -> &str {
    used.exceptions.as_ref().map_or("NO_PROXY", |(name, _)| name.as_str())
}

fn missing(text: String) -> Because {
    Because::new(Topic::Missing, text)
}
