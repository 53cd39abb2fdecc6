//! LimitRanges, as the API server enforces them (Kubernetes `plugin/pkg/admission/limitranger/admission.go`).
//!
//! A size is made to fit first, by as little as that takes, and then held against every bound exactly: what
//! making it fit does not see ends in the pod being left alone, never in its being refused.

use super::Refusal;
use super::rules::{Item, NamespaceRules, Scope};
use super::size::{Has, Size, least, spelled};
use super::sums::{Shape, Side, Sum};
use crate::config::{ContainerResources, Resource};

/// The container's size of a resource that we say ourselves.
pub(super) fn fit(
    resource: Resource,
    shape: &Shape<'_>,
    guaranteed: bool,
    configured: &ContainerResources,
    rules: &NamespaceRules,
) -> Result<Size, Refusal> {
    let size = Size::configured(resource, configured, guaranteed);
    let name = resource.as_str();
    let (requests, limits) = (shape.sum(Side::Requests, name), shape.sum(Side::Limits, name));
    let mut room = Room::all();
    for (_, item) in items(rules, name) {
        room.bound(item, requests, limits);
    }
    let size = room.fit(size, guaranteed, least(resource).min(size.limit), resource);
    hold(&Has::of(resource, size), shape, rules)?;
    Ok(size)
}

/// The items about a resource, with the names of their LimitRanges.
fn items<'a>(rules: &'a NamespaceRules, resource: &'a str) -> impl Iterator<Item = (&'a str, &'a Item)> {
    let all = rules.limit_ranges().flat_map(|range| range.items.iter().map(move |item| (range.name(), item)));
    all.filter(move |(_, item)| item.resource == resource)
}

/// Holds the container, and the pod with it, against every bound of a resource.
pub(super) fn hold(ours: &Has, shape: &Shape<'_>, rules: &NamespaceRules) -> Result<(), Refusal> {
    let resource = ours.resource.as_str();
    let (requests, limits) = (shape.sum(Side::Requests, resource), shape.sum(Side::Limits, resource));
    for (name, item) in items(rules, resource) {
        let (who, request, limit) = match item.scope {
            Scope::Container => ("a container", ours.request, ours.limit),
            Scope::Pod => {
                // What is refused without us is not let in by us.
                if let Some((field, bound)) = broken(item, requests.alone(), limits.alone()) {
                    return Err(refusal(name, item, field, bound, "the pod breaks it by itself"));
                }
                ("the pod", requests.beside(ours.request), limits.beside(ours.limit))
            }
        };
        if let Some((field, bound)) = broken(item, request, limit) {
            let [request, limit] = [request, limit]
                .map(|amount| amount.map_or("nothing".to_owned(), |amount| spelled(resource, amount)));
            let words = if item.scope == Scope::Container && field == "max" {
                format!("the sidecar needs {limit}")
            } else {
                format!("with the sidecar {who} requests {request}, with a limit of {limit}")
            };
            return Err(refusal(name, item, field, bound, &words));
        }
    }
    Ok(())
}

fn refusal(name: &str, item: &Item, field: &str, bound: u128, words: &str) -> Refusal {
    // A ratio has no unit.
    let unit = if field == "maxLimitRequestRatio" { "" } else { &item.resource };
    let (kind, resource) = (if item.scope == Scope::Pod { "Pod" } else { "Container" }, &item.resource);
    Refusal::limit_range(format!(
        "LimitRange {name}: {kind} {field}.{resource} is {}; {words}",
        spelled(unit, bound)
    ))
}

/// The bound that these amounts break.
fn broken(item: &Item, request: Option<u128>, limit: Option<u128>) -> Option<(&'static str, u128)> {
    let below =
        |min: u128| request.is_none_or(|request| request < min) || limit.is_some_and(|limit| limit < min);
    let above =
        |max: u128| limit.is_none_or(|limit| limit > max) || request.is_some_and(|request| request > max);
    let apart = |ratio: u128| match (request, limit) {
        (Some(request), Some(limit)) if request > 0 && limit > 0 => is_above(request, limit, ratio),
        _ => true,
    };
    let min = item.min.filter(|min| below(*min)).map(|min| ("min", min));
    let max = || item.max.filter(|max| above(*max)).map(|max| ("max", max));
    let ratio = || item.ratio.filter(|ratio| apart(*ratio)).map(|ratio| ("maxLimitRequestRatio", ratio));
    min.or_else(max).or_else(ratio)
}

/// Whether limit / request is above a ratio, in thousandths, in the floating point of the API server.
#[allow(clippy::cast_precision_loss, reason = "the API server loses it as well")]
fn is_above(request: u128, limit: u128, ratio: u128) -> bool {
    limit as f64 / request as f64 * 1000.0 > ratio as f64
}

/// Where our amounts have to be.
#[derive(Clone, Copy, Debug)]
struct Room {
    least_request: u128,
    least_limit: u128,
    most_request: u128,
    most_limit: u128,
    ratio: Option<u128>,
}

impl Room {
    const fn all() -> Self {
        Self { least_request: 0, least_limit: 0, most_request: u128::MAX, most_limit: u128::MAX, ratio: None }
    }

    /// Takes in what an item leaves for us.
    fn bound(&mut self, item: &Item, requests: Sum, limits: Sum) {
        let (of_requests, of_limits) = match item.scope {
            Scope::Container => (0, 0),
            Scope::Pod => (requests.beside, limits.beside),
        };
        if let Some(min) = item.min {
            if item.scope == Scope::Container {
                self.least_request = self.least_request.max(min);
            }
            // Of a pod, ours may be the only limit, which has to be at least the pod's min then.
            if item.scope == Scope::Container || !limits.given {
                self.least_limit = self.least_limit.max(min);
            }
        }
        if let Some(max) = item.max {
            self.most_request = self.most_request.min(max.saturating_sub(of_requests));
            self.most_limit = self.most_limit.min(max.saturating_sub(of_limits));
        }
        // A pod within a ratio stays in it with a container that is.
        self.ratio = self.ratio.into_iter().chain(item.ratio).min();
    }

    /// The size nearest to the wanted one. To come within a ratio the limit is lowered before the request is raised:
    /// what is requested is taken from others. The limit does not go below `least`.
    fn fit(&self, wanted: Size, guaranteed: bool, least: u128, resource: Resource) -> Size {
        let most = self.most_limit.max(least);
        let mut limit = wanted.limit.max(self.least_limit).min(most);
        if guaranteed {
            let both = limit.max(self.least_request).min(self.most_request.max(least));
            return Size { request: both, limit: both };
        }
        let mut request = wanted.request.max(self.least_request).min(self.most_request);
        limit = limit.max(request.min(most));
        request = request.min(limit);
        if let Some(ratio) = self.ratio.filter(|ratio| is_above(request, limit, *ratio)) {
            let step = unit(resource);
            let within = request.saturating_mul(ratio) / 1000;
            limit = floor(within, step).max(self.least_limit).max(least).min(limit);
            while request < limit && is_above(request, limit, ratio) {
                let needed = limit.saturating_mul(1000).div_ceil(ratio.max(1)).next_multiple_of(step);
                request = needed.max(request + step).min(limit);
            }
        }
        Size { request, limit }
    }
}

/// The smallest step of an amount, in thousandths: a millicore, a byte.
const fn unit(resource: Resource) -> u128 {
    match resource {
        Resource::Cpu => 1,
        Resource::Memory => 1000,
    }
}

const fn floor(amount: u128, step: u128) -> u128 {
    amount - amount % step
}
