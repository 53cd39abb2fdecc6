//! From what could be listed to a cluster in which what could not is marked. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use peerwalk_manifests::Reader;
use peerwalk_netpol::{PolicyKind, PolicyRef};
use serde_json::{Map, Value, json};

use super::Live;
use super::rights::{DISCOVERY, Missing};

/// Where objects come from, in what is said of them.
const SOURCE: &str = "the cluster";
/// The label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
const OF_CLUSTER: [(&str, PolicyKind); 3] = [
    ("ClusterNetworkPolicy", PolicyKind::ClusterNetworkPolicy),
    ("AdminNetworkPolicy", PolicyKind::AdminNetworkPolicy),
    ("BaselineAdminNetworkPolicy", PolicyKind::BaselineAdminNetworkPolicy),
];

/// What is known of a cluster.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The objects of each kind that could be listed.
    pub objects: BTreeMap<&'static str, Vec<Value>>,
    /// Kinds of policies that nothing here reads, and of which there are some.
    pub foreign: Vec<String>,
    pub missing: Vec<Missing>,
}

impl Known {
    /// The cluster, read by `reader`.
    pub(super) fn live(mut self, mut reader: Reader) -> Live {
        let mut unreadable = self.not_listed();
        unreadable.extend(self.half_known());
        self.name_owners();
        self.guess_nodes();
        for (kind, objects) in &self.objects {
            // Only their owners were of interest, and those stand in the pods now.
            if !matches!(*kind, "ReplicaSet" | "Job") {
                for object in objects {
                    reader.object(SOURCE, object);
                }
            }
        }
        let mut cluster = reader.finish();
        cluster.unreadable.extend(unreadable);
        Live { cluster, missing: self.missing }
    }

    fn lacks(&self, kind: &str) -> Option<&Missing> {
        self.missing.iter().find(|missing| missing.kind == kind)
    }

    /// Policies that there may be, and that were not listed.
    fn not_listed(&self) -> Vec<PolicyRef> {
        let mut unreadable = Vec::new();
        if let Some(missing) = self.lacks("NetworkPolicy") {
            let others = self.namespaces().into_iter().filter(|name| missing.only.as_deref() != Some(name));
            unreadable.extend(others.map(|name| PolicyRef::network_policy(name, "(may not be listed)")));
        }
        for (name, kind) in OF_CLUSTER {
            if self.lacks(name).is_some() {
                unreadable.push(PolicyRef::of_cluster(kind, "(may not be listed)"));
            }
        }
        let foreign_missing = self.missing.iter().filter(|missing| missing.kind.contains('.'));
        let foreign = self.foreign.iter().chain(foreign_missing.map(|missing| &missing.kind));
        unreadable
            .extend(foreign.map(|kind| {
                PolicyRef::of_cluster(PolicyKind::ClusterNetworkPolicy, format!("(any {kind})"))
            }));
        if self.lacks(DISCOVERY).is_some() {
            let any = PolicyRef::of_cluster(PolicyKind::ClusterNetworkPolicy, "(of any kind that is served)");
            unreadable.push(any);
        }
        unreadable
    }

