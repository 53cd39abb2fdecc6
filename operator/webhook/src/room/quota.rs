//! ResourceQuotas, as the API server counts a pod (Kubernetes `pkg/quota/v1/evaluator/core/pods.go`).

use serde_json::Value;

use super::Refusal;
use super::size::Size;
use super::sums::{Shape, Side};
use crate::config::Resource;
use crate::config::amount::{amount, text};

/// A ResourceQuota, as far as our container may change whether a pod is within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    name: String,
    scopes: Vec<Scope>,
    counted: Vec<Counted>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

/// What a quota counts of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    key: String,
    what: What,
    /// In thousandths, from the status: that is what the API server goes by.
    hard: u128,
    used: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Amount(Side, Resource),
    Pods,
}

impl What {
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "cpu" | "requests.cpu" => Self::Amount(Side::Requests, Resource::Cpu),
            "memory" | "requests.memory" => Self::Amount(Side::Requests, Resource::Memory),
            "limits.cpu" => Self::Amount(Side::Limits, Resource::Cpu),
            "limits.memory" => Self::Amount(Side::Limits, Resource::Memory),
            "pods" | "count/pods" => Self::Pods,
            _ => return None,
        })
    }
}

impl Quota {
    /// Reads a ResourceQuota's `spec` and `status`. What the status does not count yet is left out: the API server
    /// refuses every pod until it does.
    pub fn read(name: &str, object: &Value) -> Self {
        let (spec, status) = (&object["spec"], &object["status"]);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let listed = spec["scopes"].as_array().into_iter().flatten();
        let listed =
            listed.map(|name| Scope { name: word(name), operator: "Exists".to_owned(), values: Vec::new() });
        let selected = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
        let selected = selected.map(|selector| Scope {
            name: word(&selector["scopeName"]),
            operator: word(&selector["operator"]),
            values: selector["values"].as_array().into_iter().flatten().map(word).collect(),
        });
        let counted = status["hard"].as_object().into_iter().flatten().filter_map(|(key, hard)| {
            let used = status["used"][key].as_str().and_then(amount)?;
            Some(Counted { key: key.clone(), what: What::of(key)?, hard: amount(hard.as_str()?)?, used })
        });
        Self { name: name.to_owned(), scopes: listed.chain(selected).collect(), counted: counted.collect() }
    }

    /// Whether the pod with ours has room in it. One that has none without ours either is refused by the API server,
    /// and leaving it alone is right then as well.
    pub(super) fn admits(
        &self,
        pod: &Value,
        shape: &Shape<'_>,
        ours: &[(Resource, Size); 2],
    ) -> Result<(), Refusal> {
        if !self.applies(pod, false) {
            return Ok(());
        }
        let newly = !self.applies(pod, shape.is_best_effort());
        for counted in &self.counted {
            let (unit, takes) = match counted.what {
                What::Amount(..) if newly => {
                    return Err(Refusal::quota(format!(
                        "ResourceQuota {}: it is for pods that are not BestEffort, as the pod would no longer be \
                         with the sidecar, and wants {} of every container",
                        self.name, counted.key
                    )));
                }
                What::Amount(side, resource) => (resource, takes(shape, side, resource, ours)),
                What::Pods if newly => (Resource::Cpu, 1000),
                What::Pods => continue,
            };
            if counted.used.saturating_add(takes) > counted.hard {
                let left = counted.hard.saturating_sub(counted.used);
                let [left, hard, takes] = [left, counted.hard, takes].map(|amount| text(unit, amount));
                return Err(Refusal::quota(format!(
                    "ResourceQuota {}: {left} of {} is left of {hard}; with the sidecar the pod takes {takes}",
                    self.name, counted.key
                )));
            }
        }
        Ok(())
    }

    /// Whether the quota counts the pod. Scopes that are not known here do not match, as in the API server; that of
    /// pods with affinity to other namespaces counts pods only, which we do not change.
    fn applies(&self, pod: &Value, best_effort: bool) -> bool {
        let spec = &pod["spec"];
        let terminating = spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
        let class = spec["priorityClassName"].as_str().filter(|class| !class.is_empty());
        self.scopes.iter().all(|scope| match scope.name.as_str() {
            "Terminating" => terminating,
            "NotTerminating" => !terminating,
            "BestEffort" => best_effort,
            "NotBestEffort" => !best_effort,
            "PriorityClass" => scope.selects(class),
            _ => false,
        })
    }
}

impl Scope {
    /// As a label selector would, where the class is the label's value.
    fn selects(&self, class: Option<&str>) -> bool {
        let listed = class.is_some_and(|class| self.values.iter().any(|value| value == class));
        match self.operator.as_str() {
            "Exists" => class.is_some(),
            "DoesNotExist" => class.is_none(),
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    }
}

/// What the pod takes with ours.
fn takes(shape: &Shape<'_>, side: Side, resource: Resource, ours: &[(Resource, Size); 2]) -> u128 {
    let size = ours.iter().find(|(of, _)| *of == resource).map(|(_, size)| *size);
    let own = size.map_or(0, |size| if side == Side::Requests { size.request } else { size.limit });
    shape.sum(side, resource).with(own).saturating_add(shape.overhead(resource))
}
