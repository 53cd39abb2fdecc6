//! What the containers of a pod take together, as the API server sums it up (Kubernetes
//! `component-helpers/resource/helpers.go`): all that run beside each other, or an init container with the native
//! sidecars before it where that is more.

use serde_json::Value;

use crate::config::Resource;
use crate::config::amount::amount;

/// Which of a container's amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Limits,
}

impl Side {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// A pod's containers, and where ours goes among them.
pub(super) struct Shape<'a> {
    containers: &'a [Value],
    init_containers: &'a [&'a Value],
    position: usize,
    overhead: &'a Value,
}

/// What a pod takes of one resource on one side, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    /// The most that runs at a time when ours runs as well.
    pub(super) beside: u128,
    /// The most that runs at a time before ours does.
    pub(super) before: u128,
    /// Whether any container says anything; a sum of nothing is no sum.
    pub(super) given: bool,
}

impl Sum {
    /// With that much of ours, or with a container of ours that says nothing.
    pub(super) fn beside(self, ours: Option<u128>) -> Option<u128> {
        ours.map_or_else(|| self.alone(), |ours| Some(self.with(ours)))
    }

    /// With that much of ours.
    pub(super) fn with(self, ours: u128) -> u128 {
        self.beside.saturating_add(ours).max(self.before)
    }

    /// Of the pod as it is.
    pub(super) fn alone(self) -> Option<u128> {
        self.given.then(|| self.with(0))
    }
}

impl<'a> Shape<'a> {
    pub(super) fn of(pod: &'a Value, init_containers: &'a [&'a Value], position: usize) -> Self {
        Self {
            containers: pod["spec"]["containers"].as_array().map_or(&[], Vec::as_slice),
            init_containers,
            position,
            overhead: &pod["spec"]["overhead"],
        }
    }

    pub(super) fn sum(&self, side: Side, resource: &str) -> Sum {
        let mut sum = Sum { beside: 0, before: 0, given: false };
        let mut take = |container: &Value| {
            let own = given(container, side, resource);
            sum.given |= own.is_some();
            own.unwrap_or(0)
        };
        let (mut sidecars, mut initial_before, mut initial_beside) = (0_u128, 0_u128, 0_u128);
        for (index, container) in self.init_containers.iter().enumerate() {
            let own = take(container);
            let together = sidecars.saturating_add(own);
            if container["restartPolicy"] == "Always" {
                sidecars = together;
            }
            let most = if index < self.position { &mut initial_before } else { &mut initial_beside };
            *most = together.max(*most);
        }
        let running = self.containers.iter().map(&mut take).fold(sidecars, u128::saturating_add);
        sum.beside = running.max(initial_beside);
        sum.before = initial_before;
        sum
    }

    /// What the runtime takes for itself, which quotas count and LimitRanges do not.
    pub(super) fn overhead(&self, resource: &str) -> u128 {
        self.overhead[resource].as_str().and_then(amount).unwrap_or(0)
    }

    /// Whether a container names a resource: the pod is not BestEffort then.
    pub(super) fn is_best_effort(&self) -> bool {
        let named =
            |side| Resource::ALL.into_iter().any(|resource| self.sum(side, resource.as_str()).with(0) > 0);
        !named(Side::Requests) && !named(Side::Limits)
    }
}

/// What a container says; a request that is not given is the limit.
fn given(container: &Value, side: Side, resource: &str) -> Option<u128> {
    let resources = &container["resources"];
    let read = |side: Side| amount(resources[side.as_str()][resource].as_str()?);
    match side {
        Side::Limits => read(Side::Limits),
        Side::Requests => read(Side::Requests).or_else(|| read(Side::Limits)),
    }
}

/// Whether a container's limits keep a pod Guaranteed (Kubernetes `pkg/apis/core/v1/helper/qos/qos.go`).
pub(crate) fn is_guaranteed(container: &Value) -> bool {
    Resource::ALL.into_iter().all(|resource| {
        let name = resource.as_str();
        let limit = given(container, Side::Limits, name);
        limit.is_some_and(|limit| limit > 0) && given(container, Side::Requests, name) == limit
    })
}
