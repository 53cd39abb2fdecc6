//! What claims rest on that take the word of a destination pod's sidecar, from the raw attestations.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use peerwalk_model::peer::{Listener, PeerSocket, Seen};
use peerwalk_model::{Confidence, Protocol, Reason, Verdict};

use super::claims::repeated;
use super::{connected, target_dials};
use crate::case::{Attestation, Case, PairEvidence};
use crate::facts::UNNOTICED;

/// One entry of an attestation with a dial that it is of.
type Entry<'a> = (&'a Attestation, &'a Seen, &'a Dial);

/// What each claim has been told.
pub(super) fn claimed(
    case: &Case,
    pair: &PairEvidence,
    verdict: &Verdict,
    must: &mut impl FnMut(bool, &str),
) {
    let confirmed = verdict.confidence == Confidence::Confirmed;
    match verdict.reason {
        Some(Reason::NotListening) => not_listening(case, pair, confirmed, must),
        Some(Reason::ReturnPathBlocked) => return_path(case, pair, confirmed, must),
        Some(Reason::Overloaded) => overloaded(case, pair, confirmed, must),
        Some(Reason::WrongBackend) => wrong_backend(case, pair, confirmed, must),
        Some(Reason::FamilyDegraded) => {
            let dials = target_dials(pair);
            let works = |v4: bool| dials.iter().any(|dial| dial.remote.is_ipv4() == v4 && connected(dial));
            must(
                works(true) != works(false),
                "FamilyDegraded has one family that connects, and one that does not",
            );
        }
        Some(Reason::PartialBackends) => {
            let dials = target_dials(pair);
            let direct = || dials.iter().filter(|d| direct(d));
            let of = |dial: &Dial| (dial.purpose, dial.remote);
            let works: BTreeSet<_> = direct().filter(|d| connected(d)).map(|d| of(d)).collect();
            must(!works.is_empty(), "PartialBackends has an endpoint that connects");
            must(direct().any(|dial| !works.contains(&of(dial))), "and one that does not");
        }
        _ => {}
    }
}

/// The sidecar of the pod at an address listened on it, and a walk of the run began after that.
pub(super) fn listened(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    let entries: Vec<Entry> = at(case, pair, remote).collect();
    let listens = |(_, seen, _): &Entry| matches!(seen.listener, Listener::Listens { .. });
    let absent = |(_, seen, _): &Entry| matches!(seen.listener, Listener::Absent { .. });
    entries.iter().any(listens) && !entries.iter().any(absent) && before(pair, remote, true)
}

/// A look in the run, before a walk of it, found that an address was listened to, or was not; and none the other way.
fn before(pair: &PairEvidence, remote: SocketAddr, listens: bool) -> bool {
    let looks = pair.attestations.iter().filter(|by| by.at < pair.started && by.at >= pair.since);
    let mut found = looks.flat_map(|by| &by.saw.seen).filter(|seen| seen.tuple.destination == remote);
    found.any(|seen| match seen.listener {
        Listener::Listens { .. } => listens,
        Listener::Absent { .. } => !listens,
        Listener::Unknown => false,
    })
}

/// A SYN from a silent dial arrived at an address.
pub(super) fn arrived(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    at(case, pair, remote).any(|entry| syn(&entry))
}

/// The accept queue behind an address was full.
pub(super) fn full(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    at(case, pair, remote).any(|(_, seen, _)| queue_full(seen))
}

/// An endpoint whose policy denies holds a connection that came about, from our own address.
pub(super) fn denied_holds(case: &Case, pair: &PairEvidence) -> bool {
    entries(case, pair).any(|(by, seen, dial)| {
        let denied = case.decisions.iter().any(|known| {
            known.endpoint == seen.tuple.destination
                && known.current().is_some_and(|(_, decision)| !decision.is_allowed())
        });
        let own = case.facts.source.addresses.contains(&seen.tuple.source.ip());
        by.endpoint && own && denied && connected(dial) && exact(&(by, seen, dial)).is_some_and(established)
    })
}

