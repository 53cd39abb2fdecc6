//! What the objects of a namespace say about its pods, read from them once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Quota;
use crate::config::Resource;
use crate::config::amount::amount;

/// What is known of a namespace. The default says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceRules {
    pub(crate) limit_ranges: BTreeMap<String, LimitRange>,
    pub(crate) quotas: BTreeMap<String, Quota>,
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

/// A LimitRange, as far as it is about CPU and memory of containers and pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRange {
    name: String,
    pub(super) items: Vec<Item>,
    fills_containers: bool,
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
    pub(super) resource: Resource,
    pub(super) min: Option<u128>,
    pub(super) max: Option<u128>,
    /// `maxLimitRequestRatio`.
    pub(super) ratio: Option<u128>,
}

impl LimitRange {
    /// Reads a LimitRange's `spec`. A bound that cannot be read counts as none.
    pub fn read(name: &str, spec: &Value) -> Self {
        let mut range = Self { name: name.to_owned(), items: Vec::new(), fills_containers: false };
        for item in spec["limits"].as_array().into_iter().flatten() {
            let scope = match item["type"].as_str() {
                Some("Container") => Scope::Container,
                Some("Pod") => Scope::Pod,
                _ => continue,
            };
            for resource in Resource::ALL {
                let bound = |field: &str| item[field][resource.as_str()].as_str().and_then(amount);
                let defaults = [bound("default"), bound("defaultRequest")];
                let [min, max, ratio] = ["min", "max", "maxLimitRequestRatio"].map(bound);
                let bounds = [min, max, ratio].iter().any(Option::is_some);
                if scope == Scope::Container {
                    range.fills_containers |= bounds || defaults.iter().any(Option::is_some);
                }
                if bounds {
                    range.items.push(Item { scope, resource, min, max, ratio });
                }
            }
        }
        range
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it fills in or asks for resources of each container.
    pub(super) const fn fills_containers(&self) -> bool {
        self.fills_containers
    }
}
