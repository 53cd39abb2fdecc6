//! What is said about a policy decision.

use peerwalk_model::verdict::{PolicyCause, Topic};
use peerwalk_model::{Because, Direction};
use peerwalk_netpol::{AdmittingRule, Decision};

/// The policy behind a denial, as the status shows it: the only one that isolates, or else the only one that admits
/// nothing at all. `None` when no single object can be named.
pub(crate) fn cause(decision: &Decision, direction: Direction) -> Option<PolicyCause> {
    let steps = &decision.direction(direction).steps;
    let without_rules = || only(steps.iter().filter(|step| step.rules.is_empty()));
    let policy = &only(steps.iter()).or_else(without_rules)?.policy;
    Some(PolicyCause {
        kind: policy.kind.to_string(),
        namespace: policy.namespace.to_string(),
        name: policy.name.to_string(),
        rule: None,
        direction,
    })
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

/// What is said where a denial has no single policy.
pub(crate) fn unnamed() -> Because {
    Because::new(Topic::Missing, "several policies isolate it, and none of them alone is the cause")
}

/// Each direction that denies, and the rule that nearly admits.
pub(crate) fn denial(decision: &Decision) -> Vec<Because> {
    let mut lines = Vec::new();
    for direction in decision.denying_directions() {
        lines.push(Because::new(Topic::Policy, decision.sentence(direction).to_string()));
        if let Some(near) = decision.direction(direction).nearest_miss() {
            lines.push(Because::new(Topic::Policy, near.to_string()));
        }
    }
    lines
}

/// What the policies say when they allow.
pub(crate) fn allowance(decision: &Decision) -> Because {
    Because::new(Topic::Policy, format!("policies allow it: {decision}"))
}

/// The rules that would admit what is denied.
pub(crate) fn fixes(decision: &Decision) -> Vec<Because> {
    fixes_as(decision, |_| String::new())
}

/// The same, each also as it is written in a policy.
pub(crate) fn fixes_to_copy(decision: &Decision) -> Vec<Because> {
    fixes_as(decision, |rule| format!("; {}", rule.to_copy()))
}

fn fixes_as(decision: &Decision, more: impl Fn(&AdmittingRule) -> String) -> Vec<Because> {
    let rules = decision.admitting_rules();
    let both = rules.len() > 1;
    let text = |rule: &AdmittingRule| {
        let lead = if both { "rules that would admit it, all needed" } else { "a rule that would admit it" };
        format!("{lead}: {rule}{}", more(rule))
    };
    rules.iter().map(|rule| Because::new(Topic::Fix, text(rule))).collect()
}
