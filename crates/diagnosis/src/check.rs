//! What must hold for every verdict. Run over every verdict in every test; written from the invariants, with
//! the raw evidence, and sharing nothing with the rules.

mod after;
mod claims;
mod denied;
mod hops;
mod local;
mod names;
mod peers;
mod slow;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_model::evidence::{
    Dial, DialOutcome, DialPurpose, NeighbourState, ProxyAttempt, RequestOutcome, Route,
};
use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Confidence, Observed, Protocol, Reason, Stage, Verdict};

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
            || matches!(verdict.reason, None | Some(Reason::PolicyNotEnforced | Reason::FamilyDegraded)),
        "Reachable has no reason, or one that leaves it reachable",
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
        peers::claimed(case, pair, verdict, &mut must);
        local::starved(pair, verdict, &mut must);
        must(verdict.observed != Observed::Reachable || reached(case, pair), "Reachable has seen an answer");
        must(
            verdict.observed != Observed::Unreachable
                || !pair.walk.interim
                || verdict.confidence == Confidence::Suspected
                || verdict.reason == Some(Reason::ServicePortNotFound),
            "an interim walk proves no failure but a denial",
        );
        if verdict.observed == Observed::Denied {
            denied::denied(case, pair, &mut must);
        }
        names::about_names(pair, verdict, &mut must);
        proxied(case, pair, verdict, &mut must);
        slow::slow(case, pair, verdict, &mut must);
        after::connected(pair, verdict, &mut must);
        datagrams(pair, verdict, &mut must);
        gone(case, pair, verdict, &mut must);
        hops::hops(pair, verdict, &mut must);
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
            verdict.confidence != Confidence::Confirmed || (attempt.is_some_and(no_tunnel) && agreed(route)),
            "ProxyMisrouted is confirmed by a proxy that every client would use and that refuses a tunnel, only",
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

/// A claim that nobody has an endpoint's address.
fn gone(case: &Case<'_>, pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    if verdict.reason != Some(Reason::PodGone) {
        return;
    }
    let neighbours = pair.walk.connect.as_ref().map_or(&[][..], |connect| &connect.neighbours);
    let failed = |ip: IpAddr| {
        neighbours.iter().any(|n| n.state == NeighbourState::Failed && n.address == ip.to_canonical())
    };
    let dials = target_dials(pair);
    let answered = |remote| dials.iter().any(|dial| dial.remote == remote && connected(dial));
    let gone = dials.iter().any(|dial| {
        let ip = dial.remote.ip();
        let gone = failed(ip) || case.facts.endpoints.get(&ip).is_some_and(|endpoint| endpoint.gone);
        dial.purpose == DialPurpose::Endpoint && gone && !answered(dial.remote)
    });
    must(gone, "PodGone has an endpoint without a pod, or that nobody on the own link answers for");
    must(verdict.confidence != Confidence::Confirmed, "PodGone is likely at most");
}

/// What holds where the target was dialled over UDP.
fn datagrams(pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    let dials = target_dials(pair);
    if dials.is_empty() || dials.iter().any(|dial| dial.protocol != Protocol::Udp) {
        return;
    }
    let connect = verdict.stage == Stage::Connect;
    let silent = dials.iter().all(|dial| dial.outcome == DialOutcome::Silent);
    let of_network = matches!(
        verdict.reason,
        Some(
            Reason::PolicyDenied
                | Reason::Filtered
                | Reason::Dropped
                | Reason::PartialLoss
                | Reason::ConnectionRefused
                | Reason::HostUnreachable
                | Reason::PodGone
        )
    );
    let claims = connect && of_network && verdict.observed != Observed::Unknown;
    must(!(silent && claims), "silence over UDP proves nothing");
    let reachable = verdict.observed == Observed::Reachable && verdict.confidence == Confidence::Confirmed;
    must(!(reachable && connect), "nobody tells who answered a datagram");
}

/// The proxy itself answered `CONNECT`, and opened no tunnel.
fn no_tunnel(attempt: &ProxyAttempt) -> bool {
    attempt.connect_status.is_some_and(|status| !(200..300).contains(&status))
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

/// The dials of the target itself; not what is remembered for more than a minute.
fn target_dials(pair: &PairEvidence) -> Vec<&Dial> {
    let dials = pair.walk.connect.as_ref().map_or(&[][..], |connect| &connect.dials);
    let target = |dial: &&Dial| !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy);
    let stands = |dial: &&Dial| pair.walk.started.since(dial.started) <= Duration::from_mins(1);
    dials.iter().filter(target).filter(stands).collect()
}

fn connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { .. } | DialOutcome::Answered { .. })
}

fn out_of_resources(dial: &Dial) -> bool {
    use crate::errno::{EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    let DialOutcome::Failed { errno, queue, .. } = &dial.outcome else { return false };
    let ours = [EAGAIN, ENOMEM, ENFILE, EMFILE, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS];
    ours.contains(errno) && queue.is_empty()
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
