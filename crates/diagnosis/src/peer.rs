//! What the sidecars of destination pods say of the dials of a walk: which of their words count, and for which dial.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, Walk};
use peerwalk_model::peer::{Listener, PeerSocket, Seen};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Protocol, Timestamp};

use crate::address::{Address, stands};
use crate::case::Attestation;
use crate::view::View;

/// A word stands for a minute, as a refusal does.
const STANDS: Duration = Duration::from_mins(1);
/// The ages of two messages may differ by so much more than the moments they tell of. Ports are not used again as soon.
const SLACK: Duration = Duration::from_secs(2);

/// `include/net/tcp_states.h`.
mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const CLOSING: u8 = 11;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// What one pod's kernel held of one dial, where its word counts for that dial: asked for its very ends, and after it
/// began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    pub by: &'a Attestation,
    pub dial: &'a Dial,
    pub seen: &'a Seen,
}

impl<'a> Word<'a> {
    /// The socket with exactly the ends of the dial, if it is of this dial: not one that a client of before left
    /// behind, and not the listener that the kernel gives in its place.
    fn socket(&self) -> Option<&'a PeerSocket> {
        let since = self.by.at.since(self.dial.started);
        self.seen
            .socket
            .as_ref()
            .filter(|socket| socket.source == self.seen.tuple.source && socket.quiet <= since + SLACK)
    }

    /// The connection is there, or was a moment ago. `TIME_WAIT` does not count: it may be of a connection before.
    pub fn holds(&self) -> bool {
        self.socket().is_some_and(is_connection)
    }

    /// The same, and the dial was told of it: no other client's connection, whatever its port.
    pub fn holds_for_certain(&self) -> bool {
        matches!(self.dial.outcome, DialOutcome::Connected { .. }) && self.holds()
    }

    /// The connection that is open.
    pub fn open(&self) -> Option<&'a PeerSocket> {
        self.socket().filter(|socket| socket.state == state::ESTABLISHED && !socket.closed)
    }

    /// The dial's MSS came from another source: the same connection, with its source translated.
    pub fn translated(&self) -> bool {
        let other = |socket: &PeerSocket| socket.source != self.seen.tuple.source && is_connection(socket);
        self.seen.socket.as_ref().is_some_and(other)
    }

    /// The SYN arrived, and its answer did not.
    pub fn syn_arrived(&self) -> bool {
        let waits = |socket: &PeerSocket| matches!(socket.state, state::SYN_RECV | state::NEW_SYN_RECV);
        self.dial.outcome == DialOutcome::Silent && self.socket().is_some_and(waits)
    }

    /// The accept queue was full: the kernel compares so (`sk_acceptq_is_full`).
    pub fn queue_full(&self) -> bool {
        matches!(self.seen.listener, Listener::Listens { queue, backlog } if queue > backlog)
    }
}

fn is_connection(socket: &PeerSocket) -> bool {
    match socket.state {
        state::ESTABLISHED
        | state::FIN_WAIT1
        | state::FIN_WAIT2
        | state::CLOSE_WAIT
        | state::LAST_ACK
        | state::CLOSING => true,
        state::CLOSE => socket.closed,
        _ => false,
    }
}

/// Every word that counts for a dial of the walk.
pub(crate) fn words<'a>(view: &View<'a>) -> Vec<Word<'a>> {
    let each = fresh(view).flat_map(|by| by.saw.seen.iter().map(move |seen| (by, seen)));
    each.filter_map(|(by, seen)| {
        let dial = dial_of(view.walk, by, seen)?;
        (!is_of_another(view, by, dial)).then_some(Word { by, dial, seen })
    })
    .collect()
}

/// What was told not too long ago.
pub(crate) fn fresh<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Attestation> + use<'a> {
    let now = view.case.now;
    view.pair.attestations.iter().filter(move |by| now.since(by.at) <= STANDS)
}

/// The dial that was asked about: the last from its port that began before the look, and still stands. A dial of a
/// Service's address ends where it is translated to; a direct dial from the same port goes before, since its ends are
/// known.
fn dial_of<'a>(walk: &'a Walk, by: &Attestation, seen: &Seen) -> Option<&'a Dial> {
    let dials = &walk.connect.as_ref()?.dials;
    let made = |dial: &&Dial| {
        dial.protocol == Protocol::Tcp
            && !matches!(dial.outcome, DialOutcome::Skipped | DialOutcome::NotAllowed)
            && dial.started <= by.at
            && stands(dial, walk.started)
    };
    let from = || dials.iter().filter(made).filter(|dial| dial.local == Some(seen.tuple.source));
    let direct = from().filter(|dial| {
        matches!(dial.purpose, DialPurpose::Endpoint | DialPurpose::Address)
            && dial.remote == seen.tuple.destination
    });
    let last = |dial: &&Dial| dial.started;
    let of_service = || from().filter(|dial| dial.purpose == DialPurpose::ServiceAddress).max_by_key(last);
    direct.max_by_key(last).or_else(of_service)
}

