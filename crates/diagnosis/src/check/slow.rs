//! What a slow answer rests on, from the raw evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, RequestOutcome, TlsOutcome};
use peerwalk_model::{Confidence, Observed, Reason, Stage, Verdict};

use super::denied::{ends, silent};
use super::{connected, target_dials};
use crate::case::{Case, PairEvidence};
use crate::errno::{EACCES, ECONNREFUSED, ECONNRESET, ENOPROTOOPT};

/// Slowness is measured before it is claimed, and never where silence or a policy explains the same.
pub(super) fn slow(case: &Case, pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    if verdict.reason != Some(Reason::SlowResponse) {
        return;
    }
    must(verdict.confidence != Confidence::Confirmed, "slowness is likely at most");
    must(
        matches!(verdict.observed, Observed::Unreachable | Observed::Unknown),
        "what is slow was not reached",
    );
    must(!pair.walk.interim, "slowness is told by whole walks");
    must(pair.consecutive <= 10, "what has not answered for long is not slow");
    must(
        case.decisions.iter().filter_map(|known| known.current()).all(|(_, decision)| decision.is_allowed()),
        "what a policy denies is not slow",
    );
    let Some(latency) = case.facts.latency else { return must(false, "slowness has been measured") };
    must(latency.samples >= 20, "slowness has been measured by twenty walks");
    let dials = target_dials(pair);
    let within = |p99: Duration, limit: Duration| p99 * 2 >= limit;
    if verdict.stage == Stage::Connect {
        must(within(latency.connect.p99, latency.connect_limit), "a slow connection comes near its limit");
        must(!dials.iter().any(|dial| answered(dial)), "a slow connection has got no answer at all");
        let mut ports: BTreeMap<(DialPurpose, SocketAddr), BTreeSet<u16>> = BTreeMap::new();
        for dial in dials.iter().filter(|dial| silent(dial)) {
            ports
                .entry((dial.purpose, dial.remote))
                .or_default()
                .extend(dial.local.map(|local| local.port()));
        }
        let again = |of: &(DialPurpose, SocketAddr)| {
            dials.iter().any(|d| (d.purpose, d.remote) == *of && silent(d) && d.retransmits > 0)
        };
        let complete = |(of, ports): (&(DialPurpose, SocketAddr), &BTreeSet<u16>)| {
            let odd = ports.iter().filter(|port| *port % 2 == 1).count();
            odd >= 4 && ports.len() - odd >= 4 && again(of)
        };
        must(!ports.iter().any(complete), "a full series of silence is not slowness");
        return;
    }
    must(within(latency.whole.p99, latency.whole_limit), "a slow answer comes near its limit");
    must(dials.iter().any(|dial| connected(dial)), "a slow answer has a connection");
    let tls = pair.walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Timeout);
    let request =
        pair.walk.request.as_ref().is_some_and(|request| request.outcome == RequestOutcome::NoResponse);
    must(tls || request, "a slow answer ran out of time");
    let stuck = pair.walk.after.as_ref().is_some_and(|after| {
        let connection = &after.connection;
        connection.retransmits > 0
            || connection.peer_window == Some(0)
            || connection.queue.iter().any(ends)
            || matches!(connection.errno, Some(EACCES | ECONNREFUSED | ENOPROTOOPT))
            || after.small_segments.is_some_and(|small| small.answered)
    });
    must(!stuck, "what the network or the peer's kernel does to segments is not slowness");
}

/// Anything came back from an address, if only a reset.
fn answered(dial: &Dial) -> bool {
    connected(dial)
        || matches!(&dial.outcome, DialOutcome::Failed { errno, queue, .. }
            if !queue.is_empty() || matches!(*errno, ECONNREFUSED | ECONNRESET))
}
