//! A label selector with bounds: the same meaning as `metav1.LabelSelector`, and small enough for every
//! reader of it to be quick.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::rules;

#[cfg(test)]
mod tests;

/// A label's value may be empty; otherwise it begins and ends with a letter or digit.
const VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// Which pods, by their labels. All parts must match; an empty selector matches every pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Labels that a pod must have, with these values. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 16,
        "additionalProperties" = { "type": "string", "maxLength": 63, "pattern": VALUE }
    ))]
    pub match_labels: BTreeMap<String, String>,

    /// Conditions on labels, all of which must hold. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!(self.operator in ['In', 'NotIn']) || self.values.size() > 0",
        "matchExpressions[].values must not be empty with operator In or NotIn: add a value, or use Exists \
         or DoesNotExist",
    ),
    (
        "!(self.operator in ['Exists', 'DoesNotExist']) || self.values.size() == 0",
        "matchExpressions[].values must be empty with operator Exists or DoesNotExist: remove the values, \
         or use In or NotIn",
    ),
])))]
pub struct LabelExpression {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,

    /// What must hold.
    pub operator: LabelOperator,

    /// The values of In and NotIn. At most 32.
    #[serde(default)]
    #[schemars(extend(
        "maxItems" = 32,
        "items" = { "type": "string", "maxLength": 63, "pattern": VALUE },
        "x-kubernetes-list-type" = "atomic"
    ))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label is there, with one of the values.
    In,
    /// The label is not there, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether a pod with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| expression.matches(labels))
    }
}

impl LabelExpression {
    /// Whether it holds for these labels. As in Kubernetes, NotIn holds where the label is missing
    /// (`k8s.io/apimachinery/pkg/labels`, `Requirement.Matches`).
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => value.is_some_and(|v| self.values.contains(v)),
            LabelOperator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}
