//! An exchange that failed on the direct way, or through a proxy.

use peerwalk_model::evidence::{Request, RequestOutcome};
use peerwalk_model::{Confidence, Reason, Stage, Verdict};

use super::{after, slow, unreachable};
use crate::view::View;

pub(super) fn exchange(view: &View) -> Option<Verdict> {
    let mut verdict = after::told(view, judged(view.walk.request.as_ref()?)?);
    verdict.because.extend(slow::stopped(view));
    Some(verdict)
}

/// The verdict of an exchange; `None` when it passed. What the target's application does is no proven cause,
/// so none of these counts before it repeats.
pub(super) fn judged(request: &Request) -> Option<Verdict> {
    let reason = match request.outcome {
        RequestOutcome::Status(status) if status < request.status_below => return None,
        RequestOutcome::Status(_) => Reason::HttpStatus,
        RequestOutcome::Reset => Reason::ConnectionReset,
        RequestOutcome::NoResponse | RequestOutcome::Malformed(_) => Reason::NoResponse,
    };
    Some(unreachable(reason, Stage::Request, Confidence::Likely, Vec::new()))
}
