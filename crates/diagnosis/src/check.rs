//! What must hold for every verdict. Run over every verdict in every test; written from the invariants, with
//! the raw evidence, and sharing nothing with the rules.

mod claims;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, ProxyAttempt, RequestOutcome, Route};
use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Confidence, Observed, Reason, Verdict};

use crate::case::{Case, PairEvidence};
use crate::facts::TargetFacts;

/// An invariant that a verdict breaks, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Every invariant that `verdict` breaks as the answer to `case`; empty for a sound one.
pub fn check(case: &Case, verdict: &Verdict) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            broken.push(Violation(text.to_owned()));
        }
    };
    let claims = matches!(verdict.observed, Observed::Reachable | Observed::Denied);
    let fresh = case.evidence.filter(|pair| case.now.since(pair.ended) <= case.facts.stale_after);
    must(!claims || fresh.is_some(), "missing or stale evidence is neither Reachable nor Denied");
    must(
        !claims || fresh.is_some_and(|pair| pair.walk.local.is_none()),
        "a void walk is neither Reachable nor Denied",
    );
    must(
        verdict.reason.is_some() || verdict.observed == Observed::Reachable,
        "every verdict but Reachable has a reason",
    );
    must(
        verdict.observed != Observed::Reachable
            || matches!(verdict.reason, None | Some(Reason::PolicyNotEnforced)),
        "Reachable has no reason, or PolicyNotEnforced",
    );
    must(
        (verdict.observed == Observed::Denied)
            == (verdict.reason == Some(Reason::PolicyDenied) && verdict.confidence == Confidence::Confirmed),
        "Denied is a confirmed PolicyDenied and nothing else",
    );
    must(
        verdict.observed != Observed::Unknown
            || verdict.confidence != Confidence::Confirmed
            || verdict.reason == Some(Reason::TargetNotAllowed),
        "what is unknown is not confirmed",
    );
    must(
        case.expect == Expectation::Reachable || verdict.observed != Observed::Unreachable,
        "where a denial is expected, another failure is Unknown",
    );
    must(
        !matches!(verdict.reason, Some(Reason::PolicyDenied | Reason::PolicyNotEnforced))
            || verdict.policy.is_some()
            || verdict.line(Topic::Missing).is_some(),
        "a claim about policy names it, or says why it cannot",
    );
    must(verdict.because.is_sorted_by_key(|line| line.topic), "the explanation is in the order of the walk");
    must(
        verdict.because.iter().all(|line| quotes_others(line.topic) || !speaks_of_time(&line.text)),
        "the explanation has no times",
    );
    claims::confirmed(case, verdict, &mut must);
    if let Some(pair) = fresh {
        must(verdict.observed != Observed::Reachable || reached(case, pair), "Reachable has seen an answer");
        must(
            verdict.observed != Observed::Unreachable
                || !pair.walk.interim
                || verdict.confidence == Confidence::Suspected
                || verdict.reason == Some(Reason::ServicePortNotFound),
            "an interim walk proves no failure but a denial",
        );
        if verdict.observed == Observed::Denied {
            denied(case, pair, &mut must);
        }
        proxied(case, pair, verdict, &mut must);
    }
    broken
}

