//! A handshake that failed on the direct way, or inside a proxy's tunnel.

use std::time::Duration;

use peerwalk_model::evidence::{Tls, TlsOutcome};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::{after, unreachable};
use crate::rules::connect::{interceptor, unasked};
use crate::view::View;

/// Roots are read again each minute, and given to the sidecars a moment after that.
const ROOTS: Duration = Duration::from_secs(75);

pub(super) fn handshake(view: &View) -> Option<Verdict> {
    let mut verdict = after::told(view, judged(view.walk.tls.as_ref()?)?);
    if verdict.reason == Some(Reason::TlsUntrustedIssuer) && !outlasts_the_roots(view) {
        let text = "roots of a ConfigMap may have been replaced, and are read again soon: walks that see the same for longer decide";
        verdict.because.push(Because::new(Topic::Missing, text));
        verdict.confidence = verdict.confidence.min(Confidence::Likely);
    }
    if interceptor(view).is_some() || unasked(view).is_some() {
        return Some(Verdict { confidence: verdict.confidence.min(Confidence::Likely), ..verdict });
    }
    Some(verdict)
}

/// Whether walks have found the same for longer than roots are old that the operator reads.
fn outlasts_the_roots(view: &View) -> bool {
    view.repeated() && view.pair.since.plus(ROOTS) <= view.pair.started
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
