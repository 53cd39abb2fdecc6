//! What is said about a policy decision.

use peerwalk_model::verdict::{PolicyCause, Topic};
use peerwalk_model::{Because, Direction};
use peerwalk_netpol::Decision;

/// The policy behind a denial, as the status shows it; `None` when no single object can be named.
pub(crate) fn cause(decision: &Decision, direction: Direction) -> Option<PolicyCause> {
    let decided = decision.direction(direction).decided_by();
    let first = decided.first()?;
    Some(PolicyCause {
        kind: first.policy.kind.to_string(),
        namespace: first.policy.namespace.to_string(),
        name: first.policy.name.to_string(),
        rule: first.rule.and_then(|rule| u32::try_from(rule).ok()),
        direction,
    })
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
    let rules = decision.admitting_rules();
    let both = rules.len() > 1;
    let text = |rule: &peerwalk_netpol::AdmittingRule| {
        let lead = if both { "rules that would admit it, all needed" } else { "a rule that would admit it" };
        format!("{lead}: {rule}")
    };
    rules.iter().map(|rule| Because::new(Topic::Fix, text(rule))).collect()
}
