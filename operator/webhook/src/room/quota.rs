//! ResourceQuotas, as the API server counts a pod (Kubernetes `pkg/quota/v1/evaluator/core/pods.go`).

use serde_json::Value;

use super::Refusal;
use super::size::{Has, spelled};
use super::sums::{Shape, Side};
use super::workload::ToCome;
use crate::config::Resource;
use crate::config::amount::amount;

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

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Amount(Side, String),
    Pods,
}

impl What {
    fn of(key: &str) -> Option<Self> {
        let requests = |resource: &str| Some(Self::Amount(Side::Requests, resource.to_owned()));
        match key {
            "pods" | "count/pods" => return Some(Self::Pods),
            "cpu" | "memory" | "ephemeral-storage" => return requests(key),
            _ if key.starts_with("hugepages-") => return requests(key),
            _ => {}
        }
        match key.split_once('.')? {
            ("requests", resource) => requests(resource),
            ("limits", resource) => Some(Self::Amount(Side::Limits, resource.to_owned())),
            _ => None,
        }
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

    /// Whether the pod with ours has room in it, and leaves room for those that are still to come. One that has none
    /// without ours either is refused by the API server, and leaving it alone is right then as well.
    pub(super) fn admits(
        &self,
        pod: &Value,
        shape: &Shape<'_>,
        best_effort: bool,
        ours: &[Has],
        to_come: &ToCome,
    ) -> Result<(), Refusal> {
        if !self.applies(pod, false) {
            return Ok(());
        }
        let newly = !self.applies(pod, best_effort);
        for counted in &self.counted {
            let (resource, takes, side) = match &counted.what {
                What::Amount(_, resource) if newly && is_own(resource) => {
                    return Err(Refusal::quota(format!(
                        "ResourceQuota {}: it is for pods that are not BestEffort, as the pod would no longer be \
                         with the sidecar, and wants {} of every container",
                        self.name, counted.key
                    )));
                }
                What::Amount(side, resource) => match (amount_of(ours, *side, resource), newly) {
                    (None, false) => continue,
                    // Others like it are not counted.
                    (own, true) => (resource.as_str(), takes(shape, *side, resource, own), None),
                    (own, false) => (resource.as_str(), takes(shape, *side, resource, own), Some(*side)),
                },
                What::Pods if newly => ("", 1000, None),
                What::Pods => continue,
            };
            let left = counted.hard.saturating_sub(counted.used);
            let words = || {
                let [left, hard, takes] = [left, counted.hard, takes].map(|amount| spelled(resource, amount));
                let (name, key) = (&self.name, &counted.key);
                format!(
                    "ResourceQuota {name}: {left} of {key} is left of {hard}; with the sidecar the pod takes {takes}"
                )
            };
            if takes > left {
                return Err(Refusal::quota(words()));
            }
            let Some(side) = side else { continue };
            let kept = self.kept(shape, side, resource, to_come)?;
            if takes.saturating_add(kept) > left {
                let kept = spelled(resource, kept);
                let words = words();
                return Err(Refusal::quota(format!("{words}, and pods that are still to come take {kept}")));
            }
        }
        Ok(())
    }

    /// What pods that are still to come take without sidecars.
    fn kept(&self, shape: &Shape<'_>, side: Side, resource: &str, to_come: &ToCome) -> Result<u128, Refusal> {
        let alike = to_come.alike.as_ref().map_err(|owner| {
            Refusal::unknown(format!(
                "ResourceQuota {}: how many pods {owner} wants, which must find room in it, is not known yet",
                self.name
            ))
        })?;
        let alike = takes(shape, side, resource, None).saturating_mul((*alike).into());
        let others = to_come.others.iter().map(|(count, pod)| {
            let init_containers: Vec<&Value> =
                pod["spec"]["initContainers"].as_array().into_iter().flatten().collect();
            let shape = Shape::of(pod, &init_containers, 0);
            if !self.applies(pod, shape.is_best_effort()) {
                return 0;
            }
            takes(&shape, side, resource, None).saturating_mul((*count).into())
        });
        Ok(others.fold(alike, u128::saturating_add))
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

/// Whether it is one that we say ourselves.
fn is_own(resource: &str) -> bool {
    Resource::ALL.into_iter().any(|own| own.as_str() == resource)
}

/// What our container has of a resource.
fn amount_of(ours: &[Has], side: Side, resource: &str) -> Option<u128> {
    let has = ours.iter().find(|has| has.resource == resource)?;
    match side {
        Side::Requests => has.request,
        Side::Limits => has.limit,
    }
}

/// What the pod takes with so much of ours.
fn takes(shape: &Shape<'_>, side: Side, resource: &str, ours: Option<u128>) -> u128 {
    let sum = shape.sum(side, resource).with(ours.unwrap_or(0));
    sum.saturating_add(shape.overhead(resource))
}
