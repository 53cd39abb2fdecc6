//! Whether a pod gets the sidecar, and what about the pod shapes it. Pure.
//!
//! Which namespaces and pods opted in is the API server's work, by the label selectors of the two webhook
//! entries; here is what selectors cannot say, and a second look where a mistake would be costly.

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::config::InjectConfig;
use crate::proxy_env::ProxyEnvironment;

/// The name of the injected container.
pub const CONTAINER: &str = "peerwalk";
/// The name of the injected volume.
pub const TOKEN_VOLUME: &str = "peerwalk-token";
/// The label that opts a pod in (`enabled`) or out (`disabled`).
pub const INJECT_LABEL: &str = "peerwalk.dev/inject";
/// Set by the kubelet on the API's images of static pods (Kubernetes `pkg/kubelet/types/constants.go`).
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// Proxies of meshes that redirect the pod's traffic into themselves: without them there is no network.
const MESH_CONTAINERS: [&str; 2] = ["istio-proxy", "linkerd-proxy"];

/// What is known about the pod's namespace.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceInfo<'a> {
    /// Its name.
    pub name: &'a str,
}

/// What to do with a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Inject the sidecar in this shape.
    Inject(Injection),
    /// Leave the pod as it is.
    Skip(SkipReason),
}

/// Why a pod is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The request is not the creation of a pod.
    NotPodCreation,
    /// `kube-system`: what the cluster needs in order to run.
    SystemNamespace,
    /// The operator's own namespace, which must start without its webhook.
    OperatorNamespace,
    /// The pod's label says `disabled`.
    Disabled,
    /// The API's image of a static pod: the kubelet runs its file, not this object.
    MirrorPod,
    /// Policies do not apply to the node's network, so nothing could be told apart.
    HostNetwork,
    /// The sidecar is a Linux program.
    Windows,
    /// The pod has our container.
    AlreadyInjected,
    /// A volume of the pod has the name ours would have.
    VolumeNameTaken,
    /// Injection is paused where the sidecar fails.
    Paused,
    /// Not shaped like a pod; the API server's validation will say so.
    Malformed,
}

impl SkipReason {
    /// As metrics and logs say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotPodCreation => "NotPodCreation",
            Self::SystemNamespace => "SystemNamespace",
            Self::OperatorNamespace => "OperatorNamespace",
            Self::Disabled => "Disabled",
            Self::MirrorPod => "MirrorPod",
            Self::HostNetwork => "HostNetwork",
            Self::Windows => "Windows",
            Self::AlreadyInjected => "AlreadyInjected",
            Self::VolumeNameTaken => "VolumeNameTaken",
            Self::Paused => "Paused",
            Self::Malformed => "Malformed",
        }
    }
}

/// How the pod shapes the injection.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// Where in `spec.initContainers` the container goes; nothing when the pod has no such list.
    pub position: Option<usize>,
    /// Whether the pod has `spec.volumes`.
    pub has_volumes: bool,
    /// Whether the pod has `metadata.annotations`.
    pub has_annotations: bool,
    /// How our resources fit in with the pod's.
    pub sizing: Sizing,
    /// The proxy variables of the application's containers.
    pub proxy: ProxyEnvironment,
}

/// How the container's resources fit in with the pod's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// Requests and limits as configured.
    Configured,
    /// Requests raised to the limits, as all others in the pod have them equal.
    Guaranteed,
    /// None of its own: `spec.resources` bounds the pod as a whole, and what its containers ask for
    /// together must not exceed it (KEP-2837).
    PodLevel,
}

/// Decides for one pod, as the API server sent it.
pub fn decide(pod: &Value, namespace: &NamespaceInfo<'_>, config: &InjectConfig) -> Decision {
    match skip_reason(pod, namespace, config) {
        Some(reason) => Decision::Skip(reason),
        None => Decision::Inject(Injection {
            position: array(pod, "/spec/initContainers").map(position),
            has_volumes: array(pod, "/spec/volumes").is_some(),
            has_annotations: pod.pointer("/metadata/annotations").is_some_and(Value::is_object),
            sizing: sizing(pod),
            proxy: ProxyEnvironment::read(list(pod, "/spec/containers")),
        }),
    }
}

fn skip_reason(pod: &Value, namespace: &NamespaceInfo<'_>, config: &InjectConfig) -> Option<SkipReason> {
    if namespace.name == "kube-system" {
        return Some(SkipReason::SystemNamespace);
    }
    if namespace.name == config.operator_namespace {
        return Some(SkipReason::OperatorNamespace);
    }
    if !pod.pointer("/metadata").is_some_and(Value::is_object) || list(pod, "/spec/containers").is_empty() {
        return Some(SkipReason::Malformed);
    }
    if pod["metadata"]["labels"][INJECT_LABEL] == "disabled" {
        return Some(SkipReason::Disabled);
    }
    if !pod["metadata"]["annotations"][MIRROR_ANNOTATION].is_null() {
        return Some(SkipReason::MirrorPod);
    }
    if pod["spec"]["hostNetwork"] == true {
        return Some(SkipReason::HostNetwork);
    }
    if pod["spec"]["os"]["name"] == "windows" || pod["spec"]["nodeSelector"]["kubernetes.io/os"] == "windows"
    {
        return Some(SkipReason::Windows);
    }
    // Any container of that name, ours or not: names are unique in a pod.
    let mut containers = list(pod, "/spec/initContainers").iter().chain(list(pod, "/spec/containers"));
    if containers.any(|container| container["name"] == CONTAINER) {
        return Some(SkipReason::AlreadyInjected);
    }
    if list(pod, "/spec/volumes").iter().any(|volume| volume["name"] == TOKEN_VOLUME) {
        return Some(SkipReason::VolumeNameTaken);
    }
    None
}

/// Right after the last native mesh sidecar, which we need in order to have a network; first otherwise,
/// so that long-running init containers do not delay the first report.
fn position(init_containers: &[Value]) -> usize {
    let is_mesh = |container: &Value| {
        container["restartPolicy"] == "Always"
            && MESH_CONTAINERS.iter().any(|name| container["name"] == *name)
    };
    init_containers.iter().rposition(is_mesh).map_or(0, |index| index + 1)
}

/// As `GetPodQOS` (Kubernetes `pkg/apis/core/v1/helper/qos/qos.go`), except that quantities count as
/// equal only when spelled alike.
fn sizing(pod: &Value) -> Sizing {
    if !pod["spec"]["resources"].is_null() {
        return Sizing::PodLevel;
    }
    let mut containers = list(pod, "/spec/containers").iter().chain(list(pod, "/spec/initContainers"));
    let guaranteed = containers.all(|container| {
        let resources = &container["resources"];
        ["cpu", "memory"].iter().all(|name| {
            let (request, limit) = (&resources["requests"][name], &resources["limits"][name]);
            limit.is_string() && (request.is_null() || request == limit)
        })
    });
    if guaranteed { Sizing::Guaranteed } else { Sizing::Configured }
}

fn array<'a>(pod: &'a Value, pointer: &str) -> Option<&'a [Value]> {
    pod.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice)
}

fn list<'a>(pod: &'a Value, pointer: &str) -> &'a [Value] {
    array(pod, pointer).unwrap_or_default()
}
