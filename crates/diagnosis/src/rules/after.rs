//! A direct exchange that got no answer, by what its connection tells.

use peerwalk_model::evidence::{AfterConnect, RequestOutcome, TlsOutcome};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::unreachable;
use crate::errno::{EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT};
use crate::signal::{Signal, icmp};
use crate::view::View;

/// The verdict of a stage that got no answer or was cut off, where its connection tells more than that; `plain` with
/// what is missing, where it does not.
pub(super) fn told(view: &View, plain: Verdict) -> Verdict {
    let (tls, request) = (view.walk.tls.as_ref(), view.walk.request.as_ref());
    let silent = match plain.stage {
        Stage::Tls => tls.is_some_and(|tls| tls.outcome == TlsOutcome::Timeout),
        _ => request.is_some_and(|request| request.outcome == RequestOutcome::NoResponse),
    };
    let cut_off = match plain.stage {
        Stage::Tls => tls.is_some_and(|tls| tls.outcome == TlsOutcome::Reset),
        _ => request.is_some_and(|request| request.outcome == RequestOutcome::Reset),
    };
    let after = view.walk.after.as_ref().filter(|_| silent || cut_off);
    if let Some(reason) = after.and_then(refused) {
        return unreachable(reason, plain.stage, Confidence::Likely, Vec::new());
    }
    if !silent {
        return plain;
    }
    let found = after.and_then(|after| explicit(after).or_else(|| lost(view, after)));
    let Some((reason, because)) = found else {
        return Verdict { because: vec![Because::new(Topic::Missing, UNKNOWN)], ..plain };
    };
    unreachable(reason, plain.stage, Confidence::Likely, because)
}

/// Whether the connection of an exchange that got no answer tells why.
pub(super) fn tells(view: &View) -> bool {
    let tells = |after: &AfterConnect| {
        came(after) || lost(view, after).is_some() || after.connection.was_never_open()
    };
    view.walk.after.as_ref().is_some_and(tells)
}

/// Whether something came back for an exchange that got no answer: the network's own word, which no word of the
/// peer's kernel explains better.
pub(super) fn came(after: &AfterConnect) -> bool {
    refused(after).is_some() || explicit(after).is_some()
}

/// What small segments or an error tell.
fn explicit(after: &AfterConnect) -> Option<(Reason, Vec<Because>)> {
    segments(after).or_else(|| error(after))
}

/// What is missing where the connection tells nothing of the answer.
const UNKNOWN: &str = "whether the target gives no answer, or its answers are lost on the way: only its own side can \
                       tell, such as a sidecar in it";

/// The word for an ICMP error that ended the connection.
fn refused(after: &AfterConnect) -> Option<Reason> {
    after.connection.queue.iter().rev().find_map(|error| match icmp(error)? {
        Signal::Refused(_) => Some(Reason::Filtered),
        Signal::HostUnreachable(_) => Some(Reason::HostUnreachable),
        Signal::NetworkUnreachable(_) => Some(Reason::NetworkUnreachable),
        Signal::RoutingLoop(_) => Some(Reason::RoutingLoop),
        _ => None,
    })
}

/// What small segments tell.
fn segments(after: &AfterConnect) -> Option<(Reason, Vec<Because>)> {
    let answered = after.small_segments.is_some_and(|small| small.answered);
    answered.then_some((Reason::MtuBlackhole, Vec::new()))
}

/// The word for the error of an ICMP message, whose type and code the kernel keeps to itself for an established
/// connection. A prohibition over IPv4 leaves the same as a host that is not there: it is one when a new connection to
/// the host was made after it.
fn error(after: &AfterConnect) -> Option<(Reason, Vec<Because>)> {
    let there = after.small_segments.is_some();
    match after.connection.errno? {
        // A port that is closed answers with a reset, which is another error.
        EACCES | ECONNREFUSED | ENOPROTOOPT => Some((Reason::Filtered, Vec::new())),
        EHOSTUNREACH | ENETUNREACH if there => Some((Reason::Filtered, Vec::new())),
        _ => None,
    }
}

/// Why nothing came back, where that can be told from this side.
fn lost(view: &View, after: &AfterConnect) -> Option<(Reason, Vec<Because>)> {
    let connection = &after.connection;
    // Something on the way says that it cannot be delivered: it does not vanish.
    if connection.errno.is_some() {
        return None;
    }
    if connection.is_peer_full() {
        return Some((Reason::PeerNotReading, Vec::new()));
    }
    // Who answered the SYN is not the target, and keeps what is sent from it.
    if connection.was_never_open() {
        return None;
    }
    // What a handshake of TLS brought was before it.
    let shaken = view.walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Established);
    if connection.is_unacknowledged() && (shaken || connection.bytes_received == 0) {
        let gone = "the target, or its node, may have gone away after the handshake: a later walk that sees the same \
                    excludes it";
        let because = if view.repeated() { Vec::new() } else { vec![Because::new(Topic::Missing, gone)] };
        return Some((Reason::Dropped, because));
    }
    None
}
