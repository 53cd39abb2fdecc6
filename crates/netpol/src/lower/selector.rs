//! Label selectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Errors, Problem};
use crate::selector::{Operator, Requirement, Selector};

/// Reads a selector. What cannot be read is left out: its error condemns the whole policy anyway.
pub(super) fn selector(errors: &mut Errors, path: &str, given: &LabelSelector) -> Selector {
    let labels = given.match_labels.iter().flatten();
    let mut requirements: Vec<Requirement> =
        labels.map(|(key, value)| Requirement::equals(key.as_str(), value.as_str())).collect();
    for (index, expression) in given.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        requirements.extend(requirement(errors, &path, expression));
    }
    Selector { requirements }
}

fn requirement(errors: &mut Errors, path: &str, given: &LabelSelectorRequirement) -> Option<Requirement> {
    if given.key.is_empty() {
        errors.add(format!("{path}.key"), Problem::KeyMissing);
    }
    let values = given.values.as_deref().unwrap_or_default();
    let operator = match given.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            errors.add(format!("{path}.operator"), Problem::Operator(other.to_owned()));
            return None;
        }
    };
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            errors.add(format!("{path}.values"), Problem::ValuesMissing(given.operator.clone()));
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            errors.add(format!("{path}.values"), Problem::ValuesForbidden(given.operator.clone()));
        }
        _ => {}
    }
    Some(Requirement { key: given.key.clone(), operator, values: values.iter().cloned().collect() })
}
