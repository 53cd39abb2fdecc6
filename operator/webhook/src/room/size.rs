//! What the container asks for and may use of one resource.

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
