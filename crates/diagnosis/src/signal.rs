//! What one socket saw, by queue type, code and offender; never by errno and time.
//!
//! Codes are those of RFC 792, RFC 1812 (9, 10, 13) and RFC 4443; which errno goes with which was measured
//! on Linux 6.18. An errno is looked at only where the kernel gives nothing else: an empty error queue.

use std::net::IpAddr;

use peerwalk_model::Protocol;
use peerwalk_model::evidence::{Dial, DialOutcome, IcmpError, LocalPeer};

/// What one socket saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal<'a> {
    /// The handshake completed, perhaps with a socket of our own namespace.
    Connected(Option<&'a LocalPeer>),
    /// The handshake completed, and an RST followed at once.
    ResetAfterAccept,
    /// No answer.
    Silent,
    /// An RST.
    Reset,
    /// An explicit ICMP refusal: a packet filter, or a Service without endpoints.
    Refused(&'a IcmpError),
    /// ICMP host unreachable, or a failed neighbour lookup.
    HostUnreachable(Option<IpAddr>),
    /// ICMP time exceeded in transit.
    RoutingLoop(Option<IpAddr>),
    /// ICMP network unreachable, or no route in the pod itself.
    NetworkUnreachable(Option<IpAddr>),
    /// `connect()` itself was forbidden: a route of type prohibit, or a filter in the pod's own kernel.
    Forbidden,
    /// The prober ran out of something.
    Resources(i32),
    /// An error that says nothing certain by itself.
    Unexplained(i32),
    /// The address may not be dialled.
    NotAllowed,
    /// Not dialled.
    Skipped,
}

/// What a dial saw.
pub(crate) fn classify(dial: &Dial) -> Signal<'_> {
    match &dial.outcome {
        DialOutcome::Connected { local_peer } => Signal::Connected(local_peer.as_ref()),
        // No kernel tells whose socket it was that answered.
        DialOutcome::Answered { .. } => Signal::Connected(Some(&LocalPeer::Unknown)),
        DialOutcome::Silent => Signal::Silent,
        DialOutcome::NotAllowed => Signal::NotAllowed,
        DialOutcome::Skipped => Signal::Skipped,
        DialOutcome::Failed { errno, immediate, queue } => {
            // The last entry decides: earlier ones were transient, or the socket would have ended there.
            match queue.iter().rev().find_map(icmp) {
                Some(Signal::Refused(error)) if is_closed_port(dial, error) => Signal::Reset,
                Some(signal) => signal,
                None => without_queue(*errno, *immediate),
            }
        }
    }
}

/// Whether an ICMP refusal is what UDP has in the place of a reset: "port unreachable" from the address itself.
fn is_closed_port(dial: &Dial, error: &IcmpError) -> bool {
    let port = matches!((error.v6, error.code), (false, 3) | (true, 4));
    let itself =
        error.offender.is_some_and(|offender| offender.to_canonical() == dial.remote.ip().to_canonical());
    dial.protocol == Protocol::Udp && port && itself
}

/// What an entry of the error queue says; `None` for one that does not end a connection attempt.
pub(crate) fn icmp(error: &IcmpError) -> Option<Signal<'_>> {
    Some(match (error.v6, error.kind, error.code) {
        (false, 3, 2 | 3 | 9 | 10 | 13) | (true, 1, 1 | 4 | 5 | 6) => Signal::Refused(error),
        (false, 3, 1) | (true, 1, 3) => Signal::HostUnreachable(error.offender),
        (false, 3, 0) | (true, 1, 0) => Signal::NetworkUnreachable(error.offender),
        // Code 1 is about the reassembly of fragments.
        (false, 11, 0) | (true, 3, 0) => Signal::RoutingLoop(error.offender),
        _ => return None,
    })
}

fn without_queue<'a>(number: i32, immediate: bool) -> Signal<'a> {
    use crate::errno::{
        EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, ECONNRESET, EHOSTUNREACH,
        EINVAL, EMFILE, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM, EPERM, ETIMEDOUT,
    };
    match number {
        EMFILE | ENFILE | ENOMEM | ENOBUFS | EADDRNOTAVAIL | EADDRINUSE | EAGAIN => Signal::Resources(number),
        ECONNREFUSED => Signal::Reset,
        ECONNRESET => Signal::ResetAfterAccept,
        // connect() itself waits for nobody: what times out at once is no silence.
        ETIMEDOUT if !immediate => Signal::Silent,
        // From connect() itself: the pod's own routes (unreachable; blackhole gives EINVAL; prohibit), or a kernel
        // without the family, which is no route either.
        ENETUNREACH | EHOSTUNREACH | EINVAL | EAFNOSUPPORT if immediate => Signal::NetworkUnreachable(None),
        EPERM | EACCES if immediate => Signal::Forbidden,
        other => Signal::Unexplained(other),
    }
}

/// Whether the code says "forbidden by a filter" in words, rather than "port unreachable", which Services
/// without endpoints use too.
pub(crate) fn is_prohibition(error: &IcmpError) -> bool {
    match (error.v6, error.code) {
        (false, code) => matches!(code, 9 | 10 | 13),
        (true, code) => matches!(code, 1 | 5 | 6),
    }
}

#[cfg(test)]
mod tests;