fn not_listening(case: &Case, pair: &PairEvidence, confirmed: bool, must: &mut impl FnMut(bool, &str)) {
    let absent: Vec<Entry> = entries(case, pair)
        .filter(|(_, seen, dial)| matches!(seen.listener, Listener::Absent { .. }) && direct(dial))
        .collect();
    let refused = |dial: &Dial| matches!(dial.outcome, DialOutcome::Failed { .. } | DialOutcome::Silent);
    must(absent.iter().any(|(.., dial)| refused(dial)), "NotListening has the target's word");
    if confirmed {
        let since = absent.iter().any(|(.., dial)| before(pair, dial.remote, false));
        must(repeated(pair) || since, "a port may have been closed after the reset");
        let remotes: BTreeSet<SocketAddr> = absent.iter().map(|(.., dial)| dial.remote).collect();
        let works =
            target_dials(pair).into_iter().any(|dial| connected(dial) && remotes.contains(&dial.remote));
        must(!works, "what connects is listened to");
        let listens = |(_, seen, dial): Entry| {
            matches!(seen.listener, Listener::Listens { .. })
                && remotes.contains(&dial.remote)
                && direct(dial)
        };
        must(!entries(case, pair).any(listens), "the words agree");
    }
}

fn return_path(case: &Case, pair: &PairEvidence, confirmed: bool, must: &mut impl FnMut(bool, &str)) {
    let ports: BTreeSet<SocketAddr> =
        entries(case, pair).filter(syn).map(|(_, seen, _)| seen.tuple.source).collect();
    let again = entries(case, pair).any(|entry| exact(&entry).is_some_and(|socket| socket.retransmits > 0));
    must(!ports.is_empty() || again, "a return path is blocked by the target's word");
    if confirmed {
        must(ports.len() >= 3 && repeated(pair), "it is confirmed by several ports, walk after walk");
        must(!target_dials(pair).into_iter().any(connected), "and nothing came back");
    }
}

fn overloaded(case: &Case, pair: &PairEvidence, confirmed: bool, must: &mut impl FnMut(bool, &str)) {
    let full: Vec<Entry> = entries(case, pair).filter(|(_, seen, _)| queue_full(seen)).collect();
    must(!full.is_empty(), "Overloaded has seen a full queue");
    if confirmed {
        let of = |who: &str| {
            let samples: BTreeSet<_> = full
                .iter()
                .filter(|(by, ..)| by.who == who)
                .map(|(by, ..)| (by.at, by.saw.listen_overflows))
                .collect();
            samples
                .first()
                .zip(samples.last())
                .is_some_and(|(first, last)| first.0 < last.0 && first.1 < last.1)
        };
        must(
            full.iter().any(|(by, ..)| of(&by.who)),
            "two samples and a counter that rises confirm Overloaded",
        );
        let allowed = |remote: SocketAddr| {
            case.decisions.iter().any(|known| {
                let (_, decision) = known.current().unzip();
                known.endpoint == remote && decision.is_some_and(|d| d.is_allowed() && d.caveats.is_empty())
            })
        };
        must(full.iter().any(|(.., dial)| allowed(dial.remote)), "policies allow what is overloaded");
        must(case.facts.unreadable_policy_kinds.is_empty(), "a confirmed claim has read every policy");
    }
}

