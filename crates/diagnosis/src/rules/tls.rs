//! A handshake that failed on the direct way, or inside a proxy's tunnel.

use peerwalk_model::evidence::{Tls, TlsOutcome};
use peerwalk_model::{Confidence, Reason, Stage, Verdict};

use super::{after, unreachable};
use crate::rules::connect::{interceptor, unasked};
use crate::view::View;

pub(super) fn handshake(view: &View) -> Option<Verdict> {
    let verdict = after::told(view, judged(view.walk.tls.as_ref()?)?);
    if interceptor(view).is_some() || unasked(view).is_some() {
        return Some(Verdict { confidence: verdict.confidence.min(Confidence::Likely), ..verdict });
    }
    Some(verdict)
}

/// The verdict of a handshake; `None` when it passed.
pub(super) fn judged(tls: &Tls) -> Option<Verdict> {
    let (reason, confidence) = match tls.outcome {
        TlsOutcome::Established => return None,
        TlsOutcome::UntrustedIssuer => (Reason::TlsUntrustedIssuer, Confidence::Confirmed),
        TlsOutcome::Failed(_) => (Reason::TlsHandshakeFailed, Confidence::Confirmed),
        TlsOutcome::Reset | TlsOutcome::Timeout => (Reason::TlsHandshakeFailed, Confidence::Likely),
    };
    Some(unreachable(reason, Stage::Tls, confidence, Vec::new()))
}
