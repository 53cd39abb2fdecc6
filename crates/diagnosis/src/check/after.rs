//! What each claim about a connection rests on that was made and got no answer.

use peerwalk_model::evidence::{RequestOutcome, TlsOutcome};
use peerwalk_model::peer::Seen;
use peerwalk_model::{Confidence, Observed, Reason, Stage, Verdict};

use crate::case::PairEvidence;

/// The invariants of what is said of an established connection.
pub(super) fn connected(pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    let later = matches!(verdict.stage, Stage::Tls | Stage::Request);
    // Where another way works or a denial is expected, it is Unknown, and told all the same.
    let fails = matches!(verdict.observed, Observed::Unreachable | Observed::Unknown);
    let (Some(reason), true) = (verdict.reason, later && fails) else {
        let only_later = matches!(verdict.reason, Some(Reason::MtuBlackhole | Reason::PeerNotReading));
        return must(
            !only_later,
            "a claim about what is sent over a connection is made after the connect stage",
        );
    };
    let walk = &pair.walk;
    let told = walk.after.as_ref();
    let silent = match verdict.stage {
        Stage::Tls => walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Timeout),
        _ => walk.request.as_ref().is_some_and(|request| request.outcome == RequestOutcome::NoResponse),
    };
    let holds = match reason {
        Reason::MtuBlackhole => {
            let small = told.and_then(|told| told.small_segments);
            silent && small.is_some_and(|small| small.answered)
        }
        Reason::PeerNotReading => {
            let own = told.is_some_and(|told| {
                let connection = &told.connection;
                connection.peer_window == Some(0)
                    && (connection.bytes_acked, connection.bytes_received) != (0, 0)
            });
            let mut seen = pair.attestations.iter().flat_map(|attestation| &attestation.saw.seen);
            let unread = |seen: &Seen| seen.socket.as_ref().is_some_and(|socket| socket.unread > 0);
            silent && (own || seen.any(unread))
        }
        Reason::Dropped => silent && told.is_some_and(|told| told.connection.retransmits > 1),
        Reason::Filtered | Reason::HostUnreachable | Reason::NetworkUnreachable | Reason::RoutingLoop => {
            told.is_some_and(|told| !told.connection.queue.is_empty() || told.connection.errno.is_some())
        }
        _ => return,
    };
    must(holds, "a claim about an established connection has what its kernel told of it");
    must(verdict.confidence != Confidence::Confirmed, "an established connection proves no cause by itself");
}
