//! What one address answered, over all the sockets that dialled it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialPurpose, IcmpError, LocalPeer, Walk};
use peerwalk_model::{Protocol, Timestamp};

use crate::case::EndpointDecision;
use crate::signal::{Signal, classify};

/// What is remembered stands for a minute: ICMP errors are rate limited by the host that sends them, and silence that
/// was proven is only asked about with a few sockets.
const STANDS: Duration = Duration::from_mins(1);
/// Source ports that a claim about silence takes, half of them odd and half even: 8 ports through a half-dead
/// pair of paths are all silent with probability 0.4 %, and a fault may be keyed on the low bit.
const PORTS: usize = 8;

/// One address of the target, and what it answered.
#[derive(Clone, Debug)]
pub(crate) struct Address<'a> {
    pub purpose: DialPurpose,
    pub remote: SocketAddr,
    /// How it was dialled: over one protocol, in one walk.
    pub protocol: Protocol,
    pub answer: Answer<'a>,
    /// What each socket that says anything about the network saw, in order.
    pub each: Vec<Answer<'a>>,
    /// Whether all that answered gave this answer, and none stayed silent.
    pub unanimous: bool,
    /// A socket connected, and the kernel could not be asked whether something in the source pod accepted.
    pub unasked: bool,
    /// Silent sockets, by source port.
    pub silence: Silence,
    /// Every refusal that was received, in order.
    pub refusals: Vec<&'a IcmpError>,
    /// Our own address, where a socket had one.
    pub local: Option<IpAddr>,
    /// When the earliest socket behind the answer began.
    pub began: Timestamp,
    /// An ICMP error is among it, of which a walk may tell that did not receive it.
    pub reported: bool,
    /// A refusal among it was received by an earlier walk.
    pub remembered: bool,
    /// It is a Service's, which has changed since: the answer says nothing of what it is now.
    pub outdated: bool,
}

/// What one address answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// It connected; a few sockets may have lost their SYN.
    Works,
    /// A socket of our own namespace accepted in its place.
    Intercepted {
        by: SocketAddr,
        uid: u32,
    },
    /// Some sockets were answered, others not, or in another way.
    Mixed {
        connected: usize,
        tried: usize,
    },
    /// It accepted and reset at once.
    ResetAfterAccept,
    Silent,
    Reset,
    Refused(&'a IcmpError),
    HostUnreachable(Option<IpAddr>),
    NetworkUnreachable(Option<IpAddr>),
    RoutingLoop(Option<IpAddr>),
    Forbidden,
    Unexplained(i32),
    Resources(i32),
    NotAllowed,
    Untried,
}

/// The sockets that got no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    pub odd: usize,
    pub even: usize,
    /// A SYN was sent again on at least one of them.
    pub retransmitted: bool,
}

impl Silence {
    pub fn ports(self) -> usize {
        self.odd + self.even
    }

    /// Enough to speak of silence with confidence: at least 8 source ports, half odd and half even, and one
    /// retransmission.
    pub fn is_complete(self) -> bool {
        self.odd >= PORTS / 2 && self.even >= PORTS / 2 && self.retransmitted
    }
}

impl Answer<'_> {
    /// Whether a handshake was completed with the other side.
    pub fn works(self) -> bool {
        self == Answer::Works
    }

    /// Whether it says anything about the network.
    pub fn was_tried(self) -> bool {
        !matches!(self, Answer::Resources(_) | Answer::NotAllowed | Answer::Untried)
    }
}

/// What the source pod accepts by right: connections to the endpoints that it is itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own<'a> {
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// The endpoints that are known.
    pub endpoints: &'a [EndpointDecision],
}

impl Own<'_> {
    /// Whether a connection to `remote` may end at a socket of the pod. The address dialled proves nothing: a
    /// transparent proxy accepts at that very address.
    fn accepts(self, socket: SocketAddr, remote: SocketAddr) -> bool {
        let endpoint = || self.endpoints.iter().any(|known| known.endpoint == socket);
        self.addresses.contains(&socket.ip()) && (socket == remote || endpoint())
    }
}

/// The addresses that a walk dialled for the target itself, in the order of their first dial.
pub(crate) fn addresses<'a>(walk: &'a Walk, own: Own<'_>) -> Vec<Address<'a>> {
    let dials = walk.connect.as_ref().map_or(&[][..], |connect| &connect.dials);
    let target = |dial: &&Dial| {
        matches!(dial.purpose, DialPurpose::ServiceAddress | DialPurpose::Endpoint | DialPurpose::Address)
    };
    grouped(dials.iter().filter(target), walk.started, own)
}