/// What holds where the variables send the target to a proxy.
fn proxied(case: &Case, pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    let Some(route) = pair.walk.route.as_ref().filter(|route| !route.proxied.is_empty()) else {
        let about = matches!(verdict.reason, Some(Reason::ProxyMisrouted | Reason::ProxyUnreachable));
        return must(!about, "a claim about a proxy has variables that name one");
    };
    let attempt = pair.walk.proxied.as_ref();
    if verdict.reason == Some(Reason::ProxyMisrouted) && verdict.observed == Observed::Unreachable {
        let attempt = attempt.filter(|attempt| attempt.dials.iter().any(connected));
        must(attempt.is_some(), "ProxyMisrouted has spoken to the proxy");
        must(
            verdict.confidence != Confidence::Confirmed || (attempt.is_some_and(status) && agreed(route)),
            "ProxyMisrouted is confirmed by a status through the proxy that every client would use, only",
        );
        let credentials = attempt.is_none_or(|attempt| {
            route.proxied.iter().all(|used| used.credentials || used.proxy != attempt.proxy)
        });
        must(!credentials, "a proxy that was asked without its credentials is not accused");
    }
    if verdict.reason == Some(Reason::ProxyUnreachable) {
        let dials = attempt.map_or(&[][..], |attempt| &attempt.dials);
        let left_out = |dial: &&Dial| {
            matches!(dial.outcome, DialOutcome::Skipped | DialOutcome::NotAllowed) || out_of_resources(dial)
        };
        let remotes = |left: bool| -> BTreeSet<SocketAddr> {
            dials.iter().filter(|dial| left_out(dial) == left).map(|dial| dial.remote).collect()
        };
        let tried = attempt.is_some() && remotes(true).is_subset(&remotes(false));
        must(tried, "ProxyUnreachable has tried every address of the proxy");
        must(!dials.iter().any(connected), "ProxyUnreachable has not reached the proxy");
        must(verdict.confidence != Confidence::Confirmed, "ProxyUnreachable is likely at most");
    }
    if matches!(case.facts.target, TargetFacts::Url { .. }) {
        must(verdict.observed != Observed::Denied, "a direct denial is none where a proxy is the way");
        let answered = attempt.is_some_and(answered);
        let claimed = verdict.observed == Observed::Reachable && !pair.walk.interim;
        must(!claimed || answered, "where a proxy is the way, Reachable has an answer through it");
    }
}

/// A status came back through the proxy, whoever gave it, and not the one that opens a tunnel.
fn status(attempt: &ProxyAttempt) -> bool {
    let request = attempt.request.as_ref().map(|request| &request.outcome);
    let refused = attempt.connect_status.is_some_and(|status| !(200..300).contains(&status));
    refused || matches!(request, Some(RequestOutcome::Status(_)))
}

/// An answer that may be the target's: through a tunnel, or a status that is not typically a proxy's own.
fn answered(attempt: &ProxyAttempt) -> bool {
    match (attempt.connect_status, attempt.request.as_ref().map(|request| &request.outcome)) {
        (Some(connect), _) => (200..300).contains(&connect) && attempt.tls.is_some(),
        (None, Some(RequestOutcome::Status(status))) => !matches!(status, 403 | 407),
        (None, _) => false,
    }
}

/// Every client would go the same way, as far as can be seen, and everything can.
fn agreed(route: &Route) -> bool {
    let proxies: BTreeSet<_> = route.proxied.iter().map(|used| (&used.scheme, &used.proxy)).collect();
    let direct = route.proxied.iter().any(|used| !used.direct_clients.is_empty());
    proxies.len() == 1 && !direct && route.not_visible.is_empty()
}

