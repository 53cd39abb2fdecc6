//! Who answers on the way: dials whose packets may only go a few hops, where others got no answer or a router's word
//! that their time is over. They are sockets of their own: what becomes of them is no answer of the target, and enters
//! neither its dials, nor what is remembered of refusals, nor a circuit breaker.
//!
//! A router sends few ICMP errors to one address (in Linux six at once, then one a second), and the application shares
//! them. So an address is traced once a minute at most, and with one packet for each number of hops.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, Hop, HopLimits, IcmpError};
use tokio::time::{Instant, timeout_at};

use super::{Dialling, Series};
use crate::budget::{Gate, Pace};
use crate::socket::{Attempt, Shape, own_hop_limit};

/// The most hops that are tried: more than there are between two pods of a cluster, and enough to meet the routers of a
/// circle twice.
const FURTHEST: u8 = 5;
/// How long the answers are waited for, where nothing else is.
const WAIT: Duration = Duration::from_millis(300);
/// Addresses traced in one walk, so that their hops fit into a message.
const TRACED: usize = 3;
/// Between two traces of an address.
const APART: Duration = Duration::from_mins(1);
/// The same where an event asked for the walk.
const APART_AFTER_EVENT: Duration = Duration::from_secs(3);
/// How long hops stand: until the next trace has had its time. The dials that they are told with are younger.
const STANDS: Duration = Duration::from_mins(2);

/// The hops to each address, and when they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Hops(Mutex<HashMap<SocketAddr, (Known, Instant)>>);

/// What one trace found.
#[derive(Clone, Debug)]
struct Known {
    hops: Vec<Hop>,
    own: Option<u8>,
}

impl Hops {
    /// Whether the address has not been traced for long enough.
    fn is_due(&self, remote: SocketAddr, now: Instant, pace: Pace) -> bool {
        let apart = match pace {
            Pace::Spaced => APART,
            Pace::Immediate => APART_AFTER_EVENT,
        };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&remote).is_none_or(|(_, at)| now.saturating_duration_since(*at) >= apart)
    }

    fn keep(&self, remote: SocketAddr, found: Known, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, at)| now.saturating_duration_since(*at) < STANDS);
        known.insert(remote, (found, now));
    }

    /// What is known of the way to those of the target's addresses that got no answer, or a router's word.
    pub(super) fn told(&self, dials: &[Dial], now: Instant) -> (Vec<Hop>, HopLimits) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut hops, mut limits) = (Vec::new(), HopLimits::default());
        for remote in open(dials, |outcome| *outcome == DialOutcome::Silent || is_over(outcome)) {
            let Some((found, at)) = known.get(&remote) else { continue };
            if now.saturating_duration_since(*at) < STANDS {
                hops.extend(found.hops.iter().cloned());
                let limit = if remote.is_ipv4() { &mut limits.v4 } else { &mut limits.v6 };
                *limit = limit.or(found.own);
            }
        }
        (hops, limits)
    }
}

/// The dials to one address, one for each number of hops.
#[derive(Debug)]
pub(super) struct Trace {
    remote: SocketAddr,
    attempts: Vec<(u8, Attempt)>,
}

impl Trace {
    /// Dials the address with each number of hops. None where the budget has no connects left for all of them, or a socket
    /// cannot be had: a part would say less than what is known from before, and no walk ends by it.
    fn begin(remote: SocketAddr, gate: &Gate) -> Option<Self> {
        let mut attempts = Vec::new();
        for ttl in 1..=FURTHEST {
            gate.try_connect(remote, Pace::Immediate).ok()?;
            let attempt =
                Attempt::begin_with(DialPurpose::Address, remote, None, Shape::Limited(ttl)).ok()?;
            attempts.push((ttl, attempt.counted(gate.census())));
        }
        Some(Self { remote, attempts })
    }

