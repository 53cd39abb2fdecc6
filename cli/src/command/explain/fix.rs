//! The rules to add, as objects that `kubectl apply` takes.

use std::collections::BTreeMap;

use peerwalk_netpol::{AdmittingPeer, AdmittingRule, Decision, Direction};
use serde_json::{Value, json};

/// The longest name of an object that is a label as well.
const NAME: usize = 63;

/// The NetworkPolicies that would admit what is denied, each once.
pub fn policies(decisions: &[Decision]) -> Vec<Value> {
    let mut rules: Vec<AdmittingRule> = Vec::new();
    for rule in decisions.iter().flat_map(Decision::admitting_rules) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    let mut names: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut named = |rule: &AdmittingRule| {
        let name = name(rule);
        let uses = names.entry((rule.namespace.clone(), name.clone())).or_default();
        *uses += 1;
        if *uses == 1 { name } else { format!("{name}-{uses}") }
    };
    rules.iter().map(|rule| policy(rule, &named(rule))).collect()
}

/// One object: the policy, or a list of them. None where no policy would help.
pub fn object(policies: &[Value]) -> Option<Value> {
    match policies {
        [] => None,
        [policy] => Some(policy.clone()),
        several => Some(json!({"apiVersion": "v1", "kind": "List", "items": several})),
    }
}

fn policy(rule: &AdmittingRule, name: &str) -> Value {
    let (kind, field) = match rule.direction {
        Direction::Ingress => ("Ingress", "ingress"),
        Direction::Egress => ("Egress", "egress"),
    };
    let item: Value = serde_json::from_str(&rule.item().to_string()).unwrap_or_default();
    let selector: Value = serde_json::from_str(&rule.pod_selector().to_string()).unwrap_or_default();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": rule.namespace},
        "spec": {"podSelector": selector, "policyTypes": [kind], field: [item]},
    })
}

/// `allow-from-shop-web-5432`.
fn name(rule: &AdmittingRule) -> String {
    let way = match rule.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let peer = match &rule.peer {
        AdmittingPeer::IpBlock(cidr) => cidr.addr().to_string(),
        AdmittingPeer::Pods { namespace, labels } => {
            let application = labels.get("app.kubernetes.io/name").or_else(|| labels.get("app"));
            let application = application.or_else(|| labels.values().next());
            application.map_or_else(|| namespace.clone(), |name| format!("{namespace}-{name}"))
        }
    };
    let whole = format!("allow-{way}-{peer}-{}", rule.port);
    let fitting = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let whole: String = whole.chars().map(fitting).take(NAME).collect();
    whole.trim_end_matches('-').to_owned()
}
