//! The objects that tests deploy. All containers fit the `restricted` Pod Security Standard.

use serde_json::{Value, json};

use crate::nodes::SYSTEM;

/// A server or client of every kind; see `e2e/cluster/testbed/main.go`.
const TESTBED: &str = "peerwalk.dev/testbed:dev";

/// The two nodes.
pub const NODE_1: &str = "n1";
/// The node that the control plane is not on.
pub const NODE_2: &str = "n2";

/// A pod of the testbed with the label `app: NAME`, pinned to a node.
pub fn pod(namespace: &str, name: &str, node: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "labels": { "app": name } },
        "spec": pod_spec(node, arguments),
    })
}

/// The spec of a pod of the testbed.
pub fn pod_spec(node: &str, arguments: &[&str]) -> Value {
    json!({
        "nodeSelector": { "kubernetes.io/hostname": node },
        "terminationGracePeriodSeconds": 1,
        "restartPolicy": "Never",
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "app",
            "image": TESTBED,
            "imagePullPolicy": "Never",
            "args": arguments,
            "ports": [{ "name": "web", "containerPort": 8080 }],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
            },
        }],
    })
}

/// A pod that the webhook leaves alone.
pub fn without_sidecar(mut pod: Value) -> Value {
    pod["metadata"]["labels"]["peerwalk.dev/inject"] = json!("disabled");
    pod
}

/// A pod `app: APP` with our container in it that no node takes, for control planes without nodes.
pub fn unscheduled(namespace: &str, name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "labels": { "app": app } },
        "spec": {
            "initContainers": [{ "name": "peerwalk", "image": TESTBED, "restartPolicy": "Always" }],
            "containers": [{ "name": "app", "image": TESTBED }],
            "nodeSelector": { "none": "none" },
        },
    })
}

/// A Service named as its pods' label `app`, with port 80 (`http`) leading to `target` (number or name).
pub fn service(namespace: &str, name: &str, app: &str, target: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "selector": { "app": app },
            "ports": [{ "name": "http", "port": 80, "targetPort": target }],
        },
    })
}

/// A Service without an address of its own, whose port is that of the pods.
pub fn headless(namespace: &str, name: &str, app: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "clusterIP": "None",
            "selector": { "app": app },
            "ports": [{ "name": "http", "port": port }],
        },
    })
}

/// No ingress to any pod of the namespace.
pub fn deny_ingress(namespace: &str) -> Value {
    policy(namespace, "deny-ingress", &json!({ "podSelector": {}, "policyTypes": ["Ingress"] }))
}

/// No egress from any pod of the namespace but by these rules.
pub fn deny_egress(namespace: &str, but: &[Value]) -> Value {
    let spec = json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": but });
    policy(namespace, "deny-egress", &spec)
}

/// A `NetworkPolicy`.
pub fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": namespace, "name": name },
        "spec": spec,
    })
}

/// An egress rule that admits the hub.
pub fn to_hub() -> Value {
    json!({ "to": [in_namespace(SYSTEM)], "ports": [{ "port": 9443 }] })
}

/// An egress rule that admits cluster DNS.
pub fn to_dns() -> Value {
    json!({
        "to": [in_namespace("kube-system")],
        "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
    })
}

/// A peer of a policy: all pods of a namespace.
pub fn in_namespace(namespace: &str) -> Value {
    json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } })
}

/// A target: port 80 of a Service.
pub fn to_service(namespace: &str, service: &str) -> Value {
    json!({ "name": service, "service": { "name": service, "namespace": namespace, "port": 80 } })
}

/// A target with more fields, or others.
pub fn with(mut target: Value, fields: &Value) -> Value {
    if let (Some(target), Some(fields)) = (target.as_object_mut(), fields.as_object()) {
        target.extend(fields.clone());
    }
    target
}

/// The same target, expected to be denied.
pub fn denied(target: Value) -> Value {
    with(target, &json!({ "expect": "Denied" }))
}

/// A check from the pods `app: client`, with a short interval so that repetitions come soon.
pub fn check(namespace: &str, name: &str, targets: &[Value]) -> Value {
    json!({
        "apiVersion": "peerwalk.dev/v1alpha1",
        "kind": "ConnectivityCheck",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "source": { "podSelector": { "matchLabels": { "app": "client" } } },
            "interval": "5s",
            "failureThreshold": 2,
            "targets": targets,
        },
    })
}
