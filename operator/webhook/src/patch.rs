//! The JSON Patch (RFC 6902) that adds the sidecar. Pure.
//!
//! Only our own items are added and removed: nothing of the pod is repeated, so fields this program has never heard
//! of stay as they are.

#[cfg(test)]
mod tests;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use serde_json::{Value, json};

use crate::config::InjectConfig;
use crate::decide::{CONTAINER, Injection, TOKEN_VOLUME, Told};

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

/// The operations that turn the pod into one with the sidecar, as it is to be now.
pub fn patch(injection: &Injection, config: &InjectConfig) -> Patch {
    let mut operations = placed(injection, container(injection, config));
    if !injection.has_volume {
        operations.push(if injection.has_volumes {
            add(["spec", "volumes", "-"], token_volume())
        } else {
            add(["spec", "volumes"], json!([token_volume()]))
        });
    }
    operations.extend(pull_secrets(injection));
    let fingerprint = config.hub_root.fingerprint();
    operations.push(if injection.has_annotations {
        add(["metadata", "annotations", HUB_ROOT_ANNOTATION], json!(fingerprint))
    } else {
        add(["metadata", "annotations"], json!({ HUB_ROOT_ANNOTATION: fingerprint }))
    });
    if injection.has_note {
        operations.push(remove(["metadata", "annotations", INJECTION_ANNOTATION]));
    }
    Patch(operations)
}

/// The operations that tell a pod why it goes without the sidecar, and take away what an earlier call added.
pub fn note(told: &Told) -> Patch {
    let mut operations = Vec::new();
    if let Some(ours) = &told.ours {
        operations.push(remove(["spec", "initContainers", &ours.index.to_string()]));
        operations.extend(told.volume.map(|index| remove(["spec", "volumes", &index.to_string()])));
        operations.push(remove(["metadata", "annotations", HUB_ROOT_ANNOTATION]));
    }
    operations.push(if told.has_annotations {
        add(["metadata", "annotations", INJECTION_ANNOTATION], json!(told.note()))
    } else {
        add(["metadata", "annotations"], json!({ INJECTION_ANNOTATION: told.note() }))
    });
    Patch(operations)
}

fn placed(injection: &Injection, container: Value) -> Vec<PatchOperation> {
    match (&injection.ours, injection.position) {
        (Some(ours), Some(index)) => {
            let there = ours.index.to_string();
            let renewed = ours.renewed(&container);
            vec![
                remove(["spec", "initContainers", &there]),
                add(["spec", "initContainers", &index.to_string()], renewed),
            ]
        }
        (None, Some(index)) => vec![add(["spec", "initContainers", &index.to_string()], container)],
        (_, None) => vec![add(["spec", "initContainers"], json!([container]))],
    }
}

fn pull_secrets(injection: &Injection) -> Vec<PatchOperation> {
    let missing = injection.pull_secrets.iter().map(|name| json!({ "name": name }));
    if injection.has_pull_secrets {
        missing.map(|secret| add(["spec", "imagePullSecrets", "-"], secret)).collect()
    } else if injection.pull_secrets.is_empty() {
        Vec::new()
    } else {
        vec![add(["spec", "imagePullSecrets"], missing.collect())]
    }
}

fn add<'a>(path: impl IntoIterator<Item = &'a str>, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value })
}

fn remove<'a>(path: impl IntoIterator<Item = &'a str>) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: PointerBuf::from_tokens(path) })
}

/// A native sidecar (KEP-753) that fits the `restricted` Pod Security Standard. No probes: ours failing
/// must not take the application out of service.
pub(crate) fn container(injection: &Injection, config: &InjectConfig) -> Value {
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
            "runAsUser": injection.user.unwrap_or(USER),
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": TOKEN_VOLUME, "mountPath": TOKEN_DIRECTORY, "readOnly": true}],
    });
    // A namespace that assigns users says nothing about groups, and its policy may not admit one.
    if injection.user.is_none() {
        container["securityContext"]["runAsGroup"] = json!(USER);
    }
    if let Some(resources) = &injection.resources {
        container["resources"] = resources.clone();
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
