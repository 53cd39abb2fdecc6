//! What is marked where something could not be listed.

use peerwalk_manifests::Reader;
use serde_json::{Value, json};

use super::Known;
use crate::live::kind::KINDS;
use crate::live::rights::{Missing, remedy};

fn pod(namespace: &str, name: &str, owner: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": namespace, "name": name, "uid": name, "ownerReferences": owner,
            "labels": { "app": name },
        },
        "spec": { "nodeName": "n1", "containers": [{ "name": "app" }] },
        "status": {
            "phase": "Running", "hostIP": "172.18.0.2", "hostIPs": [{ "ip": "172.18.0.2" }],
            "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }],
        },
    })
}

fn policy(namespace: &str, name: &str, from: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "podSelector": {}, "ingress": [{ "from": [from] }] },
    })
}

fn missing(kind: &str, only: Option<&str>) -> Missing {
    Missing::of(KINDS.iter().find(|known| known.kind == kind).unwrap(), only, "forbidden")
}

fn owner(kind: &str, name: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": true }])
}

fn world() -> Known {
    let replica_set = json!({
        "kind": "ReplicaSet",
        "metadata": { "namespace": "shop", "name": "web-5d4", "ownerReferences": owner("Deployment", "web") },
    });
    let mut known = Known::default();
    known.objects.insert(
        "Pod",
        vec![pod("shop", "web-5d4-a", &owner("ReplicaSet", "web-5d4")), pod("ledger", "db", &Value::Null)],
    );
    known.objects.insert("ReplicaSet", vec![replica_set]);
    let by_label = json!({ "namespaceSelector": { "matchLabels": { "team": "a" } } });
    let by_name =
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "shop" } } });
    known.objects.insert(
        "NetworkPolicy",
        vec![
            policy("ledger", "by-label", &by_label),
            policy("ledger", "by-name", &by_name),
            policy("ledger", "all", &json!({ "namespaceSelector": {} })),
        ],
    );
    known
}

fn unreadable(known: Known) -> Vec<String> {
    known.live(Reader::default()).cluster.unreadable.iter().map(ToString::to_string).collect()
}

#[test]
fn what_could_not_be_read_and_may_decide_is_marked() {
    let with = |missing: Vec<Missing>| Known { missing, ..world() };
    let any = "NetworkPolicy shop/(may not be listed)";
    for (case, known, expected) in [
        ("everything was read", with(vec![]), vec![]),
        (
            "policies nowhere",
            with(vec![missing("NetworkPolicy", None)]),
            vec!["NetworkPolicy ledger/(may not be listed)", any],
        ),
        ("policies of one namespace", with(vec![missing("NetworkPolicy", Some("ledger"))]), vec![any]),
        ("no namespaces", with(vec![missing("Namespace", None)]), vec!["NetworkPolicy ledger/by-label"]),
        (
            "policies of the cluster",
            with(vec![missing("AdminNetworkPolicy", None)]),
            vec!["AdminNetworkPolicy (may not be listed)"],
        ),
        (
            "what may be of others",
            with(vec![Missing::of_foreign(
                "ciliumnetworkpolicies",
                "cilium.io",
                "CiliumNetworkPolicy",
                "forbidden",
            )]),
            vec!["ClusterNetworkPolicy (any CiliumNetworkPolicy.cilium.io)"],
        ),
        (
            "what is of others",
            Known { foreign: vec!["EgressFirewall.k8s.ovn.org".into()], ..world() },
            vec!["ClusterNetworkPolicy (any EgressFirewall.k8s.ovn.org)"],
        ),
        (
            "what is served",
            with(vec![Missing::of_discovery("no answer")]),
            vec!["ClusterNetworkPolicy (of any kind that is served)"],
        ),
        // Neither turns an answer about pods.
        ("services and owners", with(vec![missing("Service", None), missing("Job", None)]), vec![]),
    ] {
        assert_eq!(unreadable(known), expected, "{case}");
    }
}

#[test]
fn missing_rights_are_told_with_the_role_that_has_them() {
    let all = [missing("Pod", Some("shop")), missing("NetworkPolicy", None), missing("Node", None)];
    assert_eq!(
        all[0].to_string(),
        "pods cannot be listed in all namespaces, only in shop: other pods are not known, and nothing is said of them"
    );
    let text = remedy(&all);
    assert!(
        text.contains("kubectl auth can-i list networkpolicies.networking.k8s.io --all-namespaces\n"),
        "{text}"
    );
    assert!(text.contains("kubectl auth can-i list nodes\n"), "nodes have no namespace: {text}");
    let yaml = &text[text.find("apiVersion:").unwrap()..];
    let role: Value = serde_saphyr::from_str(yaml).unwrap();
    let rules = json!([
        { "apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"] },
        { "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"] },
    ]);
    assert_eq!(role["rules"], rules);
    assert_eq!(remedy(&[Missing::of_discovery("no answer")]), "", "no role helps");
}
