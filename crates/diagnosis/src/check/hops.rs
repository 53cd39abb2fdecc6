//! What claims rest on that the number of hops has a part in.

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::evidence::{Connect, Dial, DialOutcome, DialPurpose, Hop};
use peerwalk_model::{Confidence, Observed, Reason, Stage, Verdict};

use super::denied::silent;
use super::{connected, target_dials};
use crate::case::PairEvidence;

/// A pod whose packets may go no further is no witness of a circle.
const FEW: u8 = 32;

pub(super) fn hops(pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    let Some(connect) = &pair.walk.connect else { return };
    let dials = target_dials(pair);
    if verdict.reason == Some(Reason::RoutingLoop) && verdict.stage == Stage::Connect {
        circle(connect, &dials, verdict, must);
    }
    if verdict.observed == Observed::Denied || verdict.reason == Some(Reason::PolicyDenied) {
        let silence = |hop: &&Hop| {
            let mut these = dials.iter().filter(|dial| dial.remote == hop.remote).peekable();
            these.peek().is_some() && these.all(|dial| silent(dial))
        };
        let answered = connect.hops.iter().filter(silence).any(|hop| hop.reached);
        must(!answered, "what is denied in silence answers no connection that may go a few hops");
    }
}

fn circle(connect: &Connect, dials: &[&Dial], verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    let over: Vec<SocketAddr> = dials.iter().filter(|dial| is_over(dial)).map(|dial| dial.remote).collect();
    must(!over.is_empty(), "RoutingLoop has a router's word that a packet's time is over");
    if verdict.observed != Observed::Unknown {
        let shown = |remote: &SocketAddr| far(connect, *remote) || comes_by_again(connect, *remote);
        must(
            over.iter().any(shown),
            "packets that may go a few hops only by their pod's limit need no circle",
        );
    }
    if verdict.confidence != Confidence::Confirmed {
        return;
    }
    let mut failing = dials.iter().filter(|dial| !connected(dial));
    let direct = failing.clone().any(|dial| dial.purpose != DialPurpose::ServiceAddress);
    must(
        failing
            .by_ref()
            .filter(|dial| !direct || dial.purpose != DialPurpose::ServiceAddress)
            .filter(|dial| is_over(dial))
            .all(|dial| comes_by_again(connect, dial.remote) && far(connect, dial.remote)),
        "a confirmed circle leads by one router twice, with another in between, and ends packets that may go far",
    );
}

/// Whether the pod's own packets may go far, as far as it is known.
fn far(connect: &Connect, remote: SocketAddr) -> bool {
    connect.hop_limits.of(remote.ip()).is_none_or(|limit| limit > FEW)
}

/// Time exceeded in transit, the last word of the network.
fn is_over(dial: &Dial) -> bool {
    let DialOutcome::Failed { queue, .. } = &dial.outcome else { return false };
    queue.iter().any(|error| matches!((error.v6, error.kind, error.code), (false, 11, 0) | (true, 3, 0)))
}

fn comes_by_again(connect: &Connect, remote: SocketAddr) -> bool {
    let of = |hop: &&Hop| hop.remote == remote && hop.from != Some(remote.ip());
    let routers: Vec<(u8, IpAddr)> =
        connect.hops.iter().filter(of).filter_map(|hop| Some((hop.ttl, hop.from?))).collect();
    routers.iter().any(|(first, router)| {
        let mut later = routers.iter().filter(|(ttl, other)| ttl > first && other == router);
        later.any(|(last, _)| routers.iter().any(|(ttl, other)| first < ttl && ttl < last && other != router))
    })
}
