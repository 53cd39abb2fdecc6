//! What must hold of a walk during which the prober was kept from running.

use peerwalk_model::evidence::{
    Dial, DialOutcome, Query, QueryOutcome, RequestOutcome, Resolve, Strain, TlsOutcome,
};
use peerwalk_model::{Observed, Reason, Stage, Verdict};

use super::target_dials;
use crate::case::PairEvidence;

/// What it waited for in vain is nobody's fault but its own.
pub(super) fn starved(pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    let walk = &pair.walk;
    let is_starved = walk.strain.as_ref().is_some_and(Strain::is_starved);
    if !is_starved {
        return must(verdict.reason != Some(Reason::ProbeStarved), "ProbeStarved has been kept from running");
    }
    must(
        verdict.reason != Some(Reason::ProbeStarved) || verdict.observed == Observed::Unknown,
        "ProbeStarved knows nothing",
    );
    let failed = matches!(verdict.observed, Observed::Denied | Observed::Unreachable);
    if !failed {
        return;
    }
    let answered = match verdict.stage {
        Stage::Connect => {
            let dials = target_dials(pair);
            dials.is_empty()
                || dials.iter().any(|dial| matches!(dial.outcome, DialOutcome::Failed { .. }))
                || !dials.iter().any(|dial| dial.outcome == DialOutcome::Silent)
        }
        Stage::Resolve => walk.resolve.as_ref().is_none_or(|resolve| {
            let came = |query: &Query| query.outcome != QueryOutcome::Timeout || query.late.is_some();
            !resolve.addresses.is_empty() || resolve.queries.iter().any(came)
        }),
        Stage::Tls | Stage::Request => {
            walk.tls.as_ref().is_none_or(|tls| tls.outcome != TlsOutcome::Timeout)
                && walk.request.as_ref().is_none_or(|request| request.outcome != RequestOutcome::NoResponse)
        }
        Stage::Route => true,
    };
    must(answered, "a failure of a starved walk rests on an answer");
    let unanswered =
        |resolve: &Resolve| resolve.queries.iter().any(|query| query.outcome == QueryOutcome::Timeout);
    let silent = match verdict.reason {
        Some(Reason::Dropped | Reason::ConnectTimeout | Reason::PartialLoss | Reason::DnsSlow) => true,
        // A name server whose host refuses is one that does not answer, too.
        Some(Reason::DnsTimeout) => walk.resolve.as_ref().is_some_and(unanswered),
        _ => false,
    };
    must(!silent, "silence of a starved walk is its own");
    let denial = verdict.observed == Observed::Denied;
    let dials = target_dials(pair);
    let answers = |dial: &Dial| !matches!(dial.outcome, DialOutcome::Silent | DialOutcome::Skipped);
    let silent = |dial: &&Dial| {
        dial.outcome == DialOutcome::Silent
            && !dials.iter().any(|other| other.remote == dial.remote && answers(other))
    };
    must(
        !denial || !dials.iter().any(silent),
        "a denial has found no address silent while the prober was kept from running",
    );
}
