//! The three conditions of a confirmed denial, from the raw evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, IcmpError};
use peerwalk_model::{Direction, Timestamp};
use peerwalk_netpol::Decision;

use super::{claims, connected, out_of_resources, target_dials};
use crate::case::{Case, PairEvidence};
use crate::errno::{ECONNREFUSED, ECONNRESET, ETIMEDOUT};
use crate::facts::NodeFacts;

/// The sockets to each address that say anything, apart for each purpose.
type Groups<'a> = BTreeMap<(DialPurpose, SocketAddr), Vec<&'a Dial>>;

/// A confirmed denial has read every policy, rests on a decision that held, and has seen what nothing else explains.
pub(super) fn denied(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    must(case.facts.unreadable_policy_kinds.is_empty(), "a confirmed denial has read every policy");
    let dials = target_dials(pair);
    must(!dials.iter().any(|dial| connected(dial)), "a confirmed denial has seen no answer");
    let groups = groups(&dials);
    must(!groups.is_empty(), "a confirmed denial has dialled an endpoint directly");
    let mut proven = false;
    for ((_, remote), these) in groups {
        let held = in_force(case, pair, remote);
        must(
            held.is_some(),
            "a confirmed denial rests on a certain decision, in force during the whole walk",
        );
        let elsewhere = claims::offenders(&these).any(|sender| {
            case.facts.pod_offenders.contains(&sender)
                && sender != remote.ip()
                && !case.facts.source.addresses.contains(&sender)
        });
        must(!elsewhere, "what another pod refuses is no denial by policy");
        proven |= held.is_some_and(|decision| refused_there(case, remote, &these, decision))
            || (silent_enough(&these)
                && alive(case, pair, remote)
                && path(case, pair, remote)
                && (!awaited(case, pair, remote) || admitted(case, pair, remote)))
            || (all(&these, reset)
                && (admitted_between(case, pair, remote) || super::peers::listened(case, pair, remote)));
        must(
            !super::peers::arrived(case, pair, remote) && !super::peers::full(case, pair, remote),
            "a denied SYN does not arrive, and finds no full queue",
        );
    }
    must(
        proven,
        "a confirmed denial is an ICMP refusal from where it is enforced, a full series of silence of a target that \
         lives on a path that is whole, or an RST beside an admitted source or a listener",
    );
}

/// Whether what an address answered looks like a denial by `decision`, which denies.
pub(super) fn looks_denied(case: &Case, dials: &[&Dial], remote: SocketAddr, decision: &Decision) -> bool {
    groups(dials).iter().filter(|((_, other), _)| *other == remote).any(|(_, these)| {
        let answered: Vec<&Dial> = these.iter().filter(|dial| !silent(dial)).copied().collect();
        answered.is_empty() || all(&answered, reset) || refused_there(case, remote, these, decision)
    })
}

/// Leaves out what was not tried.
fn groups<'a>(dials: &[&'a Dial]) -> Groups<'a> {
    let mut groups = Groups::new();
    for dial in dials.iter().filter(|dial| dial.purpose != DialPurpose::ServiceAddress) {
        let skipped = matches!(dial.outcome, DialOutcome::Skipped | DialOutcome::NotAllowed);
        if !skipped && !out_of_resources(dial) {
            groups.entry((dial.purpose, dial.remote)).or_default().push(dial);
        }
    }
    groups
}

/// The decision that denied for certain when the walk began, and still does.
fn in_force<'a>(case: &'a Case, pair: &PairEvidence, remote: SocketAddr) -> Option<&'a Decision> {
    let known = case.decisions.iter().find(|known| known.endpoint == remote)?;
    let first = known.history.iter().rposition(|(since, _)| *since <= pair.started)?;
    let held = &known.history[first..];
    let denies = |decision: &Decision| !decision.is_allowed() && decision.caveats.is_empty();
    held.iter().all(|(_, decision)| denies(decision)).then_some(held.last()?.1.as_ref())
}

/// The entry of the error queue that ended a connection attempt.
pub(super) fn ending(dial: &Dial) -> Option<&IcmpError> {
    let DialOutcome::Failed { queue, .. } = &dial.outcome else { return None };
    queue.iter().rev().find(|error| ends(error))
}

/// Whether an ICMP error ends what is not connected, or tells why a connection ended.
pub(super) fn ends(error: &IcmpError) -> bool {
    matches!(
        (error.v6, error.kind, error.code),
        (false, 3, 0..=3 | 9 | 10 | 13) | (false, 11, 0) | (true, 1, 0 | 1 | 3..=6) | (true, 3, 0)
    )
}

/// An explicit refusal; not "no route", "no host" or "packet too big".
pub(super) fn refusal(dial: &Dial) -> Option<&IcmpError> {
    ending(dial).filter(|error| {
        matches!((error.v6, error.kind, error.code), (false, 3, 2 | 3 | 9 | 10 | 13) | (true, 1, 1 | 4..=6))
    })
}

/// A refusal in the words of a packet filter.
pub(super) fn prohibited(dial: &Dial) -> bool {
    refusal(dial)
        .is_some_and(|error| matches!((error.v6, error.code), (false, 9 | 10 | 13) | (true, 1 | 5 | 6)))
}

fn failed_with(dial: &Dial, number: i32) -> bool {
    matches!(dial.outcome, DialOutcome::Failed { errno, .. } if errno == number) && ending(dial).is_none()
}

/// What times out at once has sent nothing.
pub(super) fn silent(dial: &Dial) -> bool {
    let at_once = matches!(dial.outcome, DialOutcome::Failed { immediate: true, .. });
    dial.outcome == DialOutcome::Silent || (failed_with(dial, ETIMEDOUT) && !at_once)
}

