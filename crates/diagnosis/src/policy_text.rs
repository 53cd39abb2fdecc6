//! What is said about a policy decision.

use peerwalk_model::verdict::{PolicyCause, Topic};
use peerwalk_model::{Because, Direction};
use peerwalk_netpol::{AdmittingRule, Decision, Fix};

/// The policy behind a denial, as the status shows it: the rule of the cluster that denies, or of NetworkPolicies the only
/// one that isolates, or else the only one that admits nothing at all. `None` when no single object can be named.
pub(crate) fn cause(decision: &Decision, direction: Direction) -> Option<PolicyCause> {
    let decided = decision.direction(direction);
    let isolating = || decided.steps.iter().filter(|step| Some(step.tier) == decided.tier);
    let without_rules = || only(isolating().filter(|step| step.rules.is_empty()));
    let by_rule = decided.decided_by().into_iter().find(|by| by.rule.is_some());
    let (policy, rule) = match by_rule {
        Some(by) => (by.policy, by.rule),
        None => (only(isolating()).or_else(without_rules)?.policy.clone(), None),
    };
    Some(PolicyCause {
        kind: policy.kind.to_string(),
        namespace: policy.namespace.to_string(),
        name: policy.name.to_string(),
        rule: rule.and_then(|rule| u32::try_from(rule).ok()),
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
    let fixes = decision.fixes();
    let both = fixes.len() > 1;
    let text = |fix: &Fix| match fix {
        Fix::Add(rule) => {
            let lead =
                if both { "rules that would admit it, all needed" } else { "a rule that would admit it" };
            format!("{lead}: {fix}{}", more(rule))
        }
        Fix::Change { direction, rule } => {
            format!(
                "no NetworkPolicy can admit it for {direction}: {rule} denies it and would have to change"
            )
        }
    };
    fixes.iter().map(|fix| Because::new(Topic::Fix, text(fix))).collect()
}

#[cfg(test)]
mod tests;
