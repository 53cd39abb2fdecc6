//! Received ICMP refusals. A host that refuses sends few of them (in Linux six at once and then one a second
//! for each destination, which is us), so one stands for a minute and is not replaced by a later silence;
//! and a host known to refuse is asked rarely, since the application shares what it may send us.
//!
//! What stands may be over. After an event, and after a dial of the address that got no answer, it is in doubt: the
//! next silence is diagnosed as any other, and a proof of it ends what stood.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::Timestamp;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use tokio::time::Instant;

use super::silences;

/// How long a received refusal stands.
const STANDS: Duration = Duration::from_mins(1);
/// Between two dials of addresses that the same host refuses. After so long it may send another error, too: who is
/// silent then may refuse no more.
const SPACING: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<SocketAddr, Known>,
    /// When each refusing host was last asked.
    asked: HashMap<IpAddr, Instant>,
    /// When the dial began that last found an address to do anything else, and when that was learned: walks still
    /// report what stood before.
    over: HashMap<SocketAddr, (Timestamp, Instant)>,
}

/// The refusal of an address.
#[derive(Debug)]
struct Known {
    dial: Dial,
    received: Instant,
    /// From when on silence is no longer put down to it.
    doubted: Option<Instant>,
}

impl Refusals {
    /// The refusal to report instead of dialling, when its host was asked a moment ago.
    ///
    /// `None` means: dial. The host then counts as asked.
    pub(crate) fn stands(&self, remote: SocketAddr, now: Instant) -> Option<Dial> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.known.get(&remote)?;
        if now.saturating_duration_since(known.received) >= STANDS {
            state.known.remove(&remote);
            return None;
        }
        let (dial, host) = (known.dial.clone(), host(&known.dial));
        match state.asked.get(&host) {
            Some(asked) if now.saturating_duration_since(*asked) < SPACING => Some(dial),
            _ => {
                state.asked.insert(host, now);
                None
            }
        }
    }

    /// Whether silence of the address is put down to a refusal.
    pub(crate) fn explains(&self, remote: SocketAddr, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.get(&remote).is_some_and(|known| {
            let doubted = known.doubted.is_some_and(|from| now >= from);
            !doubted && now.saturating_duration_since(known.received) < STANDS
        })
    }

    /// Whether any host has refused anything of late.
    pub(crate) fn any(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.values().any(|known| now.saturating_duration_since(known.received) < STANDS)
    }

    /// The world has changed for these addresses, as far as anybody knows.
    pub(crate) fn doubt(&self, remotes: impl Iterator<Item = SocketAddr>, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for remote in remotes {
            if let Some(known) = state.known.get_mut(&remote) {
                known.doubted = Some(now);
            }
        }
    }

    /// Keeps the refusals among the dials, forgets where anything else answered or silence is proven, and puts a
    /// remembered refusal in the place of other silence. What a `starved` prober found silent proves nothing.
    pub(crate) fn learn(&self, dials: &mut [Dial], now: Instant, starved: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.retain(|_, known| now.saturating_duration_since(known.received) < STANDS);
        state.asked.retain(|_, asked| now.saturating_duration_since(*asked) < SPACING);
        state.over.retain(|_, (_, learned)| now.saturating_duration_since(*learned) < STANDS);
        for dial in dials.iter().filter(|dial| dial.purpose != DialPurpose::Control) {
            match &dial.outcome {
                DialOutcome::Failed { queue, .. } if !queue.is_empty() => state.refused(dial, now),
                DialOutcome::Failed { .. } | DialOutcome::Connected { .. } | DialOutcome::Answered { .. } => {
                    state.ended(dial, now);
                }
                DialOutcome::Silent | DialOutcome::NotAllowed | DialOutcome::Skipped => {}
            }
        }
        for at in 0..dials.len() {
            let dial = &dials[at];
            if dial.outcome != DialOutcome::Silent || dial.purpose == DialPurpose::Control {
                continue;
            }
            let Some(known) = state.known.get_mut(&dial.remote) else { continue };
            let since = known.dial.started;
            let all: Vec<&Dial> = dials.iter().filter(|other| other.remote == dial.remote).collect();
            let silent =
                all.iter().all(|other| other.outcome == DialOutcome::Silent && other.started > since);
            if silent && !starved {
                if silences::is_proof(&all) {
                    let dial = dial.clone();
                    state.ended(&dial, now);
                    continue;
                }
                known.doubted.get_or_insert(now + SPACING);
            }
            dials[at] = Dial { purpose: dial.purpose, ..known.dial.clone() };
        }
    }
}

impl State {
    fn refused(&mut self, dial: &Dial, now: Instant) {
        let known = self.known.get(&dial.remote).is_some_and(|known| known.dial.started >= dial.started);
        let over = self.over.get(&dial.remote).is_some_and(|(began, _)| *began >= dial.started);
        if !known && !over {
            self.asked.insert(host(dial), now);
            let known = Known { dial: dial.clone(), received: now, doubted: None };
            self.known.insert(dial.remote, known);
        }
    }

    fn ended(&mut self, dial: &Dial, now: Instant) {
        if self.known.get(&dial.remote).is_some_and(|known| known.dial.started > dial.started) {
            return;
        }
        self.known.remove(&dial.remote);
        self.over.insert(dial.remote, (dial.started, now));
    }
}

/// Who refused; the address itself where the queue does not say.
fn host(dial: &Dial) -> IpAddr {
    match &dial.outcome {
        DialOutcome::Failed { queue, .. } => queue.iter().rev().find_map(|entry| entry.offender),
        _ => None,
    }
    .unwrap_or(dial.remote.ip())
}

#[cfg(test)]
mod tests {
    use peerwalk_model::Timestamp;
    use peerwalk_model::evidence::IcmpError;

