//! The rules to add, as objects that `kubectl apply` takes.

mod name;

use std::collections::BTreeSet;

use peerwalk_manifests::Cluster;
use peerwalk_netpol::{AdmittingRule, Decision, Direction, Fix, PolicyKind};
use serde_json::{Value, json};

use super::distinct;

/// What to add.
#[derive(Debug, Default)]
pub struct Remedy {
    /// The NetworkPolicies that would admit what is denied, each once.
    pub policies: Vec<Value>,
    /// What has to be known before others can be told.
    pub unknown: Vec<String>,
}

impl Remedy {
    /// What would admit what is denied, under names that nothing has in the cluster.
    pub fn new(decisions: &[Decision], cluster: &Cluster) -> Self {
        let mut rules: Vec<AdmittingRule> = Vec::new();
        for rule in decisions.iter().flat_map(Decision::admitting_rules) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        let unreadable = cluster.unreadable.iter().filter(|policy| policy.kind == PolicyKind::NetworkPolicy);
        let taken = cluster.policies.iter().map(|policy| &policy.reference).chain(unreadable);
        let mut taken: BTreeSet<(String, String)> =
            taken.map(|policy| (policy.namespace.to_string(), policy.name.to_string())).collect();
        let policies = rules.iter().map(|rule| {
            let mut policy: Value = serde_json::from_str(&rule.object().to_string()).unwrap_or_default();
            let name = name::of(rule, &policy["spec"], |name| {
                taken.insert((rule.namespace.clone(), name.to_owned()))
            });
            policy["metadata"] = json!({"name": name, "namespace": rule.namespace});
            policy
        });
        let policies = policies.collect();
        Self { policies, unknown: distinct(decisions.iter().flat_map(unknown)) }
    }

    /// One object: the policy, or a list of them. None where no policy would help.
    pub fn object(&self) -> Option<Value> {
        match self.policies.as_slice() {
            [] => None,
            [policy] => Some(policy.clone()),
            several => Some(json!({"apiVersion": "v1", "kind": "List", "items": several})),
        }
    }
}

/// Pods that a rule could only name by the address that they do not have yet.
fn unknown(decision: &Decision) -> Vec<String> {
    let has = |direction: Direction| {
        decision.fixes().iter().any(|fix| match fix {
            Fix::Add(rule) => rule.direction == direction,
            Fix::Change { direction: of, .. } => *of == direction,
        })
    };
    let denying = decision.denying_directions().filter(|direction| !has(*direction));
    let pods = denying.filter_map(|direction| {
        let pod = decision.flow.peer(direction).as_pod()?;
        pod.ips.is_empty().then(|| {
            format!(
                "a rule would have to name the address of {}/{}, which is not known; ask about pods that have one \
                 (status.podIPs), or about the address",
                pod.namespace, pod.name
            )
        })
    });
    pods.collect()
}