/// The addresses of some dials that cannot lead back to the pod.
pub(crate) fn group<'a>(dials: impl Iterator<Item = &'a Dial>, walk_started: Timestamp) -> Vec<Address<'a>> {
    grouped(dials, walk_started, Own::default())
}

fn grouped<'a>(
    dials: impl Iterator<Item = &'a Dial>,
    walk_started: Timestamp,
    own: Own<'_>,
) -> Vec<Address<'a>> {
    let mut groups: Vec<(DialPurpose, SocketAddr, Vec<&Dial>)> = Vec::new();
    for dial in dials {
        let same = |(purpose, remote, _): &&mut (DialPurpose, SocketAddr, Vec<&Dial>)| {
            *purpose == dial.purpose && *remote == dial.remote
        };
        match groups.iter_mut().find(same) {
            Some((_, _, dials)) => dials.push(dial),
            None => groups.push((dial.purpose, dial.remote, vec![dial])),
        }
    }
    groups
        .into_iter()
        .map(|(purpose, remote, dials)| address(purpose, remote, &dials, walk_started, own))
        .collect()
}

fn address<'a>(
    purpose: DialPurpose,
    remote: SocketAddr,
    dials: &[&'a Dial],
    walk_started: Timestamp,
    own: Own<'_>,
) -> Address<'a> {
    let dials = standing(dials, walk_started);
    let answer = answer(remote, &dials, own);
    let silence = silence(&dials);
    let tried = dials.iter().filter(|dial| is_evidence(classify(dial)));
    let each: Vec<Answer> = tried.clone().map(|dial| single(classify(dial))).collect();
    let refusals = dials.iter().filter_map(|dial| match classify(dial) {
        Signal::Refused(error) => Some(error),
        _ => None,
    });
    Address {
        purpose,
        remote,
        protocol: dials.first().map_or(Protocol::Tcp, |dial| dial.protocol),
        answer,
        // A silent socket counts, whether its port is known or not.
        unanimous: answer == Answer::Silent || !each.contains(&Answer::Silent),
        each,
        unasked: dials.iter().any(|dial| classify(dial) == Signal::Connected(Some(&LocalPeer::Unknown))),
        silence,
        refusals: refusals.collect(),
        local: dials.iter().find_map(|dial| dial.local).map(|local| local.ip()),
        began: tried.map(|dial| dial.started).min().unwrap_or(walk_started),
        reported: dials.iter().any(|dial| dial.is_reported_again()),
        remembered: dials.iter().any(|dial| dial.is_remembered_refusal(walk_started)),
        outdated: false,
    }
}

fn is_evidence(signal: Signal<'_>) -> bool {
    !matches!(signal, Signal::Skipped | Signal::NotAllowed | Signal::Resources(_))
}

/// Leaves out what is remembered and no longer stands: too old, or a refusal that a connection followed.
fn standing<'a>(dials: &[&'a Dial], walk_started: Timestamp) -> Vec<&'a Dial> {
    let connected = dials.iter().filter(|dial| matches!(classify(dial), Signal::Connected(_)));
    let last_connected = connected.map(|dial| dial.started).max();
    let left = |dial: &&&Dial| {
        let remembered = dial.started < walk_started;
        let refusal = matches!(classify(dial), Signal::Refused(_));
        let followed = refusal && last_connected.is_some_and(|connected| connected > dial.started);
        stands(dial, walk_started) && !(remembered && followed)
    };
    dials.iter().filter(left).copied().collect()
}

/// Whether what a dial saw still counts for a walk: it is of the walk, or remembered from a short time before.
pub(crate) fn stands(dial: &Dial, walk_started: Timestamp) -> bool {
    walk_started.since(dial.started) <= STANDS
}

fn silence(dials: &[&Dial]) -> Silence {
    let silent: Vec<&Dial> = dials.iter().filter(|dial| classify(dial) == Signal::Silent).copied().collect();
    // A socket without a known port is counted with none: it proves no spread.
    let ports: BTreeSet<u16> =
        silent.iter().filter_map(|dial| dial.local).map(|local| local.port()).collect();
    let odd = ports.iter().filter(|port| **port % 2 == 1).count();
    Silence { odd, even: ports.len() - odd, retransmitted: silent.iter().any(|dial| dial.retransmits > 0) }
}

