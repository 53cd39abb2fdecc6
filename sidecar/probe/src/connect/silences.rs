//! Proven silence, kept for a minute: the proof takes a dozen sockets and some seconds, and a target that is
//! still silent needs it once a minute, not at every interval.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use tokio::time::Instant;

use crate::budget::Pace;

/// How long a proof stands.
const STANDS: Duration = Duration::from_mins(1);
/// How long it stands for a walk that an event asked for. The walk two seconds after an event, and those of
/// other targets that lead to the same address, need not prove it again; each dial keeps its own time, so that
/// what came before the event is judged as such.
const STANDS_AFTER_EVENT: Duration = Duration::from_secs(3);
/// Silent sockets that make a proof.
const SOCKETS: usize = 8;

/// Whether all these dials of one address together prove its silence: on every port, with a retransmission.
pub(super) fn is_proof(own: &[&Dial]) -> bool {
    let silent = own.iter().all(|dial| dial.outcome == DialOutcome::Silent);
    silent && own.len() >= SOCKETS && own.iter().any(|dial| dial.retransmits > 0)
}

/// The dials of a diagnosis, by each address that it proved silent.
#[derive(Debug, Default)]
pub(crate) struct Silences(Mutex<HashMap<SocketAddr, (Vec<Dial>, Instant)>>);

impl Silences {
    /// Keeps the silent dials and the controls of a diagnosis, for those suspects that were silent on every
    /// port, with a retransmission. What else answered may have changed since.
    pub(crate) fn keep(&self, suspects: &[SocketAddr], dials: &[Dial], now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, proven)| now.saturating_duration_since(*proven) < STANDS);
        for suspect in suspects {
            let own: Vec<&Dial> = dials.iter().filter(|dial| dial.remote == *suspect).collect();
            if is_proof(&own) {
                let proof = |dial: &&Dial| {
                    dial.outcome == DialOutcome::Silent || dial.purpose == DialPurpose::Control
                };
                kept.insert(*suspect, (dials.iter().filter(proof).cloned().collect(), now));
            }
        }
    }

    /// The dials behind the silence of all these addresses; `None` when one of them is not proven silent.
    pub(crate) fn recall(&self, suspects: &[SocketAddr], now: Instant, pace: Pace) -> Option<Vec<Dial>> {
        let stands = match pace {
            Pace::Spaced => STANDS,
            Pace::Immediate => STANDS_AFTER_EVENT,
        };
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dials: Vec<Dial> = Vec::new();
        for suspect in suspects {
            let (proof, proven) = kept.get(suspect)?;
            if now.saturating_duration_since(*proven) >= stands {
                return None;
            }
            for dial in proof {
                if !dials.contains(dial) {
                    dials.push(dial.clone());
                }
            }
        }
        Some(dials).filter(|dials| !dials.is_empty())
    }

    /// Forgets addresses that answered in any way.
    pub(crate) fn learn(&self, dials: &[Dial]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for dial in dials.iter().filter(|dial| dial.purpose != DialPurpose::Control) {
            if matches!(
                dial.outcome,
                DialOutcome::Connected { .. } | DialOutcome::Answered { .. } | DialOutcome::Failed { .. }
            ) {
                kept.remove(&dial.remote);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use peerwalk_model::Timestamp;

    use super::*;

    const A: &str = "10.244.1.8:80";

    fn dial(local_port: u16, retransmits: u32, outcome: DialOutcome) -> Dial {
        Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: None,
            purpose: DialPurpose::Endpoint,
            remote: A.parse().unwrap(),
            local: Some(SocketAddr::from(([10, 244, 0, 5], local_port))),
            started: Timestamp::from_millis(1),
            elapsed: Duration::from_secs(1),
            retransmits,
            outcome,
        }
    }

    fn silence(ports: u16, retransmits: u32) -> Vec<Dial> {
        (0..ports).map(|port| dial(port, retransmits, DialOutcome::Silent)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_whole_proof_is_kept_and_for_a_minute() {
        let (suspects, now) = ([A.parse().unwrap()], Instant::now());
        let connected = DialOutcome::Connected { local_peer: None };
        let mixed = [silence(8, 1), vec![dial(9, 0, connected)]].concat();
        for (dials, kept) in
            [(silence(8, 1), true), (silence(7, 1), false), (silence(8, 0), false), (mixed, false)]
        {
            let silences = Silences::default();
            silences.keep(&suspects, &dials, now);
            let recall = |pace, ms| silences.recall(&suspects, now + Duration::from_millis(ms), pace);
            assert_eq!(recall(Pace::Spaced, 59_999), kept.then(|| dials.clone()), "kept: {kept}");
            assert_eq!(recall(Pace::Spaced, 60_000), None, "a minute is over");
            assert_eq!(recall(Pace::Immediate, 2_999), kept.then_some(dials), "kept: {kept}");
            assert_eq!(recall(Pace::Immediate, 3_000), None, "after an event it is proven anew");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn any_answer_forgets_it() {
        let (suspects, now) = ([A.parse().unwrap()], Instant::now());
        let silences = Silences::default();
        silences.keep(&suspects, &silence(8, 1), now);
        silences.learn(&silence(3, 0));
        assert!(silences.recall(&suspects, now, Pace::Spaced).is_some(), "more silence changes nothing");
        silences.learn(&[dial(1, 0, DialOutcome::Connected { local_peer: None })]);
        assert_eq!(silences.recall(&suspects, now, Pace::Spaced), None, "it answered");
        assert_eq!(silences.recall(&[], now, Pace::Spaced), None, "no suspect, no proof");
    }
}
