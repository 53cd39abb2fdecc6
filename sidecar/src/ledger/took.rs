//! How long a walk took as an application would have waited, without what the prober itself waited for.

use std::time::Duration;

use peerwalk_model::Walk;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use peerwalk_model::report::Took;

/// The time of the stages of a walk on the direct way; `None` without a connection, where a proxy was tried too, and
/// where the prober was hard pressed, so that its own slowness is never the target's.
pub(super) fn took(walk: &Walk) -> Option<Took> {
    if walk.proxied.is_some() || walk.strain.is_some() {
        return None;
    }
    let connect = connected(&walk.connect.as_ref()?.dials)?;
    let stages = [
        walk.resolve.as_ref().map(|resolve| resolve.elapsed),
        walk.tls.as_ref().map(|tls| tls.elapsed),
        walk.request.as_ref().map(|request| request.elapsed),
    ];
    Some(Took { connect, whole: stages.into_iter().flatten().fold(connect, Duration::saturating_add) })
}

/// The fastest connection on the way that an application takes: a SYN that was lost says nothing of the target.
fn connected(dials: &[Dial]) -> Option<Duration> {
    let fastest = |own: bool| {
        let wanted = |dial: &&Dial| match dial.purpose {
            DialPurpose::ServiceAddress => own,
            DialPurpose::Endpoint | DialPurpose::Address => !own,
            DialPurpose::Control | DialPurpose::Proxy => false,
        };
        let answered = |dial: &&Dial| {
            matches!(dial.outcome, DialOutcome::Connected { .. } | DialOutcome::Answered { .. })
        };
        dials.iter().filter(wanted).filter(answered).map(|dial| dial.elapsed).min()
    };
    fastest(true).or_else(|| fastest(false))
}

#[cfg(test)]
mod tests;
