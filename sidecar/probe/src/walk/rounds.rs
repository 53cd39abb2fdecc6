//! Since when each target is without a whole walk: where the budget is short, those go first that had to do without for
//! longest, so that every target has its turn.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use peerwalk_model::{TargetKey, Walk};
use tokio::time::Instant;

/// Targets that are remembered; a plan has at most a few hundred.
const TARGETS: usize = 4096;

/// The end of each target's last whole walk, or the beginning of its first.
#[derive(Debug, Default)]
pub(super) struct Rounds(Mutex<HashMap<TargetKey, Instant>>);

impl Rounds {
    /// A walk begins.
    pub(super) fn without_since(&self, key: &TargetKey) -> Instant {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.len() >= TARGETS && !targets.contains_key(key) {
            targets.clear();
        }
        *targets.entry(key.clone()).or_insert_with(Instant::now)
    }

    /// A walk has ended.
    pub(super) fn ended(&self, walk: &Walk) {
        if walk.is_short_of_budget() {
            return;
        }
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = targets.get_mut(&walk.target) {
            *at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerwalk_model::Timestamp;
    use peerwalk_model::evidence::{LocalTrouble, Trigger};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_walk_short_of_budget_is_none() {
        let (rounds, begun) = (Rounds::default(), Instant::now());
        let key = TargetKey { check: "shop".into(), target: "db".into() };
        let walk = Walk::begin(key.clone(), 1, Trigger::Interval, Timestamp::from_millis(0));
        let trouble = |what: &str| Some(LocalTrouble { what: what.into(), errno: 11 });
        assert_eq!(rounds.without_since(&key), begun, "it was never walked");
        tokio::time::advance(Duration::from_secs(5)).await;
        rounds.ended(&Walk { local: trouble(LocalTrouble::BUDGET), ..walk.clone() });
        assert_eq!(rounds.without_since(&key), begun, "nor was it now");
        for whole in [walk.clone(), Walk { local: trouble("file descriptors"), ..walk }] {
            tokio::time::advance(Duration::from_secs(5)).await;
            rounds.ended(&whole);
            assert_eq!(rounds.without_since(&key), Instant::now(), "it had its turn: {whole:?}");
        }
    }
}
