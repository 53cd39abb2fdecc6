//! What the chart lets the operator and people do: the whole table, so that a new right is a decision.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{NAMESPACE, one, render};

/// Every rule of every role. A new one is made here, with the call that needs it.
const RIGHTS: &[&str] = &[
    // The operator's watches.
    "ClusterRole peerwalk: list watch pods namespaces nodes services limitranges resourcequotas",
    "ClusterRole peerwalk: list watch apps/replicasets apps/statefulsets apps/daemonsets",
    "ClusterRole peerwalk: list watch batch/jobs",
    "ClusterRole peerwalk: list watch discovery.k8s.io/endpointslices",
    "ClusterRole peerwalk: list watch networking.k8s.io/networkpolicies",
    "ClusterRole peerwalk: list watch policy.networking.k8s.io/clusternetworkpolicies \
     policy.networking.k8s.io/adminnetworkpolicies policy.networking.k8s.io/baselineadminnetworkpolicies",
    "ClusterRole peerwalk: list watch peerwalk.dev/connectivitychecks",
    "ClusterRole peerwalk: list watch patch admissionregistration.k8s.io/mutatingwebhookconfigurations called peerwalk",
    // What it writes; an event that repeats is patched.
    "ClusterRole peerwalk: patch peerwalk.dev/connectivitychecks/status",
    "ClusterRole peerwalk: create patch events.k8s.io/events",
    // Who a sidecar is.
    "ClusterRole peerwalk: create authentication.k8s.io/tokenreviews",
    CA_BUNDLES,
    // In its own namespace: authorities, which it also rotates, the address of the hub, and who leads.
    "Role peerwalk: get list watch update secrets called peerwalk-ca",
    "Role peerwalk: create secrets",
    "Role peerwalk: get services called peerwalk-hub",
    "Role peerwalk: get update coordination.k8s.io/leases called peerwalk",
    "Role peerwalk: create coordination.k8s.io/leases",
    // Of people.
    "ClusterRole peerwalk-view: get list watch peerwalk.dev/connectivitychecks",
    "ClusterRole peerwalk-edit: create update patch delete deletecollection peerwalk.dev/connectivitychecks",
];

/// What a check names in tls.caBundle.
const CA_BUNDLES: &str = "ClusterRole peerwalk: get configmaps";

/// A rule as `RIGHTS` has it; one with anything else in it as it is.
pub fn line(role: &Value, rule: &Value) -> String {
    let words = |value: &Value| -> Vec<String> {
        let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect()
    };
    let known = ["apiGroups", "resources", "resourceNames", "verbs"];
    let group = match words(&rule["apiGroups"]).as_slice() {
        [group] if rule.as_object().is_some_and(|r| r.keys().all(|k| known.contains(&k.as_str()))) => {
            group.clone()
        }
        _ => return rule.to_string(),
    };
    let prefix = if group.is_empty() { group } else { format!("{group}/") };
    let resources = words(&rule["resources"]).into_iter().map(|r| format!("{prefix}{r}"));
    let mut parts = words(&rule["verbs"]);
    parts.extend(resources);
    if let Some(names) = rule.get("resourceNames") {
        parts.push(format!("called {}", words(names).join(" ")));
    }
    let role = [&role["kind"], &role["metadata"]["name"]].map(|v| v.as_str().unwrap_or_default());
    format!("{}: {}", role.join(" "), parts.join(" "))
}

#[test]
fn the_rights_are_these_and_no_others() -> Result<()> {
    for ca_bundles in [true, false] {
        let mut found = Vec::new();
        let objects = render(&[&format!(r#"caBundles={{"enabled":{ca_bundles}}}"#)])?;
        for role in objects.iter().filter(|o| o["kind"] == "ClusterRole" || o["kind"] == "Role") {
            let rules = role["rules"].as_array().context("rules")?;
            found.extend(rules.iter().map(|rule| line(role, rule)));
        }
        found.sort();
        let mut expected: Vec<&str> = RIGHTS.to_vec();
        expected.retain(|right| ca_bundles || *right != CA_BUNDLES);
        expected.sort_unstable();
        ensure!(
            found == expected,
            "with caBundles.enabled={ca_bundles} expected {expected:#?}, the chart gives {found:#?}"
        );
    }
    Ok(())
}

#[test]
fn rights_are_given_to_the_operator_alone() -> Result<()> {
    let objects = render(&[])?;
    let account = json!([{ "kind": "ServiceAccount", "name": "peerwalk", "namespace": NAMESPACE }]);
    for (binding, role) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
        let bindings: Vec<&Value> = objects.iter().filter(|o| o["kind"] == binding).collect();
        ensure!(bindings.len() == 1, "one {binding}: {bindings:?}");
        ensure!(bindings[0]["subjects"] == account, "{}", bindings[0]);
        let expected = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "peerwalk" });
        ensure!(bindings[0]["roleRef"] == expected, "{}", bindings[0]);
    }
    let role = one(&objects, "Role", "peerwalk")?;
    ensure!(role["metadata"]["namespace"] == NAMESPACE, "secrets of its own namespace only: {role}");
    Ok(())
}
