//! How far a walk came: enough to tell a change worth remembering, without judging why.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use peerwalk_model::evidence::{
    Dial, DialOutcome, DialPurpose, ProxyAttempt, Request, RequestOutcome, Route, Strain, TlsOutcome,
};
use peerwalk_model::{Stage, Walk};

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Whether every stage passed.
    pub(super) passed: bool,
    /// The stage that failed, or the last that passed.
    pub(super) stage: Stage,
    /// The prober's own trouble: the walk says nothing.
    pub(super) void: bool,
}

impl Summary {
    /// Whether the change is worth a line in the history: success that stays success is not, however the
    /// addresses change, and a void walk says nothing.
    pub(super) fn is_change_from(self, before: Self) -> bool {
        !self.void && (!self.passed || !before.passed)
    }
}

/// How far an application would have come: through the proxy where most clients would ask it, otherwise by the
/// Service's own address where there is one.
pub(super) fn summary(walk: &Walk) -> Summary {
    let mut last = Stage::Resolve;
    let mut failed = None;
    let mut stage = |stage: Stage, passed: bool| {
        if failed.is_none() {
            last = stage;
            failed = (!passed).then_some(stage);
        }
    };
    if let Some(proxied) = walk.proxied.as_ref().filter(|proxied| most_would(walk.route.as_ref(), proxied)) {
        // What the direct way gives, the name included, is of no interest to who asks a proxy.
        stage(Stage::Route, worked(proxied));
    } else {
        if let Some(resolve) = &walk.resolve {
            stage(Stage::Resolve, !resolve.addresses.is_empty());
        }
        if let Some(connect) = &walk.connect {
            stage(Stage::Connect, connects(&connect.dials));
        }
        if let Some(tls) = &walk.tls {
            stage(Stage::Tls, tls.outcome == TlsOutcome::Established);
        }
        if let Some(request) = &walk.request {
            stage(Stage::Request, good(request));
        }
    }
    // What passed has passed, however the prober fared.
    let starved = failed.is_some() && walk.strain.as_ref().is_some_and(Strain::is_starved);
    let void = walk.local.is_some() || starved;
    Summary { passed: failed.is_none() && !void, stage: last, void }
}

/// Whether most clients of the container whose variables were followed would use a proxy.
fn most_would(route: Option<&Route>, proxied: &ProxyAttempt) -> bool {
    let uses =
        || route.iter().flat_map(|route| &route.proxied).filter(|used| used.container == proxied.container);
    let by_proxy: usize = uses().map(|used| used.clients.len()).sum();
    by_proxy > uses().next().map_or(0, |used| used.direct_clients.len())
}

/// Whether the target itself answered through the proxy, as far as that can be told.
fn worked(proxied: &ProxyAttempt) -> bool {
    let tls = proxied.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Established);
    let answered = proxied.request.as_ref().map(good);
    let answer = match proxied.connect_status {
        Some(status) => (200..300).contains(&status) && tls && answered != Some(false),
        None => answered == Some(true) && !proxied.request.as_ref().is_some_and(is_of_proxy),
    };
    proxied.dials.iter().any(is_connected) && answer
}

/// Answers that proxies give in their own name: they ask for credentials, or may not serve the target.
fn is_of_proxy(request: &Request) -> bool {
    matches!(request.outcome, RequestOutcome::Status(403 | 407))
}

/// The addresses of the target that did not answer.
pub(super) fn silent(walk: &Walk) -> BTreeSet<SocketAddr> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials
        .filter(|dial| dial.purpose != DialPurpose::Control && dial.outcome == DialOutcome::Silent)
        .map(|dial| dial.remote)
        .collect()
}

/// Whether an application's connection comes about: to the Service's own address, where it was dialled.
fn connects(dials: &[Dial]) -> bool {
    let own = |dial: &&Dial| dial.purpose == DialPurpose::ServiceAddress;
    if dials.iter().any(|dial| own(&dial)) {
        return dials.iter().filter(own).any(is_connected);
    }
    dials.iter().any(|dial| dial.purpose != DialPurpose::Control && is_connected(dial))
}

fn is_connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { .. } | DialOutcome::Answered { .. })
}

fn good(request: &Request) -> bool {
    matches!(request.outcome, RequestOutcome::Status(status) if status < request.status_below)
}

#[cfg(test)]
mod tests;