    use super::*;

    const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };

    fn refused() -> DialOutcome {
        let entry = IcmpError { v6: false, kind: 3, code: 13, offender: Some("10.244.0.1".parse().unwrap()) };
        DialOutcome::Failed { errno: libc::EHOSTUNREACH, immediate: false, queue: vec![entry] }
    }

    fn dial(remote: &str, started: i64, outcome: DialOutcome) -> Dial {
        Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: None,
            purpose: DialPurpose::Endpoint,
            remote: remote.parse().unwrap(),
            local: None,
            started: Timestamp::from_millis(started),
            elapsed: Duration::from_millis(1),
            retransmits: 0,
            outcome,
        }
    }

    const A: &str = "10.244.1.8:80";
    const B: &str = "10.244.1.9:80";

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_replaced_by_silence_for_a_minute() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.learn(&mut [dial(A, 1, refused())], now, false);
        let mut later = [dial(A, 30_000, DialOutcome::Silent)];
        refusals.learn(&mut later, now + Duration::from_secs(30), false);
        assert_eq!(later[0], dial(A, 1, refused()), "the old refusal with its own start");
        let mut late = [dial(A, 61_000, DialOutcome::Silent)];
        refusals.learn(&mut late, now + Duration::from_secs(61), false);
        assert_eq!(late[0].outcome, DialOutcome::Silent, "after a minute silence is silence");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_refuses_is_asked_at_most_once_in_three_seconds() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.learn(&mut [dial(A, 1, refused()), dial(B, 2, refused())], now, false);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(refusals.stands(A.parse().unwrap(), at(1)).is_some(), "asked a second ago");
        assert!(refusals.stands(A.parse().unwrap(), at(4)).is_none(), "may be asked again");
        assert!(refusals.stands(B.parse().unwrap(), at(5)).is_some(), "the same host, by another address");
        assert!(refusals.stands("10.9.9.9:80".parse().unwrap(), at(5)).is_none(), "nothing known: dial");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_forgets_the_refusal() {
        let now = Instant::now();
        let reset = DialOutcome::Failed { errno: libc::ECONNREFUSED, immediate: false, queue: vec![] };
        for answer in [CONNECTED, reset] {
            let refusals = Refusals::default();
            refusals.learn(&mut [dial(A, 1, refused())], now, false);
            refusals.learn(&mut [dial(A, 2, answer)], now, false);
            assert!(!refusals.explains(A.parse().unwrap(), now), "another answer replaces the refusal");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_reported_again_grows_no_younger() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.learn(&mut [dial(A, 1, refused())], now, false);
        refusals.learn(&mut [dial(A, 1, refused())], now + Duration::from_secs(50), false);
        assert!(!refusals.explains(A.parse().unwrap(), now + Duration::from_secs(61)), "its minute is over");
    }

    fn silence(ports: i64, from: i64, retransmits: u32) -> Vec<Dial> {
        let silent = |port| Dial { retransmits, ..dial(A, from + port, DialOutcome::Silent) };
        (0..ports).map(silent).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_in_doubt_after_an_event_and_after_silence() {
        let (a, b): (SocketAddr, SocketAddr) = (A.parse().unwrap(), B.parse().unwrap());
        let (refusals, now) = (Refusals::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        refusals.learn(&mut [dial(A, 1, refused()), dial(B, 2, refused())], now, false);
        assert!(refusals.explains(a, at(59)), "nothing speaks against it");
        refusals.learn(&mut silence(1, 5_000, 0), at(5), true);
        assert!(refusals.explains(a, at(59)), "a starved prober finds everything silent");
        refusals.learn(&mut silence(1, 5_000, 0), at(5), false);
        assert!(refusals.explains(a, at(7)), "its host may not have been able to send another");
        assert!(!refusals.explains(a, at(8)), "it has been by now");
        assert!(refusals.explains(b, at(8)), "another address is another matter");
        refusals.doubt([b].into_iter(), at(9));
        assert!(!refusals.explains(b, at(9)), "an event asks for what is so now");
        refusals.learn(&mut [dial(A, 9_000, refused()), dial(B, 9_000, refused())], at(9), false);
        assert!(refusals.explains(a, at(60)) && refusals.explains(b, at(60)), "both refuse again");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_proof_of_silence_takes_its_place() {
        let now = Instant::now();
        let beside = [silence(7, 5_000, 1), vec![dial(A, 5_100, refused())]].concat();
        for (about, dials, starved, ends) in [
            ("eight ports, and one of them twice", silence(8, 5_000, 1), false, true),
            ("too few ports", silence(7, 5_000, 1), false, false),
            ("no retransmission", silence(8, 5_000, 0), false, false),
            ("from before it", silence(8, -100, 1), false, false),
            ("by a starved prober", silence(8, 5_000, 1), true, false),
            ("one of them is refused", beside, false, false),
        ] {
            let refusals = Refusals::default();
            let old = dial(A, 1, refused());
            refusals.learn(&mut [old.clone()], now, false);
            let mut found = dials;
            refusals.learn(&mut found, now, starved);
            let silent = found.iter().all(|dial| dial.outcome == DialOutcome::Silent);
            assert_eq!(silent, ends, "{about}: {found:?}");
            // A walk that began before it was over still reports it.
            refusals.learn(&mut [old], now, false);
            assert_eq!(refusals.explains(A.parse().unwrap(), now), !ends, "{about}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_it_does_not_end_it() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.learn(&mut [dial(A, 2, refused())], now, false);
        refusals.learn(&mut [dial(A, 1, CONNECTED)], now, false);
        assert!(
            refusals.explains(A.parse().unwrap(), now),
            "another target's walk reports an older connection"
        );
    }
}
