//! The ordered table of rules. The first that speaks gives the verdict; one file a family.

mod after;
mod backends;
pub(crate) mod connect;
pub(crate) mod coverage;
mod local;
mod over;
mod peer;
mod policy;
mod request;
mod resolve;
mod route;
mod service;
mod slow;
mod tls;
mod works;

pub(crate) use local::{shortage, starved};
pub(crate) use route::{goes_by_proxy, said as said_of_proxy, worked as proxy_worked};
pub(crate) use service::dialled_elsewhere;

use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};

use crate::view::{Rule, View};

/// In the order of a walk: what voids it, then each stage, the more particular explanation before the plainer.
const RULES: &[Rule] = &[
    local::no_query_left,
    local::no_permission,
    local::prober_out_of_resources,
    resolve::unexpected_address,
    coverage::address_not_allowed,
    route::proxied_elsewhere,
    service::headless_without_endpoints,
    resolve::name,
    resolve::name_is_the_target,
    resolve::no_time_left,
    service::no_endpoints,
    route::not_walked,
    service::no_local_endpoints,
    connect::intercepted,
    policy::programming,
    peer::wrong_backend,
    policy::not_enforced_though_expected,
    works::expected_denied,
    backends::hairpin,
    service::not_programmed,
    backends::partial,
    peer::return_path,
    peer::overloaded,
    peer::not_listening,
    policy::denied,
    policy::refused_past_the_policy,
    peer::reset_by_filter,
    connect::partial_loss,
    connect::contradictory,
    connect::refused,
    connect::no_host,
    connect::reset,
    slow::connecting,
    connect::silent,
    connect::unexplained,
    local::no_dial_left,
    connect::nothing_tried,
    route::proxy,
    peer::exchange,
    slow::answering,
    tls::handshake,
    request::exchange,
    works::incomplete,
    policy::not_enforced,
];

/// The verdict of the first rule that speaks; when none does, every stage passed.
pub(crate) fn apply(view: &View) -> Verdict {
    RULES.iter().find_map(|rule| rule(view)).unwrap_or_else(|| works::reachable(view))
}

/// A target that is not usable.
fn unreachable(reason: Reason, stage: Stage, confidence: Confidence, because: Vec<Because>) -> Verdict {
    Verdict {
        observed: Observed::Unreachable,
        reason: Some(reason),
        stage,
        confidence,
        policy: None,
        because,
    }
}