fn reset(dial: &Dial) -> bool {
    failed_with(dial, ECONNREFUSED)
}

fn all(dials: &[&Dial], is: impl Fn(&Dial) -> bool) -> bool {
    !dials.is_empty() && dials.iter().all(|dial| is(dial))
}

/// Every answer is a refusal, and every sender stands where one denying direction is enforced.
fn refused_there(case: &Case, remote: SocketAddr, dials: &[&Dial], decision: &Decision) -> bool {
    let answered: Vec<&Dial> = dials.iter().filter(|dial| !silent(dial)).copied().collect();
    let from = |direction: Direction| {
        all(&answered, |dial| {
            let sender = refusal(dial).and_then(|error| error.offender).map(|ip| ip.to_canonical());
            sender.is_some_and(|sender| match direction {
                Direction::Egress => of_source(case, remote, dials, sender),
                Direction::Ingress => of_target(case, remote, sender),
            })
        })
    };
    decision.denying_directions().any(from)
}

/// The target's own address is no place of the source's, though both may share a node.
fn of_source(case: &Case, remote: SocketAddr, dials: &[&Dial], sender: IpAddr) -> bool {
    let source = &case.facts.source;
    let node = source.node.as_deref().filter(|_| sender != remote.ip().to_canonical());
    source.addresses.contains(&sender)
        || dials.iter().filter_map(|dial| dial.local).any(|local| local.ip() == sender)
        || node.is_some_and(|node| is_node(case, node, sender))
}

fn of_target(case: &Case, remote: SocketAddr, sender: IpAddr) -> bool {
    let node = case.facts.endpoints.get(&remote.ip()).and_then(|endpoint| endpoint.node.as_deref());
    sender == remote.ip() || node.is_some_and(|node| is_node(case, node, sender))
}

/// An address of the node, or one of its pods' network that is no pod's.
fn is_node(case: &Case, node: &NodeFacts, sender: IpAddr) -> bool {
    let pod = case.facts.endpoints.contains_key(&sender) || case.facts.pod_offenders.contains(&sender);
    let network = || node.pod_networks.iter().any(|network| network.contains(&sender));
    node.addresses.contains(&sender) || (!pod && network())
}

/// Nothing but silence, on four odd and four even source ports, and a SYN was sent again.
fn silent_enough(dials: &[&Dial]) -> bool {
    let ports: BTreeSet<u16> = dials.iter().filter_map(|dial| dial.local).map(|local| local.port()).collect();
    let odd = ports.iter().filter(|port| **port % 2 == 1).count();
    let again = dials.iter().any(|dial| dial.retransmits > 0);
    all(dials, silent) && odd >= 4 && ports.len() - odd >= 4 && again
}

/// Seen since the first SYN of the run, and not too long ago.
fn in_window(case: &Case, pair: &PairEvidence, at: Timestamp, within: u64) -> bool {
    at >= pair.since && case.now.since(at) <= Duration::from_secs(within)
}

fn admitted(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    let endpoint = case.facts.endpoints.get(&remote.ip());
    let sighting = endpoint.and_then(|endpoint| endpoint.admitted_source.as_ref());
    sighting.is_some_and(|sighting| in_window(case, pair, sighting.at, 60))
}

/// The same between two walks of the run, so that it was reset before and after.
fn admitted_between(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    let endpoint = case.facts.endpoints.get(&remote.ip());
    let sighting = endpoint.and_then(|endpoint| endpoint.admitted_source.as_ref());
    let between = sighting.is_some_and(|sighting| sighting.at <= pair.started);
    between && pair.consecutive >= 2 && admitted(case, pair, remote)
}

/// The pod at an address was asked, and may still say that the SYNs came.
fn awaited(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    let pod = case.facts.endpoints.get(&remote.ip()).and_then(|endpoint| endpoint.pod.as_ref());
    pod.is_some_and(|pod| pair.awaited.contains(pod))
}

/// A packet from the target's address was seen.
fn alive(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    let heard = case.facts.endpoints.get(&remote.ip()).and_then(|endpoint| endpoint.last_heard);
    let answers = |dial: &Dial| {
        dial.remote.ip() == remote.ip() && dial.outcome == DialOutcome::Connected { local_peer: None }
    };
    admitted(case, pair, remote)
        || heard.is_some_and(|at| in_window(case, pair, at, 30))
        || controls(pair).any(answers)
}

/// Something else on the target's node answered, or it is the source's own. Outside the cluster there is no node.
fn path(case: &Case, pair: &PairEvidence, remote: SocketAddr) -> bool {
    let Some(endpoint) = case.facts.endpoints.get(&remote.ip()) else { return true };
    let name = |node: &Option<std::sync::Arc<NodeFacts>>| node.as_ref().map(|node| node.name.clone());
    let own = endpoint.node.is_some() && name(&endpoint.node) == name(&case.facts.source.node);
    let proves = |dial: &Dial| {
        let known = |control: &peerwalk_model::plan::Control| {
            control.address == dial.remote && control.proves.contains(&remote.ip())
        };
        case.facts.controls.iter().any(known)
    };
    let answered = |dial: &Dial| {
        dial.outcome == DialOutcome::Connected { local_peer: None }
            || reset(dial)
            || failed_with(dial, ECONNRESET)
    };
    let seen = endpoint.path.as_ref().is_some_and(|path| in_window(case, pair, path.at, 60));
    endpoint.pod.is_none() || own || seen || controls(pair).any(|dial| answered(dial) && proves(dial))
}

fn controls(pair: &PairEvidence) -> impl Iterator<Item = &Dial> {
    let dials = pair.walk.connect.as_ref().map_or(&[][..], |connect| &connect.dials);
    dials.iter().filter(|dial| dial.purpose == DialPurpose::Control)
}
