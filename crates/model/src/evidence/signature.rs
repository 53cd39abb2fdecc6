//! A number that stays the same while walks find the same: evidence travels only when it changes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Dial, DialOutcome, IcmpError, LocalPeer, Walk};
use crate::name::TargetKey;

/// From this many silent sockets on, more of them say nothing new (`PolicyDenied` asks for eight).
const ENOUGH_SOCKETS: usize = 8;

/// The signature of a walk: equal for walks that found the same, whatever their times and source ports.
///
/// Endpoints are dialled in turn while all is well, so the address of a dial that connected is left out.
pub fn signature(walk: &Walk) -> u64 {
    let mut text = String::new();
    if let Some(resolve) = &walk.resolve {
        let mut addresses = resolve.addresses.clone();
        addresses.sort_unstable();
        let outcomes: BTreeSet<String> = resolve
            .queries
            .iter()
            .filter(|_| resolve.addresses.is_empty())
            .map(|q| format!("{}{:?}{:?}", q.name, q.record, q.outcome))
            .collect();
        let _ = write!(text, "resolve {:?} {addresses:?} {outcomes:?};", resolve.source);
    }
    if let Some(route) = &walk.route {
        let _ = write!(text, "route {route:?};");
    }
    if let Some(connect) = &walk.connect {
        let _ = write!(text, "connect {:?};", dials(&connect.dials));
    }
    if let Some(tls) = &walk.tls {
        let _ = write!(text, "tls {:?};", tls.outcome);
    }
    if let Some(request) = &walk.request {
        let _ = write!(text, "request {:?};", request.outcome);
    }
    if let Some(proxied) = &walk.proxied {
        let _ = write!(
            text,
            "proxied {} resolved {} {:?} {:?} {:?} {:?};",
            proxied.proxy,
            !proxied.dials.is_empty(),
            dials(&proxied.dials),
            proxied.connect_status,
            proxied.tls.as_ref().map(|t| &t.outcome),
            proxied.request.as_ref().map(|r| &r.outcome)
        );
    }
    if let Some(local) = &walk.local {
        let _ = write!(text, "local {} {};", local.what, local.errno);
    }
    fnv1a(text.as_bytes())
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
        let line = match &dial.outcome {
            DialOutcome::Connected { local_peer: None } => format!("{:?} connected", dial.purpose),
            DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) } => {
                format!("{:?} connected, perhaps to ourselves", dial.purpose)
            }
            DialOutcome::Connected { local_peer: Some(LocalPeer::Socket { address, uid }) } => {
                format!("{:?} {} intercepted by {address} uid {uid}", dial.purpose, dial.remote)
            }
            DialOutcome::Silent => silent(dial, dials),
            DialOutcome::Failed { errno, immediate, queue } => {
                let queue: BTreeSet<String> = queue.iter().map(icmp).collect();
                format!("{:?} {} errno {errno} {immediate} {queue:?}", dial.purpose, dial.remote)
            }
            DialOutcome::NotAllowed => format!("{:?} {} not allowed", dial.purpose, dial.remote),
            DialOutcome::Skipped => continue,
        };
        seen.insert(line);
    }
    seen
}

/// Silence, in the steps that matter to judging: how many ports, and whether a SYN was sent again.
fn silent(dial: &Dial, all: &[Dial]) -> String {
    let same = |other: &&Dial| other.remote == dial.remote && other.outcome == DialOutcome::Silent;
    let enough = all.iter().filter(same).count() >= ENOUGH_SOCKETS;
    let again = all.iter().filter(same).any(|other| other.retransmits > 0);
    format!("{:?} {} silent, enough {enough}, again {again}", dial.purpose, dial.remote)
}

fn icmp(error: &IcmpError) -> String {
    format!("{}/{} v6 {} from {:?}", error.kind, error.code, error.v6, error.offender)
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): the same in every version of the program, unlike std's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
