//! What each target's last walk found, as far as it decides whom the next one dials first.
//!
//! A failure is dialled again at the same addresses until a walk passes. Otherwise its evidence would change
//! with whichever endpoint came next, and nobody could tell a failure that stands from one that moves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, LocalPeer, Strain};
use peerwalk_model::{TargetKey, Walk};

use super::good;

/// Targets that are remembered; a plan has at most a few hundred.
const TARGETS: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<TargetKey, Remembered>>);

/// Of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    /// Walks that passed: each moves on to the next endpoint.
    pub(super) turn: usize,
    /// Addresses behind the target that failed in the last walk. The first ones of the walk before stay first.
    pub(super) failed: Vec<SocketAddr>,
}

impl Memory {
    pub(super) fn of(&self, key: &TargetKey) -> Remembered {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    /// Takes in a walk that came to its end. A void one says nothing.
    pub(super) fn learn(&self, walk: &Walk) {
        let starved = walk.strain.as_ref().is_some_and(Strain::is_starved);
        if walk.local.is_some() || starved {
            return;
        }
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.len() >= TARGETS && !targets.contains_key(&walk.target) {
            targets.clear();
        }
        targets.entry(walk.target.clone()).or_default().learn(walk);
    }
}

impl Remembered {
    fn learn(&mut self, walk: &Walk) {
        let all = walk.connect.iter().flat_map(|connect| &connect.dials);
        let dials: Vec<&Dial> = all
            .filter(|dial| dial.purpose != DialPurpose::Control && dial.outcome != DialOutcome::NotAllowed)
            .collect();
        // What was skipped for want of budget failed as before.
        self.failed.retain(|old| dials.iter().any(|dial| dial.remote == *old && !connected(dial)));
        for dial in &dials {
            let behind = dial.purpose != DialPurpose::ServiceAddress;
            let failed = !connected(dial) && dial.outcome != DialOutcome::Skipped;
            if behind && failed && !self.failed.contains(&dial.remote) {
                self.failed.push(dial.remote);
            }
        }
        let passed = dials.iter().all(|dial| connected(dial));
        if passed && !dials.is_empty() && good(walk.tls.as_ref(), walk.request.as_ref()) {
            self.turn = self.turn.wrapping_add(1);
        }
    }
}

/// A connection to the other end itself, or an answer from it, not to something in our own pod. Where nobody can tell, each endpoint
/// has its turn all the same.
fn connected(dial: &Dial) -> bool {
    matches!(
        dial.outcome,
        DialOutcome::Connected { local_peer: None | Some(LocalPeer::Unknown) } | DialOutcome::Answered { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerwalk_model::Timestamp;
    use peerwalk_model::evidence::{Connect, LocalTrouble, Trigger};

    use super::*;

    const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };
    const SERVICE: &str = "10.96.0.1:80";
    const A: &str = "10.244.0.1:80";
    const B: &str = "10.244.0.2:80";

    fn walk(dials: &[(&str, DialOutcome)]) -> Walk {
        let key = TargetKey { check: "shop".into(), target: "db".into() };
        let dial = |(remote, outcome): &(&str, DialOutcome)| Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: None,
            purpose: if *remote == SERVICE { DialPurpose::ServiceAddress } else { DialPurpose::Endpoint },
            remote: remote.parse().unwrap(),
            local: None,
            started: Timestamp::from_millis(0),
            elapsed: Duration::from_millis(1),
            retransmits: 0,
            outcome: outcome.clone(),
        };
        let connect = Connect { dials: dials.iter().map(dial).collect(), ..Connect::default() };
        let begun = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
        Walk { connect: Some(connect), ..begun }
    }

    #[test]
    fn the_turn_waits_for_a_walk_that_passes() {
        use DialOutcome::{NotAllowed, Silent, Skipped};
        let intercepted = LocalPeer::Socket { address: "127.0.0.1:15001".parse().unwrap(), uid: 1337 };
        let intercepted = DialOutcome::Connected { local_peer: Some(intercepted) };
        let unasked = DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) };
        let reset = DialOutcome::Failed { errno: libc::ECONNREFUSED, immediate: false, queue: vec![] };
        let memory = Memory::default();
        for (dials, turn, failed) in [
            (vec![(SERVICE, CONNECTED), (A, CONNECTED)], 1, vec![]),
            (vec![(SERVICE, CONNECTED), (A, CONNECTED), (B, NotAllowed)], 2, vec![]),
            (vec![(SERVICE, Silent), (B, Silent), (B, Silent), (A, reset.clone())], 2, vec![B, A]),
            (vec![(SERVICE, Silent), (A, reset), (B, Skipped)], 2, vec![B, A]),
            (vec![(SERVICE, CONNECTED), (A, CONNECTED), (B, Silent)], 2, vec![B]),
            (vec![(SERVICE, CONNECTED), (A, intercepted)], 2, vec![A]),
            (vec![(SERVICE, Silent), (A, CONNECTED)], 2, vec![]),
            (vec![], 2, vec![]),
            (vec![(SERVICE, CONNECTED), (A, CONNECTED)], 3, vec![]),
            (vec![(SERVICE, unasked.clone()), (A, unasked)], 4, vec![]),
        ] {
            let walk = walk(&dials);
            memory.learn(&walk);
            let failed = failed.into_iter().map(|remote| remote.parse().unwrap()).collect();
            assert_eq!(memory.of(&walk.target), Remembered { turn, failed }, "after {dials:?}");
        }
    }

    #[test]
    fn a_void_walk_changes_nothing() {
        let memory = Memory::default();
        let failed = walk(&[(A, DialOutcome::Silent)]);
        memory.learn(&failed);
        let local = Some(LocalTrouble { what: "ports".into(), errno: libc::EADDRNOTAVAIL });
        memory.learn(&Walk { local, ..walk(&[]) });
        let strain = Some(Strain { timer_delay: Strain::STALL, ..Strain::default() });
        memory.learn(&Walk { strain, ..walk(&[(B, DialOutcome::Silent)]) });
        assert_eq!(memory.of(&failed.target).failed, [A.parse().unwrap()], "it says nothing of the network");
    }
}