/// One answer for all sockets of an address.
fn answer<'a>(remote: SocketAddr, dials: &[&'a Dial], own: Own<'_>) -> Answer<'a> {
    let signals: Vec<Signal<'a>> = dials.iter().map(|dial| classify(dial)).collect();
    let tried: Vec<Signal<'a>> = signals.iter().copied().filter(|signal| is_evidence(*signal)).collect();
    if tried.is_empty() {
        return untried(&signals);
    }
    let intercepted = tried.iter().find_map(|signal| match signal {
        Signal::Connected(Some(LocalPeer::Socket { address, uid })) if !own.accepts(*address, remote) => {
            Some(Answer::Intercepted { by: *address, uid: *uid })
        }
        _ => None,
    });
    if let Some(intercepted) = intercepted {
        return intercepted;
    }
    let connected = tried.iter().filter(|signal| matches!(signal, Signal::Connected(_))).count();
    let silent: Vec<&&Dial> = dials.iter().filter(|dial| classify(dial) == Signal::Silent).collect();
    let mixed = Answer::Mixed { connected, tried: tried.len() };
    if tried.contains(&Signal::ResetAfterAccept) {
        // The race of a server that closes at once: the same target gives both.
        return if silent.is_empty() { Answer::ResetAfterAccept } else { mixed };
    }
    if connected > 0 {
        // A lost SYN is sent again and connects; a port that stays silent after that is no loss.
        let persistent = silent.iter().any(|dial| dial.retransmits > 0);
        let few = silent.len() * 4 <= tried.len();
        let only_silence = connected + silent.len() == tried.len();
        return if only_silence && few && !persistent { Answer::Works } else { mixed };
    }
    // Refusals are rate limited and resets can be lost: one that came stands for the silent ones.
    let mut answers = tried.iter().filter(|signal| **signal != Signal::Silent).map(|signal| single(*signal));
    match answers.next() {
        None => Answer::Silent,
        Some(first) if answers.all(|other| other == first || refusals(other, first)) => first,
        Some(_) => mixed,
    }
}

/// Two refusals that differ only in who sent them or how are one kind of answer.
fn refusals(one: Answer<'_>, other: Answer<'_>) -> bool {
    matches!(
        (one, other),
        (Answer::Refused(_), Answer::Refused(_))
            | (Answer::HostUnreachable(_), Answer::HostUnreachable(_))
            | (Answer::NetworkUnreachable(_), Answer::NetworkUnreachable(_))
            | (Answer::RoutingLoop(_), Answer::RoutingLoop(_))
            | (Answer::Unexplained(_), Answer::Unexplained(_))
    )
}

/// The answer of one socket.
fn single(signal: Signal<'_>) -> Answer<'_> {
    match signal {
        Signal::Reset => Answer::Reset,
        Signal::Refused(error) => Answer::Refused(error),
        Signal::HostUnreachable(offender) => Answer::HostUnreachable(offender),
        Signal::NetworkUnreachable(offender) => Answer::NetworkUnreachable(offender),
        Signal::RoutingLoop(offender) => Answer::RoutingLoop(offender),
        Signal::Forbidden => Answer::Forbidden,
        Signal::Unexplained(errno) => Answer::Unexplained(errno),
        Signal::Connected(_) => Answer::Works,
        Signal::ResetAfterAccept => Answer::ResetAfterAccept,
        Signal::Silent => Answer::Silent,
        Signal::Resources(errno) => Answer::Resources(errno),
        Signal::NotAllowed => Answer::NotAllowed,
        Signal::Skipped => Answer::Untried,
    }
}

fn untried<'a>(signals: &[Signal<'a>]) -> Answer<'a> {
    signals
        .iter()
        .find(|signal| **signal != Signal::Skipped)
        .map_or(Answer::Untried, |signal| single(*signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::scene::{at, dials};

    #[test]
    fn a_silent_socket_without_a_known_port_is_none_that_was_answered() {
        for (lines, known, unanimous) in [
            (&["reset", "reset"][..], true, true),
            (&["reset", "silent 1"], true, false),
            (&["reset", "silent 1"], false, false),
            (&["connected", "silent 1"], false, false),
            (&["silent 1", "silent 1"], false, true),
        ] {
            let line = |said: &&str| dials(&format!("endpoint 10.244.1.8:5432 {said}"), 100_000);
            let mut dials: Vec<Dial> = lines.iter().flat_map(line).collect();
            dials.iter_mut().filter(|_| !known).for_each(|dial| dial.local = None);
            let found = group(dials.iter(), at(100_000));
            let found: Vec<bool> = found.iter().map(|address| address.unanimous).collect();
            assert_eq!(found, [unanimous], "{lines:?}, ports known: {known}");
        }
    }
}