/// The address is known to be another pod's by now.
fn is_of_another(view: &View, by: &Attestation, dial: &Dial) -> bool {
    let pod = view.endpoint(dial.remote.ip()).and_then(|endpoint| endpoint.pod.as_deref());
    dial.purpose != DialPurpose::ServiceAddress && pod.is_some_and(|pod| pod != by.who)
}

/// The words about one address.
pub(crate) fn about<'v, 'a>(
    view: &'v View<'a>,
    address: &'v Address<'a>,
) -> impl Iterator<Item = Word<'a>> + 'v {
    let of = |word: &Word| word.dial.remote == address.remote && word.dial.purpose == address.purpose;
    view.words.iter().copied().filter(of)
}

/// The words about an address that is the pod's own. Where a Service's address leads to is not known.
fn at_its_own<'v, 'a>(view: &'v View<'a>, address: &'v Address<'a>) -> impl Iterator<Item = Word<'a>> + 'v {
    about(view, address).filter(|word| word.dial.purpose != DialPurpose::ServiceAddress)
}

/// Where the kernel of the pod leads a SYN for an address, if all words agree.
pub(crate) fn listener<'a>(view: &View<'a>, address: &Address<'a>) -> Option<&'a Listener> {
    let known = at_its_own(view, address).filter(|word| word.seen.listener != Listener::Unknown);
    let known: Vec<Word> = known.collect();
    let last = known.iter().max_by_key(|word| word.by.at)?;
    let agrees = |word: &Word| listens(&word.seen.listener) == listens(&last.seen.listener);
    known.iter().all(agrees).then_some(&last.seen.listener)
}

/// Who listens for exactly this address.
pub(crate) fn who_listens<'a>(view: &View<'a>, address: &Address<'a>) -> Option<&'a str> {
    listener(view, address).filter(|found| listens(found))?;
    Some(at_its_own(view, address).next()?.by.who.as_str())
}

/// Whether a walk of the run began after a look that found the same listener, or the same want of one: a port may be
/// opened or closed between one walk and a look at it. The look may have been at the dials of an earlier walk.
pub(crate) fn seen_before_a_walk(view: &View<'_>, address: &Address<'_>) -> bool {
    let Some(found) = listener(view, address) else { return false };
    let earlier = fresh(view).filter(|by| by.at >= view.pair.since && by.at < view.pair.started);
    let of_address =
        earlier.flat_map(|by| &by.saw.seen).filter(|seen| seen.tuple.destination == address.remote);
    let known: Vec<&Listener> =
        of_address.map(|seen| &seen.listener).filter(|other| **other != Listener::Unknown).collect();
    !known.is_empty() && known.iter().all(|other| listens(other) == listens(found))
}

fn listens(listener: &Listener) -> bool {
    matches!(listener, Listener::Listens { .. })
}

/// When a pod that is no endpoint was first seen to hold a connection of this run of walks, this word's or another's.
pub(crate) fn held_since(view: &View<'_>, word: &Word<'_>) -> Timestamp {
    held_in_the_run(view, word).map(|(at, _)| at).fold(word.by.at, Timestamp::min)
}

/// From how many source ports it was seen to hold connections of this run.
pub(crate) fn ports_held(view: &View<'_>, word: &Word<'_>) -> usize {
    held_in_the_run(view, word).map(|(_, source)| source).collect::<BTreeSet<_>>().len()
}

/// The sources from which endpoints hold connections, of whatever dial.
pub(crate) fn held_by_endpoints(view: &View<'_>) -> BTreeSet<SocketAddr> {
    let seen = fresh(view).filter(|by| by.endpoint).flat_map(|by| &by.saw.seen);
    let held = seen.filter(|seen| {
        seen.socket.as_ref().is_some_and(|socket| socket.source == seen.tuple.source && is_connection(socket))
    });
    held.map(|seen| seen.tuple.source).collect()
}

fn held_in_the_run<'v>(
    view: &'v View<'_>,
    word: &'v Word<'_>,
) -> impl Iterator<Item = (Timestamp, SocketAddr)> + 'v {
    let of_run = move |by: &Attestation, seen: &Seen| {
        seen.socket.as_ref().is_some_and(|socket| {
            let received = by.at.minus(socket.quiet);
            socket.source == seen.tuple.source && is_connection(socket) && received >= view.pair.since
        })
    };
    // Older words count for no dial any more, and tell since when.
    let same = view.pair.attestations.iter().filter(|by| by.who == word.by.who && !by.endpoint);
    same.flat_map(move |by| {
        let held = by.saw.seen.iter().filter(move |seen| of_run(by, seen));
        held.map(|seen| (by.at, seen.tuple.source))
    })
}

