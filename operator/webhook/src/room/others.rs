//! Resources of which we say nothing: all but CPU and memory. A LimitRange may give them to every container, ours too.

use std::collections::BTreeSet;

use super::rules::{LimitRange, NamespaceRules};
use super::size::Has;
use super::sums::Shape;
use super::{Refusal, limits};
use crate::config::Resource;

/// What every node has some of. Of other resources, such as devices and huge pages, a container that needs none would
/// take one from a pod that does, or keep its own pod from every node.
const EVERYWHERE: &str = "ephemeral-storage";

/// What our container is given of them, when it fits every bound.
pub(super) fn given(shape: &Shape<'_>, rules: &NamespaceRules) -> Result<Vec<Has>, Refusal> {
    let named = rules.limit_ranges().flat_map(|range| {
        let items = range.items.iter().map(|item| item.resource.as_str());
        items.chain(range.fills.iter().map(|fill| fill.resource.as_str()))
    });
    let others: BTreeSet<&str> =
        named.filter(|name| Resource::ALL.into_iter().all(|own| own.as_str() != *name)).collect();
    let mut all = Vec::new();
    for resource in others {
        let has = filled(resource, rules)?;
        limits::hold(&has, shape, rules)?;
        all.push(has);
    }
    Ok(all)
}

/// What the API server fills in.
fn filled(resource: &str, rules: &NamespaceRules) -> Result<Has, Refusal> {
    let of_range = |range: &'_ LimitRange| range.fills.iter().find(|fill| fill.resource == resource).cloned();
    let mut fills = rules.limit_ranges().filter_map(|range| Some((range.name(), of_range(range)?)));
    let Some((name, has)) = fills.next() else {
        return Ok(Has { resource: resource.to_owned(), request: None, limit: None });
    };
    if resource != EVERYWHERE && [has.request, has.limit].into_iter().flatten().any(|amount| amount > 0) {
        return Err(Refusal::limit_range(format!(
            "LimitRange {name}: it gives every container {resource}, which the sidecar must not take"
        )));
    }
    // Which of them comes first is not defined.
    match fills.find(|(_, other)| *other != has) {
        Some((other, _)) => Err(Refusal::limit_range(format!(
            "LimitRange {other}: it gives every container another amount of {resource} than LimitRange {name}"
        ))),
        None => Ok(has),
    }
}
