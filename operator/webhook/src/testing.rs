//! Values the tests share.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::config::{HubRoot, InjectConfig};
use crate::decide::NamespaceInfo;
use crate::room::{LimitRange, NamespaceRules, Quota};

/// A namespace that says nothing about its pods.
pub(crate) static FREE: LazyLock<NamespaceRules> = LazyLock::new(NamespaceRules::default);

/// A namespace of a tenant that says nothing about its pods.
pub(crate) fn shop() -> NamespaceInfo<'static> {
    NamespaceInfo { name: "shop", rules: &FREE }
}

/// A namespace with one LimitRange, of these items.
pub(crate) fn limited(items: &Value) -> NamespaceRules {
    let mut rules = NamespaceRules::default();
    let range = LimitRange::read("small", &json!({ "limits": items }));
    rules.limit_ranges.insert("small".to_owned(), range);
    rules
}

/// A namespace with one ResourceQuota that has these scopes and so much of each (hard, used).
pub(crate) fn with_quota(scopes: &Value, counted: &[(&str, &str, &str)]) -> NamespaceRules {
    let mut object = json!({"spec": {"scopes": scopes}, "status": {"hard": {}, "used": {}}});
    for (key, hard, used) in counted {
        object["status"]["hard"][*key] = json!(hard);
        object["status"]["used"][*key] = json!(used);
    }
    let mut rules = NamespaceRules::default();
    rules.quotas.insert("team".to_owned(), Quota::read("team", &object));
    rules
}

/// A certificate that never changes, so that expected pods can be written down.
pub(crate) const ROOT_PEM: &str = include_str!("testing/root.pem");
/// The head of its SHA-256, as `openssl x509 -fingerprint -sha256` prints it.
pub(crate) const ROOT_FINGERPRINT: &str = include_str!("testing/root.sha256");

pub(crate) fn config() -> InjectConfig {
    let root = HubRoot::parse(ROOT_PEM).expect("a root");
    let mut config = InjectConfig::new(
        "registry.example/peerwalk-sidecar@sha256:0123",
        "peerwalk-hub.peerwalk.svc:9443",
        root,
        "peerwalk",
    )
    .expect("a configuration");
    config.hub_address = Some("10.96.0.17:9443".parse().expect("an address"));
    config
}

/// A pod as a Deployment's controller creates it and the API server sends it: token volume added by the
/// ServiceAccount plugin, defaults filled in, a field of a later version.
pub(crate) fn pod() -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "web-5d4f8c7b9-",
            "namespace": "shop",
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"},
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9",
                "uid": "a1", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "volumes": [{"name": "kube-api-access-x", "projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ], "defaultMode": 420}}],
            "initContainers": [
                {"name": "migrate", "image": "web:1", "args": ["migrate"], "resources": {}},
            ],
            "containers": [{
                "name": "web",
                "image": "web:1",
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                "env": [
                    {"name": "LOG", "value": "debug"},
                    {"name": "HTTP_PROXY", "value": "http://user:secret@proxy.corp:3128"},
                    {"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "no"}}},
                ],
                "resources": {"requests": {"cpu": "100m"}},
                "volumeMounts": [{"name": "kube-api-access-x", "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            }],
            "restartPolicy": "Always",
            "serviceAccountName": "web",
            "fieldOfTheFuture": {"keep": [1, 2, {"all": null}]},
        },
        "status": {},
    })
}
