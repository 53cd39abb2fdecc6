//! The hub as the rest of the operator drives it.

use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::peer::Tuple;
use peerwalk_model::{Plan, PodRef, TargetKey};
use peerwalk_wire::{FromHub, PlanDelta, WireError, limits};

use crate::metrics::Metrics;
use crate::registry::Registry;

/// Questions that wait for one stream.
const LOOKS: usize = 16;

/// Drives a hub. Clones drive the same one; no call blocks.
#[derive(Clone, Debug)]
pub struct HubHandle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
}

/// What this replica is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It takes streams.
    #[default]
    Leader,
    /// It takes no sidecar. Those that are attached already stay until it is known where to send them.
    Standby {
        /// `host:port` of the leader, where every sidecar is sent. Whoever comes while it is not known is asked to
        /// come back.
        redirect: Option<String>,
    },
}

impl HubHandle {
    /// Sets what a pod walks, whether it is attached or not. It gets what differs from the plan before.
    ///
    /// The generation must be above 0 and grow with each change. A plan that breaks a limit of the protocol
    /// is refused, and the pod keeps the one it has.
    pub fn set_plan(&self, pod: &PodRef, plan: Plan) -> Result<(), WireError> {
        FromHub::PlanDelta(PlanDelta::whole(&plan)).encode().inspect_err(|_| {
            self.metrics.plans_refused.inc();
        })?;
        self.registry.set_plan(pod, plan);
        Ok(())
    }

    /// Forgets a pod that is gone, and ends its stream.
    pub fn remove_pod(&self, pod: &PodRef) {
        self.registry.remove(pod);
    }

    /// Has the pod send all its evidence again, for whoever has lost some that the hub has handed over. A pod
    /// that is not attached sends all of it anyway when it is.
    pub fn send_all(&self, pod: &PodRef) {
        self.registry.send_all(pod);
    }

    /// Has the pod remember for so long which connections are closed, since dials of others to it are about to
    /// come. False when it is not attached.
    pub fn watch(&self, pod: &PodRef, window: Duration) -> bool {
        let taken = self.registry.order(pod, |orders| orders.watch = orders.watch.max(window));
        if !taken {
            self.metrics.questions_lost.inc();
        }
        taken
    }

    /// Asks the pod what it holds of these dials; the answer is [`crate::HubEvent::Saw`] with the same number. False
    /// when it is not attached, or has more questions before it than it is asked at once.
    pub fn look(&self, pod: &PodRef, id: u64, mut tuples: Vec<Tuple>) -> bool {
        tuples.truncate(limits::TUPLES);
        let mut taken = false;
        self.registry.order(pod, |orders| {
            taken = orders.looks.len() < LOOKS;
            if taken {
                orders.looks.push((id, tuples));
            }
        });
        if !taken {
            self.metrics.questions_lost.inc();
        }
        taken
    }

    /// Has the pod walk these targets now, all of them when there are none. False when it is not attached:
    /// a pod with a plan is told when it attaches, whoever attaches without one walks everything anyway.
    pub fn walk_now(&self, pod: &PodRef, targets: Vec<TargetKey>) -> bool {
        self.registry.walk_now(pod, targets)
    }

    /// Makes this replica the leader or a standby. A hub begins as leader.
    pub fn set_role(&self, role: Role) {
        self.registry.set_role(role);
    }
}
