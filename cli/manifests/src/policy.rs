//! Policies: from values to what the engine lowers.

mod unknown;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use peerwalk_netpol::lower::{self, LowerErrors};
use peerwalk_netpol::{ClusterPolicy, Policy, PolicyKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fields::{Wrong, shown};

/// Whether objects of this kind have no namespace.
pub(crate) fn is_of_cluster(kind: PolicyKind) -> bool {
    kind != PolicyKind::NetworkPolicy
}

/// The kind of the cluster's policies of this name.
pub(crate) fn of_cluster(kind: &str) -> Option<PolicyKind> {
    match kind {
        "ClusterNetworkPolicy" => Some(PolicyKind::ClusterNetworkPolicy),
        "AdminNetworkPolicy" => Some(PolicyKind::AdminNetworkPolicy),
        "BaselineAdminNetworkPolicy" => Some(PolicyKind::BaselineAdminNetworkPolicy),
        _ => None,
    }
}

/// Reads a NetworkPolicy.
pub(crate) fn network_policy(
    wrong: &mut Wrong,
    namespace: &str,
    name: &str,
    object: &Value,
) -> Option<Policy> {
    let found = wrong.0.len();
    unknown::fields(wrong, object);
    let spec = match &object["spec"] {
        Value::Null => &json!({}),
        spec => spec,
    };
    let completed;
    let spec = if has_empty_items(spec) {
        completed = with_empty_items(spec);
        &completed
    } else {
        spec
    };
    let spec = match NetworkPolicySpec::deserialize(spec) {
        Ok(spec) => spec,
        Err(error) => {
            let (field, error) = place(spec).unwrap_or_else(|| ("spec".to_owned(), error.to_string()));
            wrong.add(field, format!("{error}; correct it"));
            return None;
        }
    };
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    };
    let lowered = lowered(wrong, lower::network_policy(&NetworkPolicy { metadata, spec: Some(spec) }));
    lowered.filter(|_| wrong.0.len() == found)
}

/// What was lowered, or what is wrong with it.
pub(crate) fn lowered<T>(wrong: &mut Wrong, given: Result<T, LowerErrors>) -> Option<T> {
    match given {
        Ok(lowered) => Some(lowered),
        Err(LowerErrors(errors)) => {
            for error in errors {
                wrong.add(error.field, error.problem.to_string());
            }
            None
        }
    }
}

/// Lists of a spec whose items may be empty: in YAML a hyphen with nothing after it, which is an item of which nothing
/// is given.
fn has_empty_items(spec: &Value) -> bool {
    let any_null = |list: &Value| list.as_array().is_some_and(|items| items.iter().any(Value::is_null));
    let rules = ["ingress", "egress"].into_iter().map(|way| &spec[way]);
    let within = |rule: &Value| ["from", "to", "ports"].into_iter().any(|field| any_null(&rule[field]));
    rules.into_iter().any(|rules| any_null(rules) || rules.as_array().into_iter().flatten().any(within))
}

fn with_empty_items(spec: &Value) -> Value {
    fn fill(list: &mut Value) -> &mut [Value] {
        let Value::Array(items) = list else { return &mut [] };
        items.iter_mut().filter(|item| item.is_null()).for_each(|item| *item = json!({}));
        items
    }
    let mut spec = spec.clone();
    for way in ["ingress", "egress"] {
        for rule in spec.get_mut(way).into_iter().flat_map(fill) {
            for field in ["from", "to", "ports"] {
                if let Some(items) = rule.get_mut(field) {
                    fill(items);
                }
            }
        }
    }
    spec
}

/// Which part of a spec is not of its type: the decoder of the whole says only that one is not.
fn place(spec: &Value) -> Option<(String, String)> {
    fn fails<'v, T: Deserialize<'v>>(field: String, value: &'v Value) -> Option<(String, String)> {
        Option::<T>::deserialize(value).err().map(|error| (field, error.to_string()))
    }
    if !spec.is_object() {
        return Some(("spec".to_owned(), format!("{} is no mapping", shown(spec))));
    }
    let first = fails::<LabelSelector>("spec.podSelector".to_owned(), &spec["podSelector"])
        .or_else(|| fails::<Vec<String>>("spec.policyTypes".to_owned(), &spec["policyTypes"]));
    if first.is_some() {
        return first;
    }
    for (way, peers) in [("ingress", "from"), ("egress", "to")] {
        let Some(rules) = spec[way].as_array() else {
            if let Some(found) = fails::<Vec<Value>>(format!("spec.{way}"), &spec[way]) {
                return Some(found);
            }
            continue;
        };
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("spec.{way}[{index}]");
            let listed = |field: &str| (format!("{path}.{field}"), rule[field].clone());
            let ((peers_path, peers), (ports_path, ports)) = (listed(peers), listed("ports"));
            let peers_items = peers.as_array().cloned().unwrap_or_default();
            let ports_items = ports.as_array().cloned().unwrap_or_default();
            let found = peers_items
                .iter()
                .enumerate()
                .find_map(|(item, value)| fails::<NetworkPolicyPeer>(format!("{peers_path}[{item}]"), value))
                .or_else(|| {
                    ports_items.iter().enumerate().find_map(|(item, value)| {
                        fails::<NetworkPolicyPort>(format!("{ports_path}[{item}]"), value)
                    })
                })
                .or_else(|| fails::<Vec<Value>>(peers_path.clone(), &peers))
                .or_else(|| fails::<Vec<Value>>(ports_path.clone(), &ports))
                .or_else(|| {
                    (!rule.is_object()).then(|| (path.clone(), format!("{} is no mapping", shown(rule))))
                });
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// Reads a policy of the cluster.
pub(crate) fn cluster_policy(wrong: &mut Wrong, kind: PolicyKind, object: &Value) -> Option<ClusterPolicy> {
    let given = match kind {
        PolicyKind::AdminNetworkPolicy => lower::admin_network_policy(object),
        PolicyKind::BaselineAdminNetworkPolicy => lower::baseline_admin_network_policy(object),
        PolicyKind::ClusterNetworkPolicy | PolicyKind::NetworkPolicy => lower::cluster_network_policy(object),
    };
    lowered(wrong, given)
}
