//! Whether a namespace has room for the sidecar, and how large it may be there. Pure.
//!
//! The API server refuses a pod that breaks a LimitRange or exceeds a ResourceQuota, whatever the webhook's
//! `failurePolicy`: a container of ours that does not fit would keep the application from ever starting. So it is
//! made to fit, and left out where it cannot.

mod limits;
mod others;
mod quota;
mod rules;
mod size;
mod sums;
#[cfg(test)]
mod tests;
mod workload;

use serde_json::{Value, json};

use crate::config::amount::text;
use crate::config::{ContainerResources, Resource};
use crate::decide::{Sizing, SkipReason};
pub use quota::Quota;
pub use rules::{LimitRange, NamespaceRules};
use size::{Has, Size};
use sums::Shape;
pub(crate) use sums::is_guaranteed;
use workload::ToCome;
pub(crate) use workload::maker;
pub use workload::{Workload, WorkloadKind};

/// Why the sidecar cannot be in a pod, in words for the pod's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For metrics.
    pub reason: SkipReason,
    /// Names the object and its field.
    pub why: String,
}

impl Refusal {
    fn limit_range(why: String) -> Self {
        Self { reason: SkipReason::LimitRange, why }
    }

    fn quota(why: String) -> Self {
        Self { reason: SkipReason::Quota, why }
    }

    fn unknown(why: String) -> Self {
        Self { reason: SkipReason::Unknown, why }
    }
}

/// What the container asks for and may use in a pod of this namespace, as its `resources`; nothing where the pod as a
/// whole says it. `init_containers` are the pod's own, of which the first `position` start before ours.
pub fn fit(
    pod: &Value,
    init_containers: &[&Value],
    position: usize,
    sizing: Sizing,
    configured: &ContainerResources,
    rules: &NamespaceRules,
) -> Result<Option<Value>, Refusal> {
    let shape = Shape::of(pod, init_containers, position);
    let mut ours = others::given(&shape, rules)?;
    let room = |best_effort, ours: &[Has]| {
        if rules.quotas().next().is_none() {
            return Ok(());
        }
        let to_come = ToCome::after(pod, rules);
        rules.quotas().try_for_each(|quota| quota.admits(pod, &shape, best_effort, ours, &to_come))
    };
    if sizing == Sizing::PodLevel {
        if let Some(range) = rules.limit_ranges().find(|range| range.is_about_sizes_of_containers()) {
            // It would fill in more than the pod may have left.
            return Err(Refusal::limit_range(format!(
                "LimitRange {}: it gives every container resources, which the pod's spec.resources may not have left",
                range.name()
            )));
        }
        room(false, &ours)?;
        return Ok(None);
    }
    let sizes = [Resource::Cpu, Resource::Memory].map(|resource| {
        let size = limits::fit(resource, &shape, sizing == Sizing::Guaranteed, configured, rules)?;
        Ok((resource, size))
    });
    let [cpu, memory] = sizes;
    let sizes = [cpu?, memory?];
    ours.extend(sizes.map(|(resource, size)| Has::of(resource, size)));
    room(shape.is_best_effort(), &ours)?;
    Ok(Some(to_json(&sizes, configured)))
}

/// Amounts that are as configured are spelled so.
fn to_json(sizes: &[(Resource, Size); 2], configured: &ContainerResources) -> Value {
    let (mut requests, mut limits) = (json!({}), json!({}));
    for (resource, size) in sizes {
        let (request, limit) = configured.of(*resource);
        let spelled = |amount: u128| {
            let known = [request, limit].into_iter().find(|quantity| u128::from(quantity.amount()) == amount);
            known.map_or_else(|| text(*resource, amount), |quantity| quantity.as_str().to_owned())
        };
        requests[resource.as_str()] = json!(spelled(size.request));
        limits[resource.as_str()] = json!(spelled(size.limit));
    }
    json!({"requests": requests, "limits": limits})
}
