//! What the objects of a namespace say about its pods, read from them once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::size::Has;
use super::{Quota, Workload};
use crate::config::Resource;
use crate::config::amount::amount;

/// What is known of a namespace. The default says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceRules {
    pub(crate) limit_ranges: BTreeMap<String, LimitRange>,
    pub(crate) quotas: BTreeMap<String, Quota>,
    /// What makes pods here, by uid.
    pub(crate) workloads: BTreeMap<String, Workload>,
    /// How many pods it has that are there to stay, by its uid.
    pub(crate) made: BTreeMap<String, u32>,
    /// The user that its containers run as, where the namespace assigns users: the first of OpenShift's
    /// `openshift.io/sa.scc.uid-range`.
    pub user: Option<u32>,
}

impl NamespaceRules {
    /// Its LimitRanges.
    pub fn limit_ranges(&self) -> impl Iterator<Item = &LimitRange> {
        self.limit_ranges.values()
    }

    /// Its ResourceQuotas.
    pub fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.quotas.values()
    }

    /// Takes the value of the annotation `openshift.io/sa.scc.uid-range`.
    pub(crate) fn set_uid_range(&mut self, annotation: Option<&str>) {
        self.user = annotation.and_then(first_user);
    }
}

/// The first user of `1000680000/10000` or `1000680000-1000689999`; nothing for what is neither, and for users that a
/// container must not or cannot run as.
fn first_user(range: &str) -> Option<u32> {
    const LAST: u32 = i32::MAX.unsigned_abs();
    let (first, second) = range.split_once(['/', '-'])?;
    let (first, second): (u32, u32) = (first.parse().ok()?, second.parse().ok()?);
    let last = if range.contains('/') { first.checked_add(second)?.checked_sub(1)? } else { second };
    (first > 0 && first <= last && last <= LAST).then_some(first)
}

/// A LimitRange, as far as it is about containers and pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRange {
    name: String,
    pub(super) items: Vec<Item>,
    /// What it gives a container that says nothing of a resource.
    pub(super) fills: Vec<Has>,
}

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Container,
    Pod,
}

/// The bounds of one item for one resource, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) scope: Scope,
    pub(super) resource: String,
    pub(super) min: Option<u128>,
    pub(super) max: Option<u128>,
    /// `maxLimitRequestRatio`.
    pub(super) ratio: Option<u128>,
}

impl LimitRange {
    /// Reads a LimitRange's `spec`. A bound that cannot be read counts as none.
    pub fn read(name: &str, spec: &Value) -> Self {
        let mut range = Self { name: name.to_owned(), items: Vec::new(), fills: Vec::new() };
        for item in spec["limits"].as_array().into_iter().flatten() {
            let scope = match item["type"].as_str() {
                Some("Container") => Scope::Container,
                Some("Pod") => Scope::Pod,
                _ => continue,
            };
            let fields = ["min", "max", "maxLimitRequestRatio", "default", "defaultRequest"];
            let named = fields.iter().filter_map(|field| item[*field].as_object()).flat_map(|all| all.keys());
            for resource in named.collect::<BTreeSet<_>>() {
                let bound = |field: &str| item[field][resource].as_str().and_then(amount);
                let [min, max, ratio, limit, request] = fields.map(bound);
                if [min, max, ratio].iter().any(Option::is_some) {
                    range.items.push(Item { scope, resource: resource.clone(), min, max, ratio });
                }
                // As `SetDefaults_LimitRangeItem` has it (Kubernetes `pkg/apis/core/v1/defaults.go`).
                let limit = limit.or(max);
                let request = request.or(limit).or(min);
                if scope == Scope::Container && request.is_some() {
                    range.fills.push(Has { resource: resource.clone(), request, limit });
                }
            }
        }
        range
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it fills in or asks for CPU or memory of each container.
    pub(super) fn is_about_sizes_of_containers(&self) -> bool {
        let own = |resource: &str| Resource::ALL.into_iter().any(|of| of.as_str() == resource);
        let asks = |item: &Item| item.scope == Scope::Container && own(&item.resource);
        self.items.iter().any(asks) || self.fills.iter().any(|fill| own(&fill.resource))
    }
}