fn wrong_backend(case: &Case, pair: &PairEvidence, confirmed: bool, must: &mut impl FnMut(bool, &str)) {
    let wrong: Vec<Entry> = entries(case, pair)
        .filter(|(by, _, dial)| !by.endpoint && dial.purpose == DialPurpose::ServiceAddress)
        .collect();
    must(
        wrong.iter().any(|(_, seen, _)| seen.socket.is_some()),
        "WrongBackend has the word of a pod that is none",
    );
    if confirmed {
        let right = |source: SocketAddr| {
            entries(case, pair).any(|entry| {
                entry.0.endpoint && entry.1.tuple.source == source && exact(&entry).is_some_and(established)
            })
        };
        let sure = |entry: &Entry| {
            // It is none by now, and held a connection a grace period ago already.
            let known = pair.attestations.iter().filter(|by| by.who == entry.0.who && !by.endpoint);
            let holds = |seen: &Seen| {
                let own = |socket: &&PeerSocket| socket.source == seen.tuple.source;
                seen.socket.as_ref().filter(own).is_some_and(established)
            };
            let held: Vec<_> = known
                .flat_map(|by| by.saw.seen.iter().filter(|seen| holds(seen)).map(move |seen| (by.at, seen)))
                .collect();
            let since = held.iter().map(|(at, _)| *at).min();
            let ports: BTreeSet<SocketAddr> = held.iter().map(|(_, seen)| seen.tuple.source).collect();
            let own = entry.2.mss.is_some() || ports.len() >= 2;
            let long = since.is_some_and(|at| case.now.since(at) >= UNNOTICED);
            exact(entry).is_some_and(established)
                && long
                && own
                && connected(entry.2)
                && !right(entry.1.tuple.source)
        };
        must(
            wrong.iter().any(sure),
            "it is confirmed by the exact ends, marked or of two ports, that no endpoint holds, and not at once",
        );
    }
}

/// Every word about an address that was dialled directly.
fn at<'a>(case: &'a Case, pair: &'a PairEvidence, remote: SocketAddr) -> impl Iterator<Item = Entry<'a>> {
    entries(case, pair).filter(move |(.., dial)| direct(dial) && dial.remote == remote)
}

/// Every word with every dial that it may be of: the same ends, looked at after the dial began and within a minute.
fn entries<'a>(case: &'a Case, pair: &'a PairEvidence) -> impl Iterator<Item = Entry<'a>> {
    let each = pair.attestations.iter().flat_map(|by| by.saw.seen.iter().map(move |seen| (by, seen)));
    each.flat_map(move |(by, seen)| {
        let of = move |dial: &&Dial| {
            let ends = !direct(dial) || dial.remote == seen.tuple.destination;
            let fresh = case.now.since(by.at) <= Duration::from_mins(1);
            let pod = case.facts.endpoints.get(&dial.remote.ip()).and_then(|facts| facts.pod.as_ref());
            let of_the_pod = !direct(dial) || pod.is_none_or(|pod| *pod == by.who);
            ends && of_the_pod
                && dial.local == Some(seen.tuple.source)
                && dial.protocol == Protocol::Tcp
                && by.at >= dial.started
                && fresh
        };
        target_dials(pair).into_iter().filter(of).map(move |dial| (by, seen, dial)).collect::<Vec<_>>()
    })
}

fn direct(dial: &Dial) -> bool {
    dial.purpose != DialPurpose::ServiceAddress
}

/// The socket with exactly these ends, on which something was received since the dial began, or nearly.
fn exact<'a>((by, seen, dial): &Entry<'a>) -> Option<&'a PeerSocket> {
    let since = by.at.since(dial.started) + Duration::from_secs(2);
    seen.socket.as_ref().filter(|socket| socket.source == seen.tuple.source && socket.quiet <= since)
}

fn established(socket: &PeerSocket) -> bool {
    matches!(socket.state, 1 | 4 | 5 | 8 | 9 | 11) || (socket.state == 7 && socket.closed)
}

fn syn(entry: &Entry) -> bool {
    entry.2.outcome == DialOutcome::Silent
        && exact(entry).is_some_and(|socket| matches!(socket.state, 3 | 12))
}

fn queue_full(seen: &Seen) -> bool {
    matches!(seen.listener, Listener::Listens { queue, backlog } if queue > backlog)
}
