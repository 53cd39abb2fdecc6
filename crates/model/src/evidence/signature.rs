//! A number that stays the same while walks find the same: evidence travels only when it changes.
//!
//! Sidecar, hub and operator each compute it and may be of different versions: the text behind it is written out here,
//! word by word, and never taken from a derived representation.

mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{
    Connect, Dial, DialOutcome, HopLimits, LocalPeer, NeighbourState, Pair, Query, Resolve, Shortage, Walk,
};
use crate::flow::Protocol;
use crate::name::TargetKey;
use words::{after, icmp, list, of, purpose, query, record, request, source, tls, used};

/// From this many silent sockets on, more of them say nothing new (`PolicyDenied` asks for eight).
const ENOUGH_SOCKETS: usize = 8;

/// The signature of a walk: equal for walks that found the same, whatever their times and source ports.
///
/// Endpoints are dialled in turn while all is well, so the address of a dial that connected is left out.
pub fn signature(walk: &Walk) -> u64 {
    fnv1a((text(walk) + &hops(walk) + &breakers(walk) + &remembered(walk)).as_bytes())
}

/// The same without the circuit breakers and without what is remembered, which tell how often an address is dialled and
/// nothing of it, and without the hops, whose routers answer when they have an ICMP error to spare: walks that differ in
/// nothing else are of one run.
pub fn finding(walk: &Walk) -> u64 {
    fnv1a(text(walk).as_bytes())
}

/// What the number is made of. Texts of servers and libraries are quoted with their length, so that nothing in them
/// can look like another field.
fn text(walk: &Walk) -> String {
    let mut text = String::new();
    if let Some(resolve) = &walk.resolve {
        let mut addresses = resolve.addresses.clone();
        addresses.sort_unstable();
        let outcomes: BTreeSet<String> = resolve
            .queries
            .iter()
            .filter(|_| resolve.addresses.is_empty())
            .map(|q| format!("{} {} {}", of(&q.name), record(q.record), query(&q.outcome)))
            .collect();
        let _ = write!(text, "resolve {} {} {};", source(resolve.source), list(addresses), list(outcomes));
        let _ = write!(text, "{}", how(resolve));
    }
    if let Some(route) = &walk.route {
        let hidden = route.not_visible.iter().map(|container| of(container));
        let _ = write!(text, "route {} {};", list(route.proxied.iter().map(used)), list(hidden));
    }
    if let Some(connect) = &walk.connect {
        let _ = write!(text, "connect {};", list(dials(&connect.dials)));
        let _ = write!(text, "{}", around(connect));
    }
    if let Some(handshake) = &walk.tls {
        let _ = write!(text, "tls {};", tls(&handshake.outcome));
    }
    if let Some(exchange) = &walk.request {
        let _ = write!(text, "request {};", request(&exchange.outcome));
    }
    if let Some(found) = &walk.after {
        let _ = write!(text, "after {};", after(found));
    }
    if let Some(proxied) = &walk.proxied {
        let _ = write!(
            text,
            "proxied {} resolved {} {} {} {} {};",
            of(&proxied.proxy),
            !proxied.dials.is_empty(),
            list(dials(&proxied.dials)),
            list(proxied.connect_status),
            list(proxied.tls.as_ref().map(|handshake| tls(&handshake.outcome))),
            list(proxied.request.as_ref().map(|exchange| request(&exchange.outcome)))
        );
    }
    if let Some(local) = &walk.local {
        let _ = write!(text, "local {} {};", of(&local.what), local.errno);
    }
    if let Some(strain) = &walk.strain {
        text.push_str(if strain.is_starved() { "strained;" } else { "" });
        text.push_str(match strain.shortage() {
            Some(Shortage::Descriptors) => "short of descriptors;",
            Some(Shortage::Ports) => "short of ports;",
            None => "",
        });
    }
    text
}

/// The breakers that are not closed, and whether their addresses were dialled: while they are not, what is told of them
/// grows older, which judging must know.
fn breakers(walk: &Walk) -> String {
    let known = walk.connect.iter().flat_map(|connect| &connect.breakers);
    let each: BTreeSet<String> = known
        .map(|breaker| format!("{} {}", breaker.remote, if breaker.open { "open" } else { "dialled" }))
        .collect();
    if each.is_empty() { String::new() } else { format!("breakers {};", list(each)) }
}

/// The addresses of which an old refusal is told, for the same reason.
fn remembered(walk: &Walk) -> String {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    let old = dials.filter(|dial| dial.is_remembered_refusal(walk.started));
    let each: BTreeSet<String> = old.map(|dial| dial.remote.to_string()).collect();
    if each.is_empty() { String::new() } else { format!("remembered {};", list(each)) }
}