/// The three conditions of a confirmed denial.
fn denied(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    must(case.facts.unreadable_policy_kinds.is_empty(), "a confirmed denial has read every policy");
    let dials = target_dials(pair);
    must(!dials.is_empty(), "a confirmed denial has dialled an endpoint directly");
    must(!dials.iter().any(|dial| connected(dial)), "a confirmed denial has seen no answer");
    let remotes: BTreeSet<SocketAddr> = dials
        .iter()
        .filter(|dial| dial.purpose != DialPurpose::ServiceAddress)
        .filter(|dial| {
            !matches!(dial.outcome, DialOutcome::Skipped | DialOutcome::NotAllowed) && !out_of_resources(dial)
        })
        .map(|dial| dial.remote)
        .collect();
    must(!remotes.is_empty(), "a confirmed denial has dialled an endpoint directly");
    let mut proven = false;
    for remote in remotes {
        let known = case.decisions.iter().find(|known| known.endpoint == remote);
        let in_force = known.is_some_and(|known| {
            let during = |at| known.history.iter().rev().find(|(since, _)| *since <= at);
            let (first, last) = (during(pair.started), known.history.last());
            [first, last].into_iter().all(|entry| entry.is_some_and(|(_, decision)| !decision.is_allowed()))
                && last.is_some_and(|(_, decision)| decision.caveats.is_empty())
        });
        must(in_force, "a confirmed denial rests on a certain decision, in force during the whole walk");
        let these: Vec<&Dial> = dials.iter().filter(|dial| dial.remote == remote).copied().collect();
        let elsewhere = claims::offenders(&these).any(|sender| {
            case.facts.pod_offenders.contains(&sender)
                && sender != remote.ip()
                && !case.facts.source.addresses.contains(&sender)
        });
        must(!elsewhere, "what another pod refuses is no denial by policy");
        proven |= refused(&these) || silent_enough(&these) || reset_with_witness(case, remote, &these);
    }
    must(
        proven,
        "a confirmed denial is an ICMP refusal, a full series of silence, or an RST beside an admitted source",
    );
}

fn target_dials(pair: &PairEvidence) -> Vec<&Dial> {
    let dials = pair.walk.connect.as_ref().map_or(&[][..], |connect| &connect.dials);
    dials.iter().filter(|dial| !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy)).collect()
}

fn connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { .. })
}

/// EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EADDRNOTAVAIL, EAGAIN.
fn out_of_resources(dial: &Dial) -> bool {
    matches!(&dial.outcome, DialOutcome::Failed { errno: 11 | 12 | 23 | 24 | 98 | 99 | 105, queue, .. } if queue.is_empty())
}

fn refused(dials: &[&Dial]) -> bool {
    dials.iter().any(|dial| matches!(&dial.outcome, DialOutcome::Failed { queue, .. } if !queue.is_empty()))
}

fn silent_enough(dials: &[&Dial]) -> bool {
    // ETIMEDOUT is silence too.
    let silent =
        |dial: &&&Dial| matches!(dial.outcome, DialOutcome::Silent | DialOutcome::Failed { errno: 110, .. });
    let ports: BTreeSet<u16> =
        dials.iter().filter(silent).filter_map(|dial| dial.local).map(|local| local.port()).collect();
    let odd = ports.iter().filter(|port| **port % 2 == 1).count();
    let again = dials.iter().filter(silent).any(|dial| dial.retransmits > 0);
    odd >= 4 && ports.len() - odd >= 4 && again
}

fn reset_with_witness(case: &Case, remote: SocketAddr, dials: &[&Dial]) -> bool {
    let reset = |dial: &&Dial| matches!(dial.outcome, DialOutcome::Failed { errno: 111, .. });
    let endpoint = case.facts.endpoints.get(&remote.ip());
    dials.iter().any(reset) && endpoint.is_some_and(|endpoint| endpoint.admitted_source.is_some())
}

/// Something answered that shows the target was reached.
fn reached(case: &Case, pair: &PairEvidence) -> bool {
    let walk = &pair.walk;
    let resolved = walk.resolve.as_ref().is_some_and(|resolve| !resolve.addresses.is_empty());
    let proxied = walk.proxied.as_ref().is_some_and(answered);
    let direct = target_dials(pair).into_iter().any(connected);
    direct || proxied || (case.facts.target == TargetFacts::Dns && resolved)
}

/// Lines that quote a library or a server, in its own words.
fn quotes_others(topic: Topic) -> bool {
    matches!(topic, Topic::Tls | Topic::Request | Topic::Route | Topic::Local)
}

/// A number followed by a unit of time.
fn speaks_of_time(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let unit = pair[1].trim_matches(|c: char| !c.is_alphanumeric());
        pair[0].parse::<f64>().is_ok() && matches!(unit, "ms" | "s" | "second" | "seconds" | "minutes")
    })
}
