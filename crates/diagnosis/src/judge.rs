//! Judging one case: the rules, then what holds for every verdict.

use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Verdict};

use crate::case::Case;
use crate::narrate::narrate;
use crate::rules::{self, coverage};
use crate::view::View;

/// Judges one pair of source pod and target. Pure and total: the same case gives the same verdict, and every
/// case gives one.
pub fn judge(case: &Case) -> Verdict {
    let verdict = match (coverage::without_evidence(case), case.evidence) {
        (Some(verdict), _) => verdict,
        (None, None) => coverage::nothing_yet(case),
        (None, Some(pair)) => {
            let view = View::new(case, pair);
            let mut verdict = settle(&view, rules::apply(&view));
            verdict.because.extend(narrate(&view));
            verdict
        }
    };
    arrange(against(case.expect, as_it_was(case, verdict)))
}

/// What holds for every verdict about a walk.
fn settle(view: &View, mut verdict: Verdict) -> Verdict {
    if let Some(void) = rules::starved(view, &verdict) {
        return void;
    }
    if contradicted_by_proxy(view, &verdict) {
        let text =
            "the target answers through the proxy and not directly: which way the application takes decides";
        verdict.because.push(Because::new(Topic::Missing, text));
        verdict = Verdict {
            observed: Observed::Unknown,
            confidence: Confidence::Suspected,
            policy: None,
            ..verdict
        };
    }
    if verdict.observed == Observed::Denied && view.walk.interim && rules::goes_by_proxy(view) {
        let text = "the way through the proxy, which is the application's, is still under way";
        verdict.because.push(Because::new(Topic::Missing, text));
        verdict.observed = Observed::Unreachable;
    }
    if verdict.observed == Observed::Reachable
        && let Some(text) = rules::dialled_elsewhere(view)
    {
        verdict.because.push(Because::new(Topic::Missing, text));
        verdict.confidence = verdict.confidence.min(Confidence::Likely);
    }
    if verdict.observed == Observed::Unreachable {
        // A proven denial is reported at once; anything else waits for the end of the walk.
        if view.walk.interim || changed(view, &verdict) {
            verdict.confidence = verdict.confidence.min(Confidence::Suspected);
        }
    }
    verdict
}

/// While Services, endpoints or pods cannot be heard of, what rests on them is no surer than likely.
fn as_it_was(case: &Case, mut verdict: Verdict) -> Verdict {
    let rests = matches!(
        verdict.reason,
        Some(
            Reason::ServicePortNotFound
                | Reason::NoEndpoints
                | Reason::NoLocalEndpoints
                | Reason::ServiceNotProgrammed
                | Reason::DnsUnexpectedAddress
                | Reason::WrongBackend
        )
    );
    if case.facts.services_unheard && rests && verdict.confidence == Confidence::Confirmed {
        let text = "a watch of Services, their endpoints or pods is interrupted: they may have changed";
        verdict.because.push(Because::new(Topic::Missing, text));
        verdict.confidence = Confidence::Likely;
    }
    verdict
}

/// An in-cluster target that works through the proxy of the variables, though not directly.
fn contradicted_by_proxy(view: &View, verdict: &Verdict) -> bool {
    let failed = matches!(verdict.observed, Observed::Unreachable | Observed::Denied);
    let worked = view.walk.proxied.as_ref().is_some_and(rules::proxy_worked);
    failed && worked && verdict.stage != Stage::Route && view.facts.service().is_some()
}

/// The Service or its endpoints changed so recently that the data plane may not have it yet. What the present
/// facts explain is not touched; decisions of policy have their own history.
fn changed(view: &View, verdict: &Verdict) -> bool {
    let explained = matches!(
        verdict.reason,
        Some(Reason::NoEndpoints | Reason::PolicyDenied | Reason::DnsNameNotFound | Reason::DnsNoData)
    );
    !explained && verdict.stage == Stage::Connect && view.service_changed()
}

/// Where a denial is expected, whatever else fails proves nothing.
fn against(expect: Expectation, verdict: Verdict) -> Verdict {
    if expect == Expectation::Reachable || verdict.observed != Observed::Unreachable {
        return verdict;
    }
    let mut because = verdict.because;
    because.push(Because::new(Topic::Missing, would_prove(verdict.reason, verdict.confidence)));
    Verdict { policy: verdict.policy, ..Verdict::unknown(Reason::NotProven, verdict.stage, because) }
}

fn would_prove(reason: Option<Reason>, confidence: Confidence) -> String {
    let seen = reason.map_or("nothing", Reason::code);
    match reason {
        Some(Reason::PolicyDenied) => {
            format!("a denial is {confidence} and not proven; the lines above say what is missing")
        }
        Some(Reason::ConnectionRefused) => {
            format!(
                "{seen} has other causes than a policy: an admitted pod that connects to the same port would prove a denial"
            )
        }
        Some(Reason::Dropped | Reason::ConnectTimeout | Reason::Filtered) => {
            format!(
                "{seen} has other causes than a policy: a policy that denies it, or an admitted pod that connects, would decide"
            )
        }
        Some(Reason::DnsDenied | Reason::DnsTimeout | Reason::DnsSlow | Reason::DnsTruncatedNoTcp) => {
            format!(
                "{seen}: without an address nothing of the target itself was tried; name servers that answer would let that decide"
            )
        }
        _ => format!(
            "{seen} says nothing about policy: a target that is there and answers an admitted pod would prove a denial"
        ),
    }
}

/// In the order of the explanation, each line once.
fn arrange(mut verdict: Verdict) -> Verdict {
    let mut lines: Vec<Because> = Vec::with_capacity(verdict.because.len());
    for line in verdict.because {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.sort_by_key(|line| line.topic);
    verdict.because = lines;
    verdict
}