/// The source ports whose SYN arrived at an address that did not answer them.
pub(crate) fn arrived(view: &View<'_>, address: &Address<'_>) -> usize {
    let ports: BTreeSet<SocketAddr> =
        about(view, address).filter(Word::syn_arrived).map(|word| word.seen.tuple.source).collect();
    ports.len()
}

/// How often an accept queue was found full, and whether connections found it full in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub samples: usize,
    pub overflowed: bool,
}

/// What the words say of the accept queue behind an address; `None` where one found room in it.
pub(crate) fn queue(view: &View<'_>, address: &Address<'_>) -> Option<Queue> {
    let words: Vec<Word> = at_its_own(view, address).collect();
    if words.is_empty() || !words.iter().all(Word::queue_full) {
        return None;
    }
    let samples: BTreeSet<(Timestamp, u64)> =
        words.iter().map(|word| (word.by.at, word.by.saw.listen_overflows)).collect();
    // Another pod has another counter.
    let one = words.iter().all(|word| word.by.who == words[0].by.who);
    let overflowed = one && samples.first().zip(samples.last()).is_some_and(|(first, last)| first.1 < last.1);
    let samples: BTreeSet<Timestamp> = samples.into_iter().map(|(at, _)| at).collect();
    Some(Queue { samples: samples.len(), overflowed })
}

/// No SYN came to an address, by the word of who listens there: two looks, no SYN cookies between them, and no sign
/// of a translated source.
pub(crate) fn none_arrived(view: &View<'_>, address: &Address<'_>) -> bool {
    let words: Vec<Word> = at_its_own(view, address).collect();
    let looks: BTreeSet<Timestamp> = words.iter().map(|word| word.by.at).collect();
    let cookies: BTreeSet<u64> = words.iter().map(|word| word.by.saw.syn_cookies).collect();
    let nothing = |word: &Word| {
        matches!(word.seen.listener, Listener::Listens { .. })
            && !word.queue_full()
            && word.seen.socket.is_none()
            && !word.by.saw.always_cookies
    };
    looks.len() >= 2 && cookies.len() == 1 && words.iter().all(nothing)
}

/// What the peers say, one line each: the same words while they see the same.
pub(crate) fn told(view: &View<'_>) -> Vec<Because> {
    let texts: BTreeSet<String> = view.words.iter().flat_map(|word| said(word)).collect();
    texts.into_iter().map(|text| Because::new(Topic::Connect, text)).collect()
}

/// What one word says, in words.
pub(crate) fn said(word: &Word<'_>) -> Vec<String> {
    let (who, remote) = (&word.by.who, word.dial.remote);
    let mut texts = Vec::new();
    if word.syn_arrived() {
        texts.push(format!(
            "{who} received the SYN for {remote} and answered it, and the answer did not arrive"
        ));
    }
    if word.holds() {
        let endpoint = if word.by.endpoint { "" } else { ", which is no endpoint of the target," };
        texts.push(format!("{who}{endpoint} holds the connection to {remote}"));
    } else if word.translated() {
        texts.push(format!(
            "{who} holds a connection that bears the mark of the one to {remote}, from another source"
        ));
    }
    if let Some(open) = word.open() {
        if open.unread > 0 {
            texts.push(format!(
                "{who} has received bytes of the connection to {remote} that nobody there has read"
            ));
        }
        if open.retransmits > 0 {
            texts.push(format!("{who} sends again on the connection to {remote} what is not acknowledged"));
        }
    }
    if word.dial.purpose == DialPurpose::ServiceAddress {
        return texts;
    }
    match &word.seen.listener {
        Listener::Listens { .. } if word.queue_full() => {
            texts.push(format!("{who} listens on {remote}, and its accept queue is full"));
        }
        // Whoever took the connection listens.
        Listener::Listens { .. } if word.holds() => {}
        Listener::Listens { .. } => texts.push(format!("{who} listens on {remote}")),
        Listener::Absent { elsewhere } => texts.push(absent(who, remote, *elsewhere)),
        Listener::Unknown => {}
    }
    texts
}

/// That nothing listens, and where it does instead.
fn absent(who: &str, remote: SocketAddr, elsewhere: Option<SocketAddr>) -> String {
    match elsewhere {
        None => format!("nothing in {who} listens on {remote}"),
        Some(other) if other.ip().to_canonical().is_loopback() => {
            format!("nothing in {who} listens on {remote}: the port is bound to {}", other.ip())
        }
        Some(other) if other.is_ipv4() != remote.is_ipv4() => {
            format!(
                "nothing in {who} listens on {remote}: the port is bound to {other}, only in the other family"
            )
        }
        Some(other) => format!("nothing in {who} listens on {remote}: the port is bound to {other}"),
    }
}
