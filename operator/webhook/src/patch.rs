//! The JSON Patch (RFC 6902) that adds the sidecar. Pure.
//!
//! Only `add` of our own items: nothing of the pod is repeated, so fields this program has never heard of
//! stay as they are.

#[cfg(test)]
mod tests;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::{Value, json};

use crate::config::InjectConfig;
use crate::decide::{CONTAINER, Injection, Sizing, TOKEN_VOLUME};

/// Which root the pod was injected under: [`crate::HubRoot::fingerprint`].
pub const HUB_ROOT_ANNOTATION: &str = "peerwalk.dev/hub-root";
/// Why a pod that opted in was left without the sidecar: `skipped: WHY`.
pub const INJECTION_ANNOTATION: &str = "peerwalk.dev/injection";
/// The audience of the sidecar's token: no use at the API server.
pub const TOKEN_AUDIENCE: &str = "peerwalk.dev";
/// How long the sidecar's token is valid, in seconds. The kubelet renews it at 80 % of that.
const TOKEN_SECONDS: u32 = 3600;
/// Where the API token of the service account would be mounted. A mount of ours there keeps the
/// ServiceAccount admission plugin from adding that token (Kubernetes
/// `plugin/pkg/admission/serviceaccount/admission.go`, `mountServiceAccountToken`).
const TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// No user of the node or of common images.
const USER: u32 = 65532;

/// The operations that turn the pod into one with the sidecar.
pub fn patch(injection: &Injection, config: &InjectConfig) -> Patch {
    let container = container(injection, config);
    let fingerprint = config.hub_root.fingerprint();
    Patch(vec![
        match injection.position {
            Some(index) => add(["spec", "initContainers", &index.to_string()], container),
            None => add(["spec", "initContainers"], json!([container])),
        },
        if injection.has_volumes {
            add(["spec", "volumes", "-"], token_volume())
        } else {
            add(["spec", "volumes"], json!([token_volume()]))
        },
        if injection.has_annotations {
            add(["metadata", "annotations", HUB_ROOT_ANNOTATION], json!(fingerprint))
        } else {
            add(["metadata", "annotations"], json!({ HUB_ROOT_ANNOTATION: fingerprint }))
        },
    ])
}

/// The operation that writes down why the pod was left without the sidecar.
pub fn skipped(has_annotations: bool, why: &str) -> Patch {
    let said = format!("skipped: {why}");
    Patch(vec![if has_annotations {
        add(["metadata", "annotations", INJECTION_ANNOTATION], json!(said))
    } else {
        add(["metadata", "annotations"], json!({ INJECTION_ANNOTATION: said }))
    }])
}

fn add<'a>(path: impl IntoIterator<Item = &'a str>, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value })
}

/// A native sidecar (KEP-753) that fits the `restricted` Pod Security Standard. No probes: ours failing
/// must not take the application out of service.
fn container(injection: &Injection, config: &InjectConfig) -> Value {
    let mut container = json!({
        "name": CONTAINER,
        "image": config.image(),
        "imagePullPolicy": config.pull_policy.as_str(),
        "args": ["run"],
        "restartPolicy": "Always",
        "env": environment(injection, config),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": TOKEN_VOLUME, "mountPath": TOKEN_DIRECTORY, "readOnly": true}],
    });
    match injection.sizing {
        Sizing::Configured => container["resources"] = config.resources.to_json(),
        Sizing::Guaranteed => container["resources"] = config.resources.to_guaranteed_json(),
        Sizing::PodLevel => {}
    }
    container
}

/// The sidecar's contract: where its hub is, who it is, and what the application says about proxies.
fn environment(injection: &Injection, config: &InjectConfig) -> Vec<Value> {
    let literal = |name: &str, value: &str| json!({"name": name, "value": value});
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});

    let mut variables = vec![literal("PEERWALK_HUB", &config.hub)];
    variables.extend(config.hub_address.map(|address| literal("PEERWALK_HUB_ADDRESS", &address.to_string())));
    variables.extend([
        literal("PEERWALK_HUB_ROOT", config.hub_root.pem()),
        field("PEERWALK_POD_NAMESPACE", "metadata.namespace"),
        field("PEERWALK_POD_NAME", "metadata.name"),
        field("PEERWALK_POD_UID", "metadata.uid"),
        field("PEERWALK_POD_IPS", "status.podIPs"),
    ]);
    variables.extend(injection.proxy.reference_variables());
    if !injection.proxy.is_empty() {
        variables.push(literal("PEERWALK_PROXY_ENV", &injection.proxy.to_json()));
    }
    variables
}

fn token_volume() -> Value {
    json!({
        "name": TOKEN_VOLUME,
        "projected": {"sources": [{"serviceAccountToken": {
            "audience": TOKEN_AUDIENCE,
            "expirationSeconds": TOKEN_SECONDS,
            "path": "token",
        }}]},
    })
}
