//! Evidence that a sidecar has sent and that is not here: it is asked for again.
//!
//! A target may leave a plan and come back before anybody is told: the engine has dropped its evidence then,
//! and neither the hub nor the sidecar has. Their digests agree, so nothing is sent again by itself.

use std::time::Duration;

use peerwalk_model::report::{Heartbeat, TargetFreshness};
use peerwalk_model::{PodRef, Timestamp};

use super::{Engine, Output};

/// Evidence that is missing for longer than this is not on its way. What does not come when it is asked for is
/// asked for after twice the time.
const MISSING: Duration = Duration::from_secs(5);
/// The longest time between two requests to one pod.
const LONGEST: Duration = Duration::from_mins(5);

/// Evidence of a pod that is missing.
#[derive(Debug)]
pub(super) struct Missing {
    /// Since when, or when it was last asked for.
    since: Timestamp,
    wait: Duration,
}

impl Engine {
    /// Asks a pod for all its evidence when it has told for a while of walks that are not here.
    pub(super) fn ask_for_missing(
        &mut self,
        pod: &PodRef,
        heartbeat: &Heartbeat,
        now: Timestamp,
    ) -> Option<Output> {
        if !heartbeat.targets.iter().any(|fresh| self.lacks(pod, fresh)) {
            self.missing.remove(pod);
            return None;
        }
        let missing = self.missing.entry(pod.clone()).or_insert(Missing { since: now, wait: MISSING });
        if now.since(missing.since) < missing.wait {
            return None;
        }
        *missing = Missing { since: now, wait: (missing.wait * 2).min(LONGEST) };
        Some(Output::SendAll(pod.clone()))
    }

    /// Whether a walk of a target as it is planned now should be here and is not. After an interim report the
    /// whole walk is yet to come.
    fn lacks(&self, pod: &PodRef, fresh: &TargetFreshness) -> bool {
        let planned = self.plans.get(pod).and_then(|plan| plan.target(&fresh.target));
        if planned.is_none_or(|(_, since)| fresh.started < since) {
            return false;
        }
        let known = self.evidence_of(pod, &fresh.target);
        known.is_none_or(|known| !known.walk.interim && known.signature != fresh.signature)
    }
}
