//! Received ICMP refusals. A host that refuses sends few of them (in Linux six at once and then one a second
//! for each destination, which is us), so one stands for a minute and is not replaced by a later silence;
//! and a host known to refuse is asked rarely, since the application shares what it may send us.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use tokio::time::Instant;

/// How long a received refusal stands.
const STANDS: Duration = Duration::from_mins(1);
/// Between two dials of addresses that the same host refuses.
const SPACING: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The refusal of each address, and when it was received.
    known: HashMap<SocketAddr, (Dial, Instant)>,
    /// When each refusing host was last asked.
    asked: HashMap<IpAddr, Instant>,
}

impl Refusals {
    /// The refusal to report instead of dialling, when its host was asked a moment ago.
    ///
    /// `None` means: dial. The host then counts as asked.
    pub(crate) fn stands(&self, remote: SocketAddr, now: Instant) -> Option<Dial> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (dial, received) = state.known.get(&remote)?;
        if now.saturating_duration_since(*received) >= STANDS {
            state.known.remove(&remote);
            return None;
        }
        let (dial, host) = (dial.clone(), host(dial));
        match state.asked.get(&host) {
            Some(asked) if now.saturating_duration_since(*asked) < SPACING => Some(dial),
            _ => {
                state.asked.insert(host, now);
                None
            }
        }
    }

    /// Whether a refusal of the address is remembered.
    pub(crate) fn known(&self, remote: SocketAddr, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.get(&remote).is_some_and(|(_, at)| now.saturating_duration_since(*at) < STANDS)
    }

    /// Whether any host has refused anything of late.
    pub(crate) fn any(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.values().any(|(_, at)| now.saturating_duration_since(*at) < STANDS)
    }

    /// Keeps the refusals among the dials, forgets where anything else answered, and puts a remembered
    /// refusal in the place of silence.
    pub(crate) fn learn(&self, dials: &mut [Dial], now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.retain(|_, (_, received)| now.saturating_duration_since(*received) < STANDS);
        state.asked.retain(|_, asked| now.saturating_duration_since(*asked) < SPACING);
        for dial in dials.iter_mut().filter(|dial| dial.purpose != DialPurpose::Control) {
            match &dial.outcome {
                DialOutcome::Failed { queue, .. } if !queue.is_empty() => {
                    let newer =
                        state.known.get(&dial.remote).is_none_or(|(old, _)| old.started < dial.started);
                    if newer {
                        state.asked.insert(host(dial), now);
                        state.known.insert(dial.remote, (dial.clone(), now));
                    }
                }
                DialOutcome::Failed { .. } | DialOutcome::Connected { .. } | DialOutcome::Answered { .. } => {
                    state.known.remove(&dial.remote);
                }
                DialOutcome::Silent => {
                    if let Some((refusal, _)) = state.known.get(&dial.remote) {
                        *dial = Dial { purpose: dial.purpose, ..refusal.clone() };
                    }
                }
                DialOutcome::NotAllowed | DialOutcome::Skipped => {}
            }
        }
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
        refusals.learn(&mut [dial(A, 1, refused())], now);
        let mut later = [dial(A, 30_000, DialOutcome::Silent)];
        refusals.learn(&mut later, now + Duration::from_secs(30));
        assert_eq!(later[0], dial(A, 1, refused()), "the old refusal with its own start");
        let mut late = [dial(A, 61_000, DialOutcome::Silent)];
        refusals.learn(&mut late, now + Duration::from_secs(61));
        assert_eq!(late[0].outcome, DialOutcome::Silent, "after a minute silence is silence");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_refuses_is_asked_at_most_once_in_three_seconds() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.learn(&mut [dial(A, 1, refused()), dial(B, 2, refused())], now);
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
            refusals.learn(&mut [dial(A, 1, refused())], now);
            refusals.learn(&mut [dial(A, 2, answer)], now);
            assert!(!refusals.known(A.parse().unwrap(), now), "another answer replaces the refusal");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_reported_again_grows_no_younger() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.learn(&mut [dial(A, 1, refused())], now);
        refusals.learn(&mut [dial(A, 1, refused())], now + Duration::from_secs(50));
        assert!(!refusals.known(A.parse().unwrap(), now + Duration::from_secs(61)), "its minute is over");
    }
}
