//! How far a walk came: enough to tell a change worth remembering, without judging why.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, RequestOutcome, TlsOutcome};
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

/// How far the walk came.
pub(super) fn summary(walk: &Walk) -> Summary {
    let mut last = Stage::Resolve;
    let mut failed = None;
    let mut stage = |stage: Stage, passed: bool| {
        if failed.is_none() {
            last = stage;
            failed = (!passed).then_some(stage);
        }
    };
    if let Some(resolve) = &walk.resolve {
        stage(Stage::Resolve, !resolve.addresses.is_empty());
    }
    if let Some(proxied) = &walk.proxied {
        let answered =
            proxied.request.as_ref().is_none_or(|request| good(&request.outcome, request.status_below));
        let tunnel = proxied.connect_status.is_none_or(|status| status < 300);
        stage(Stage::Route, any_connected(&proxied.dials) && tunnel && answered);
    }
    if let Some(connect) = &walk.connect {
        stage(Stage::Connect, any_connected(&connect.dials));
    }
    if let Some(tls) = &walk.tls {
        stage(Stage::Tls, tls.outcome == TlsOutcome::Established);
    }
    if let Some(request) = &walk.request {
        stage(Stage::Request, good(&request.outcome, request.status_below));
    }
    Summary { passed: failed.is_none() && walk.local.is_none(), stage: last, void: walk.local.is_some() }
}

/// The addresses of the target that did not answer.
pub(super) fn silent(walk: &Walk) -> BTreeSet<SocketAddr> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials
        .filter(|dial| dial.purpose != DialPurpose::Control && dial.outcome == DialOutcome::Silent)
        .map(|dial| dial.remote)
        .collect()
}

fn any_connected(dials: &[Dial]) -> bool {
    dials.iter().any(|dial| {
        dial.purpose != DialPurpose::Control && matches!(dial.outcome, DialOutcome::Connected { .. })
    })
}

fn good(outcome: &RequestOutcome, status_below: u16) -> bool {
    matches!(outcome, RequestOutcome::Status(status) if *status < status_below)
}
