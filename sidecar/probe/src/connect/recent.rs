//! What was found at each address a moment ago: for as long as an address may not be dialled again, other
//! targets of the pod that lead to it share what was found. A target never shares with itself: its next walk
//! is for news.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use peerwalk_model::TargetKey;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use tokio::time::Instant;

use crate::budget::SPACING;

/// An address, and what it stands for.
type Key = (DialPurpose, SocketAddr);

#[derive(Debug)]
struct Found {
    dials: Vec<Dial>,
    by: TargetKey,
    at: Instant,
}

/// The dials of the last walk that dialled an address for a purpose.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<HashMap<Key, Found>>);

impl Recent {
    /// The dials of an address for another target, each with its own start; `None` when there were none within
    /// [`SPACING`].
    pub(crate) fn of(&self, key: Key, target: &TargetKey, now: Instant) -> Option<Vec<Dial>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&key).filter(|found| found.by != *target)?;
        (now.saturating_duration_since(found.at) < SPACING).then(|| found.dials.clone())
    }

    /// Takes in what a walk dialled itself, which is newer than what is known.
    pub(crate) fn learn(&self, target: &TargetKey, dials: &[Dial], now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, found| now.saturating_duration_since(found.at) < SPACING);
        let mut fresh: HashMap<Key, Vec<Dial>> = HashMap::new();
        for dial in dials {
            let dialled = !matches!(dial.outcome, DialOutcome::NotAllowed | DialOutcome::Skipped);
            // No target asks for what was found of its proxy or controls.
            if dialled && !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy) {
                fresh.entry((dial.purpose, dial.remote)).or_default().push(dial.clone());
            }
        }
        for (address, dials) in fresh {
            let newest = |dials: &[Dial]| dials.iter().map(|dial| dial.started).max();
            let at = match known.get(&address) {
                Some(old) if newest(&dials) < newest(&old.dials) => continue,
                // The same sockets do not become younger by being reported again. Their own walk may have learned
                // since what became of them.
                Some(old) if newest(&dials) == newest(&old.dials) => {
                    if old.by != *target {
                        continue;
                    }
                    old.at
                }
                _ => now,
            };
            known.insert(address, Found { dials, by: target.clone(), at });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerwalk_model::Timestamp;

    use super::*;

    const A: &str = "10.244.1.8:80";

    fn dial(purpose: DialPurpose, started: i64, outcome: DialOutcome) -> Dial {
        Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: None,
            purpose,
            remote: A.parse().unwrap(),
            local: None,
            started: Timestamp::from_millis(started),
            elapsed: Duration::from_millis(1),
            retransmits: 0,
            outcome,
        }
    }

    fn target(name: &str) -> TargetKey {
        TargetKey { check: "shop".into(), target: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_lasts_as_long_as_the_distance_between_dials() {
        let (recent, now) = (Recent::default(), Instant::now());
        let connected = dial(DialPurpose::Endpoint, 1, DialOutcome::Connected { local_peer: None });
        recent.learn(&target("a"), std::slice::from_ref(&connected), now);
        let of = |purpose, name, ms| {
            recent.of((purpose, connected.remote), &target(name), now + Duration::from_millis(ms))
        };
        assert_eq!(of(DialPurpose::Endpoint, "b", 4_999), Some(vec![connected.clone()]));
        assert_eq!(of(DialPurpose::Endpoint, "b", 5_000), None, "it may be dialled again");
        assert_eq!(of(DialPurpose::Address, "b", 1), None, "what it stands for differs");
        assert_eq!(of(DialPurpose::Endpoint, "a", 1), None, "its own walk is for news");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_walk_replaces_its_interim_report() {
        let (recent, now) = (Recent::default(), Instant::now());
        let silent = dial(DialPurpose::Endpoint, 1, DialOutcome::Silent);
        let connected = Dial { outcome: DialOutcome::Connected { local_peer: None }, ..silent.clone() };
        let of = |seconds| {
            let key = (silent.purpose, silent.remote);
            recent.of(key, &target("b"), now + Duration::from_secs(seconds))
        };
        recent.learn(&target("a"), std::slice::from_ref(&silent), now);
        recent.learn(&target("a"), std::slice::from_ref(&connected), now + Duration::from_secs(2));
        assert_eq!(of(4), Some(vec![connected]), "the same socket was answered late");
        assert_eq!(of(5), None, "and is as old as before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_is_nobodys_target() {
        let (recent, now) = (Recent::default(), Instant::now());
        let proxy = dial(DialPurpose::Proxy, 1, DialOutcome::Silent);
        recent.learn(&target("a"), std::slice::from_ref(&proxy), now);
        assert_eq!(recent.of((proxy.purpose, proxy.remote), &target("b"), now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_shared_grows_no_younger() {
        let (recent, now) = (Recent::default(), Instant::now());
        let silent = dial(DialPurpose::Endpoint, 1, DialOutcome::Silent);
        let of = |seconds| {
            let key = (silent.purpose, silent.remote);
            recent.of(key, &target("c"), now + Duration::from_secs(seconds))
        };
        recent.learn(&target("a"), std::slice::from_ref(&silent), now);
        recent.learn(&target("b"), std::slice::from_ref(&silent), now + Duration::from_secs(4));
        assert_eq!(of(6), None, "b only repeated what a found");
        recent.learn(&target("a"), std::slice::from_ref(&silent), now);
        recent.learn(&target("b"), &[dial(DialPurpose::Endpoint, 9, DialOutcome::Skipped)], now);
        assert_eq!(of(0), Some(vec![silent.clone()]), "not dialled, not known");
    }
}