    /// Waits until each is answered.
    async fn settled(&mut self) {
        poll_fn(|cx| {
            let mut pending = false;
            for (_, attempt) in &mut self.attempts {
                pending |= attempt.poll_known(cx, None).is_pending();
            }
            if pending { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// What has come back by now.
    async fn found(mut self) -> Known {
        // It is looked at once, however late it is.
        let _ = timeout_at(Instant::now(), self.settled()).await;
        let remote = self.remote;
        let hop = |(ttl, attempt): &(u8, Attempt)| {
            let outcome = attempt.outcome();
            Hop {
                remote,
                ttl: *ttl,
                from: outcome.and_then(ended_by),
                reached: outcome.is_some_and(is_its_own),
            }
        };
        Known { hops: told(self.attempts.iter().map(hop).collect()), own: own_hop_limit(remote) }
    }
}

/// Up to the one that reached the address; otherwise up to the first that nobody answered after the last answer. Nothing
/// where nobody said anything.
fn told(mut hops: Vec<Hop>) -> Vec<Hop> {
    let end = match hops.iter().position(|hop| hop.reached) {
        Some(reached) => reached + 1,
        None => hops.iter().rposition(|hop| hop.from.is_some()).map_or(0, |last| last + 2),
    };
    hops.truncate(end);
    hops
}

/// Begins to trace silent addresses, if that is due and no host has refused anything of late, which would have the
/// fewer refusals to spare for it.
pub(super) fn begin(dialling: &Dialling<'_>, remotes: &[SocketAddr]) -> Vec<Trace> {
    let (now, connector) = (Instant::now(), dialling.connector);
    if dialling.datagram.is_some() || connector.refusals.any(now) {
        return Vec::new();
    }
    let due = remotes.iter().filter(|remote| may_trace(**remote));
    due.filter(|remote| connector.hops.is_due(**remote, now, dialling.pace))
        .take(TRACED)
        .filter_map(|remote| Trace::begin(*remote, dialling.gate))
        .collect()
}

/// Keeps what came of traces. One that was kept from running may have missed an answer.
pub(super) async fn end(dialling: &Dialling<'_>, traces: Vec<Trace>) {
    for trace in traces {
        let remote = trace.remote;
        let found = trace.found().await;
        if dialling.watch.is_starved() {
            continue;
        }
        dialling.connector.hops.keep(remote, found, Instant::now());
    }
}

/// Traces the addresses to which the time of a packet was over, as a router said.
pub(super) async fn after_time_exceeded(dialling: &Dialling<'_>, series: &mut Series) {
    if dialling.datagram.is_some() {
        return;
    }
    let dials: Vec<Dial> = series.attempts().map(Attempt::dial).collect();
    let now = Instant::now();
    let due = open(&dials, is_over).into_iter().filter(|remote| may_trace(*remote));
    let due = due.filter(|remote| dialling.connector.hops.is_due(*remote, now, dialling.pace));
    let mut traces: Vec<Trace> =
        due.take(TRACED).filter_map(|remote| Trace::begin(remote, dialling.gate)).collect();
    if traces.is_empty() {
        return;
    }
    let left = dialling.allowance.left();
    for trace in &mut traces {
        // Late is no error: those without an outcome are silent.
        let _ = series.during(timeout_at(now + WAIT, trace.settled())).await;
    }
    end(dialling, traces).await;
    dialling.allowance.keep(left);
}

/// An IPv4 address in the words of IPv6 has a socket whose option is the other family's.
fn may_trace(remote: SocketAddr) -> bool {
    remote.is_ipv4() || remote.ip().to_canonical().is_ipv6()
}

/// The target's addresses of which a dial ended like this, in the order of their numbers.
fn open(dials: &[Dial], ended: impl Fn(&DialOutcome) -> bool) -> Vec<SocketAddr> {
    let own = dials.iter().filter(|dial| !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy));
    let mut found: Vec<SocketAddr> =
        own.filter(|dial| ended(&dial.outcome)).map(|dial| dial.remote).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a router said that the packet's time was over.
fn is_over(outcome: &DialOutcome) -> bool {
    matches!(outcome, DialOutcome::Failed { queue, .. } if queue.last().is_some_and(says_over))
}

/// Time exceeded in transit (RFC 792, RFC 4443).
fn says_over(error: &IcmpError) -> bool {
    matches!((error.v6, error.kind, error.code), (false, 11, 0) | (true, 3, 0))
}

fn ended_by(outcome: &DialOutcome) -> Option<IpAddr> {
    match outcome {
        DialOutcome::Failed { queue, .. } => queue.last().filter(|error| says_over(error))?.offender,
        _ => None,
    }
}

/// A handshake, or a reset.
fn is_its_own(outcome: &DialOutcome) -> bool {
    match outcome {
        DialOutcome::Connected { .. } => true,
        DialOutcome::Failed { immediate, queue, .. } => !immediate && queue.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> SocketAddr {
        SocketAddr::from(([10, 244, 1, 8], 80))
    }

    fn hop(ttl: u8, from: Option<u8>, reached: bool) -> Hop {
        let from = from.map(|byte| IpAddr::from([10, 90, 0, byte]));
        Hop { remote: remote(), ttl, from, reached }
    }

    #[test]
    fn hops_are_told_as_far_as_they_say_something() {
        let (one, two, none) = (hop(1, Some(1), false), hop(2, Some(2), false), |ttl| hop(ttl, None, false));
        for (all, kept) in [
            (vec![none(1), none(2), none(3)], 0),
            (vec![one.clone(), none(2), none(3)], 2),
            (vec![none(1), two.clone(), none(3), none(4)], 3),
            (vec![one.clone(), two.clone(), hop(3, Some(1), false)], 3),
            (vec![one.clone(), hop(2, None, true), hop(3, None, true)], 2),
            (vec![hop(1, None, true), hop(2, None, true)], 1),
            (vec![], 0),
        ] {
            assert_eq!(told(all.clone()), all[..kept.min(all.len())], "{all:?}");
        }
    }

    #[test]
    fn only_a_handshake_or_a_reset_is_the_address_itself() {
        let error = |kind, code| IcmpError { v6: false, kind, code, offender: Some([10, 90, 0, 1].into()) };
        let failed = |immediate, queue| DialOutcome::Failed { errno: 113, immediate, queue };
        for (outcome, from, reached) in [
            (DialOutcome::Connected { local_peer: None }, false, true),
            (failed(false, vec![]), false, true),
            (failed(true, vec![]), false, false),
            (failed(false, vec![error(11, 0)]), true, false),
            (failed(false, vec![error(11, 1)]), false, false),
            (failed(false, vec![error(3, 13)]), false, false),
            (DialOutcome::Silent, false, false),
        ] {
            let said = (ended_by(&outcome).is_some(), is_its_own(&outcome));
            assert_eq!(said, (from, reached), "{outcome:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hops_stand_until_the_next_trace_and_for_what_failed() {
        let (hops, begun) = (Hops::default(), Instant::now());
        assert!(hops.is_due(remote(), begun, Pace::Spaced));
        hops.keep(remote(), Known { hops: vec![hop(1, Some(1), false)], own: Some(64) }, begun);
        let after = |seconds| begun + Duration::from_secs(seconds);
        let due = |seconds, pace| hops.is_due(remote(), after(seconds), pace);
        assert!(!due(59, Pace::Spaced) && due(60, Pace::Spaced));
        assert!(!due(2, Pace::Immediate) && due(3, Pace::Immediate), "an event asks again");
        let dial = |purpose, outcome| super::super::not_dialled(purpose, remote(), outcome);
        let told = |dial, seconds| hops.told(&[dial], after(seconds)).0.len();
        let silent = || dial(DialPurpose::Endpoint, DialOutcome::Silent);
        assert_eq!((told(silent(), 119), told(silent(), 120)), (1, 0));
        assert_eq!(told(dial(DialPurpose::Control, DialOutcome::Silent), 1), 0, "a control is no target");
        let connected = DialOutcome::Connected { local_peer: None };
        assert_eq!(told(dial(DialPurpose::Endpoint, connected), 1), 0, "what answers needs no hops");
    }
}