/// Who answers on the way to addresses that do not, and how far the pod's own packets may go.
fn hops(walk: &Walk) -> String {
    let Some(connect) = &walk.connect else { return String::new() };
    let reached = |reached: bool| if reached { " reached" } else { "" };
    let each: BTreeSet<String> = connect
        .hops
        .iter()
        .map(|hop| format!("{} {} {}{}", hop.remote, hop.ttl, list(hop.from), reached(hop.reached)))
        .collect();
    let mut text = if each.is_empty() { String::new() } else { format!("hops {};", list(each)) };
    let HopLimits { v4, v6 } = connect.hop_limits;
    if v4.is_some() || v6.is_some() {
        let _ = write!(text, "limits {} {};", list(v4), list(v6));
    }
    text
}

/// One number over the signatures of all targets, to find out whether the hub has the same evidence.
pub fn digest<'a>(signatures: impl IntoIterator<Item = (&'a TargetKey, u64)>) -> u64 {
    // Addition does not care about the order.
    signatures.into_iter().fold(0, |sum: u64, (key, signature)| {
        sum.wrapping_add(fnv1a(format!("{key} {signature:x}").as_bytes()))
    })
}

fn dials(dials: &[Dial]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for dial in dials {
        let (purpose, remote) = (purpose(dial.purpose), dial.remote);
        let line = match &dial.outcome {
            DialOutcome::Connected { local_peer: None } => format!("{purpose} connected"),
            DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) } => {
                format!("{purpose} connected, perhaps to ourselves")
            }
            DialOutcome::Connected { local_peer: Some(LocalPeer::Socket { address, uid }) } => {
                format!("{purpose} {remote} intercepted by {address} uid {uid}")
            }
            DialOutcome::Answered { .. } => format!("{purpose} answered"),
            DialOutcome::Silent => silent(dial, dials),
            DialOutcome::Failed { errno, immediate, queue } => {
                let queue: BTreeSet<String> = queue.iter().map(icmp).collect();
                format!("{purpose} {remote} errno {errno} {immediate} {}", list(queue))
            }
            DialOutcome::NotAllowed => format!("{purpose} {remote} not allowed"),
            DialOutcome::Skipped => continue,
        };
        seen.insert(if dial.protocol == Protocol::Udp { format!("udp {line}") } else { line });
    }
    seen
}

/// How an answer was come by, where that was not at the first word: which suffix it was and after how many names, who
/// left questions open before it, and what came too late.
fn how(resolve: &Resolve) -> String {
    let mut text = String::new();
    if let Some(answered) = resolve.answered.as_deref().filter(|name| !same_name(name, &resolve.name)) {
        let names: BTreeSet<&str> = resolve.queries.iter().map(|q| q.name.as_str()).collect();
        let _ = write!(text, "as {} of {};", of(answered), names.len());
    }
    let found = !resolve.addresses.is_empty();
    let open = resolve.queries.iter().filter(|q| found && !q.outcome.is_final());
    let servers = resolve.queries.iter().filter(|q| q.came_late());
    let parts = [
        ("open", open.map(|q| format!("{} {} {}", record(q.record), q.server, query(&q.outcome))).collect()),
        ("late", servers.map(late).collect()),
        ("lost", resolve.pair.iter().filter_map(Pair::lost).map(|lost| record(lost).into()).collect()),
    ];
    for (name, part) in parts.into_iter().filter(|(_, part): &(_, BTreeSet<String>)| !part.is_empty()) {
        let _ = write!(text, "{name} {};", list(part));
    }
    if resolve.spent {
        text.push_str("spent;");
    }
    text
}

/// What came too late. Addresses that did are none of the name's.
fn late(asked: &Query) -> String {
    let outcome = match &asked.late {
        Some(outcome) if !outcome.is_final() => query(outcome),
        _ => "answer".into(),
    };
    format!("{} {outcome}", asked.server)
}

fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.') == other.trim_end_matches('.')
}

/// What is found beside the dials, where there is any of it: neighbours that do not answer.
fn around(connect: &Connect) -> String {
    let failed = connect.neighbours.iter().filter(|n| n.state == NeighbourState::Failed);
    let failed: BTreeSet<String> = failed.map(|neighbour| neighbour.address.to_string()).collect();
    if failed.is_empty() { String::new() } else { format!("failed {};", list(failed)) }
}

/// Silence, in the steps that matter to judging: how many ports, and whether a SYN was sent again.
fn silent(dial: &Dial, all: &[Dial]) -> String {
    let same = |other: &&Dial| other.remote == dial.remote && other.outcome == DialOutcome::Silent;
    let enough = all.iter().filter(same).count() >= ENOUGH_SOCKETS;
    let again = all.iter().filter(same).any(|other| other.retransmits > 0);
    format!("{} {} silent, enough {enough}, again {again}", purpose(dial.purpose), dial.remote)
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): the same in every version of the program, unlike std's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
