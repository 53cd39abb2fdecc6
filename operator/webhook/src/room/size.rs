//! What the container asks for and may use of one resource.

use crate::config::amount::text;
use crate::config::{ContainerResources, Resource};

/// In thousandths of a core or a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) request: u128,
    pub(super) limit: u128,
}

impl Size {
    /// As configured; the same twice where the pod is to stay Guaranteed.
    pub(super) fn configured(resource: Resource, configured: &ContainerResources, guaranteed: bool) -> Self {
        let (request, limit) = configured.of(resource);
        let limit = limit.amount().into();
        Self { request: if guaranteed { limit } else { request.amount().into() }, limit }
    }
}

/// The least limit that the sidecar lives with. Below it it would be killed over and over, or be too slow to tell the
/// network's delays from its own, and both cost the pod more than it is told.
///
/// Memory: 16Mi, twice what 200 Services of 3 endpoints may take after an hour. CPU: 20m, three times what they take.
pub(super) const fn least(resource: Resource) -> u128 {
    match resource {
        Resource::Cpu => 20,
        Resource::Memory => (16 << 20) * 1000,
    }
}

/// What our container has of any resource, once the API server has filled in what a LimitRange gives every container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Has {
    pub(super) resource: String,
    pub(super) request: Option<u128>,
    pub(super) limit: Option<u128>,
}

impl Has {
    /// Of what we say ourselves.
    pub(super) fn of(resource: Resource, size: Size) -> Self {
        Self { resource: resource.as_str().into(), request: Some(size.request), limit: Some(size.limit) }
    }
}

/// An amount of any resource as people write it.
pub(super) fn spelled(resource: &str, amount: u128) -> String {
    let is_bytes =
        resource == "memory" || resource == "ephemeral-storage" || resource.starts_with("hugepages-");
    text(if is_bytes { Resource::Memory } else { Resource::Cpu }, amount)
}