    /// Every namespace of which something is known.
    fn namespaces(&self) -> BTreeSet<&str> {
        let named = |kind: &str, field: &'static str| {
            let objects = self.objects.get(kind).into_iter().flatten();
            objects.filter_map(move |object| object["metadata"][field].as_str())
        };
        named("Namespace", "name")
            .chain(named("Pod", "namespace"))
            .chain(named("NetworkPolicy", "namespace"))
            .collect()
    }

    /// Policies that select by labels that could not be read. They are taken out: evaluated without the labels they might
    /// admit what they do not.
    fn half_known(&mut self) -> Vec<PolicyRef> {
        let namespaces = self.lacks("Namespace").is_some();
        let nodes = self.lacks("Node").is_some();
        let unknown = |policy: &Value| {
            (namespaces && selects(&policy["spec"], &["namespaceSelector", "namespaces"]))
                || (nodes && selects(&policy["spec"], &["nodes"]))
        };
        let mut taken = Vec::new();
        for (kind, objects) in &mut self.objects {
            let of_cluster = OF_CLUSTER.iter().find(|(name, _)| name == kind).map(|(_, kind)| *kind);
            if of_cluster.is_none() && *kind != "NetworkPolicy" {
                continue;
            }
            objects.retain(|policy| {
                let half = unknown(policy);
                if half {
                    let metadata = &policy["metadata"];
                    let word = |field: &str| metadata[field].as_str().unwrap_or_default();
                    taken.push(match of_cluster {
                        Some(kind) => PolicyRef::of_cluster(kind, word("name")),
                        None => PolicyRef::network_policy(word("namespace"), word("name")),
                    });
                }
                !half
            });
        }
        taken.sort();
        taken
    }

    /// Puts what controls a pod's controller in that one's place: a Deployment for its ReplicaSet.
    fn name_owners(&mut self) {
        let mut above: HashMap<(&str, &str, &str), Value> = HashMap::new();
        for kind in ["ReplicaSet", "Job"] {
            for object in self.objects.get(kind).into_iter().flatten() {
                let metadata = &object["metadata"];
                let named = (metadata["namespace"].as_str(), metadata["name"].as_str());
                if let ((Some(namespace), Some(name)), Some(owner)) = (named, controller(metadata)) {
                    above.insert((namespace, kind, name), owner.clone());
                }
            }
        }
        let mut changed = Vec::new();
        for (place, pod) in self.objects.get("Pod").into_iter().flatten().enumerate() {
            let metadata = &pod["metadata"];
            let owner = controller(metadata).unwrap_or(&Value::Null);
            let words = (metadata["namespace"].as_str(), owner["kind"].as_str(), owner["name"].as_str());
            if let (Some(namespace), Some(kind), Some(name)) = words
                && let Some(owner) = above.get(&(namespace, kind, name))
            {
                changed.push((place, owner.clone()));
            }
        }
        if let Some(pods) = self.objects.get_mut("Pod") {
            for (place, owner) in changed {
                pods[place]["metadata"]["ownerReferences"] = json!([owner]);
            }
        }
    }

    /// Nodes by the pods on them, where nodes may not be listed.
    fn guess_nodes(&mut self) {
        if self.lacks("Node").is_none() {
            return;
        }
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pod in self.objects.get("Pod").into_iter().flatten() {
            let status = &pod["status"];
            let all = status["hostIPs"].as_array().into_iter().flatten().map(|ip| &ip["ip"]);
            let addresses = all.chain([&status["hostIP"]]).filter_map(Value::as_str).map(str::to_owned);
            if let Some(node) = pod["spec"]["nodeName"].as_str() {
                found.entry(node.to_owned()).or_default().extend(addresses);
            }
        }
        let node = |(name, addresses): (String, BTreeSet<String>)| {
            let addresses: Vec<Value> =
                addresses.into_iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect();
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
                "status": { "addresses": addresses },
            })
        };
        self.objects.insert("Node", found.into_iter().map(node).collect());
    }
}

/// The owner that controls an object.
fn controller(metadata: &Value) -> Option<&Value> {
    metadata["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)
}

/// Whether a selector under one of these fields looks at a label that is not known without the objects it selects.
fn selects(value: &Value, fields: &[&str]) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(field, value)| {
            (fields.contains(&field.as_str()) && value.as_object().is_some_and(looks_at_labels))
                || selects(value, fields)
        }),
        Value::Array(items) => items.iter().any(|item| selects(item, fields)),
        _ => false,
    }
}

fn looks_at_labels(selector: &Map<String, Value>) -> bool {
    let unknown = |key: &str| key != NAMESPACE_NAME;
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    labels.map(|(key, _)| key.as_str()).any(unknown)
        || expressions.map(|expression| expression["key"].as_str().unwrap_or_default()).any(unknown)
}

#[cfg(test)]
mod tests;
