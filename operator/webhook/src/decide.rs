//! Whether a pod gets the sidecar, and what about the pod shapes it. Pure.
//!
//! Which namespaces and pods opted in is the API server's work, by the label selectors of the two webhook
//! entries; here is what selectors cannot say, and a second look where a mistake would be costly.

#[cfg(test)]
mod tests;

mod ours;

use serde_json::Value;

use crate::config::InjectConfig;
use crate::patch::INJECTION_ANNOTATION;
use crate::proxy_env::ProxyEnvironment;
use crate::room::{self, NamespaceRules, Refusal};
pub use ours::Ours;

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
    /// What it asks of its pods.
    pub rules: &'a NamespaceRules,
}

/// What to do with a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Inject the sidecar in this shape.
    Inject(Injection),
    /// Leave the pod as it is.
    Skip(SkipReason),
    /// Leave the pod without the sidecar, and tell its owner, who can do something about it.
    Tell(Told),
}

/// What a pod that goes without the sidecar is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Why.
    pub refusal: Refusal,
    /// Whether the pod has `metadata.annotations`.
    pub has_annotations: bool,
    /// Our container, which the pod has from an earlier call and cannot keep.
    pub ours: Option<Ours>,
    /// Where in `spec.volumes` its volume is.
    pub volume: Option<usize>,
}

impl Told {
    /// The value of the annotation.
    pub fn note(&self) -> String {
        format!("skipped: {}", self.refusal.why)
    }
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
    /// The pod has our container, as it should be, or another one of its name.
    AlreadyInjected,
    /// A volume of the pod has the name ours would have.
    VolumeNameTaken,
    /// No size that the sidecar lives with is within a LimitRange of the namespace.
    LimitRange,
    /// A ResourceQuota of the namespace has no room for the pod with the sidecar.
    Quota,
    /// Injection is paused where the sidecar fails.
    Paused,
    /// What the namespace asks of its pods, or how many more of them are to come, is not known yet.
    Unknown,
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
            Self::LimitRange => "LimitRange",
            Self::Quota => "Quota",
            Self::Paused => "Paused",
            Self::Unknown => "Unknown",
            Self::Malformed => "Malformed",
        }
    }
}

/// How the pod shapes the injection.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// Where in `spec.initContainers`, ours not counted, the container goes; nothing when the pod has no such list.
    pub position: Option<usize>,
    /// Our container, which the pod has from an earlier call and which is to be replaced.
    pub ours: Option<Ours>,
    /// Whether the pod has our volume.
    pub has_volume: bool,
    /// Whether the pod has `spec.volumes`.
    pub has_volumes: bool,
    /// Whether the pod has `metadata.annotations`.
    pub has_annotations: bool,
    /// Whether the pod was told why it goes without us.
    pub has_note: bool,
    /// Whether the pod has `spec.imagePullSecrets`.
    pub has_pull_secrets: bool,
    /// Names of configured pull secrets that the pod has not.
    pub pull_secrets: Vec<String>,
    /// Whom the container runs as, where the namespace says so.
    pub user: Option<u32>,
    /// The container's `resources`; nothing where the pod as a whole has them.
    pub resources: Option<Value>,
    /// The proxy variables of the application's containers.
    pub proxy: ProxyEnvironment,
}

impl Injection {
    /// What its pod, which has nothing of ours, is told when it stays so.
    pub(crate) fn not_done(&self, reason: SkipReason, why: String) -> Told {
        let refusal = Refusal { reason, why };
        Told { refusal, has_annotations: self.has_annotations, ours: None, volume: None }
    }
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
    let ours = ours::find(pod);
    if let Some(reason) = skip_reason(pod, namespace, config, ours.as_ref()) {
        return Decision::Skip(reason);
    }
    let others: Vec<&Value> = list(pod, "/spec/initContainers")
        .iter()
        .enumerate()
        .filter(|(index, _)| ours.as_ref().is_none_or(|ours| ours.index != *index))
        .map(|(_, container)| container)
        .collect();
    let position = match &ours {
        Some(ours) => ours.index.max(after_meshes(&others)),
        None => after_meshes(&others),
    };
    let volume = list(pod, "/spec/volumes").iter().position(|volume| volume["name"] == TOKEN_VOLUME);
    let has_annotations = pod.pointer("/metadata/annotations").is_some_and(Value::is_object);
    let sizing = sizing(pod, &others);
    let resources = match room::fit(pod, &others, position, sizing, &config.resources, namespace.rules) {
        Ok(resources) => resources,
        Err(refusal) => return Decision::Tell(Told { refusal, has_annotations, ours, volume }),
    };
    let pull_secrets = config.pull_secrets.iter().filter(|name| {
        !list(pod, "/spec/imagePullSecrets").iter().any(|secret| secret["name"] == name.as_str())
    });
    let injection = Injection {
        position: array(pod, "/spec/initContainers").map(|_| position),
        ours,
        has_volume: volume.is_some(),
        has_volumes: array(pod, "/spec/volumes").is_some(),
        has_annotations,
        has_note: pod["metadata"]["annotations"][INJECTION_ANNOTATION].is_string(),
        has_pull_secrets: array(pod, "/spec/imagePullSecrets").is_some(),
        pull_secrets: pull_secrets.cloned().collect(),
        user: namespace.rules.user,
        resources,
        proxy: ProxyEnvironment::read(list(pod, "/spec/containers")),
    };
    if ours::is_current(pod, &injection, config) {
        return Decision::Skip(SkipReason::AlreadyInjected);
    }
    Decision::Inject(injection)
}

fn skip_reason(
    pod: &Value,
    namespace: &NamespaceInfo<'_>,
    config: &InjectConfig,
    ours: Option<&Ours>,
) -> Option<SkipReason> {
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
    if ours.is_some() {
        return None;
    }
    // Any other container of that name: names are unique in a pod.
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
fn after_meshes(init_containers: &[&Value]) -> usize {
    let is_mesh = |container: &&Value| {
        container["restartPolicy"] == "Always"
            && MESH_CONTAINERS.iter().any(|name| container["name"] == *name)
    };
    init_containers.iter().rposition(is_mesh).map_or(0, |index| index + 1)
}

/// As `ComputePodQOS` (Kubernetes `pkg/apis/core/v1/helper/qos/qos.go`).
fn sizing(pod: &Value, init_containers: &[&Value]) -> Sizing {
    let says = |side: &str| pod["spec"]["resources"][side].as_object().is_some_and(|all| !all.is_empty());
    if says("requests") || says("limits") {
        return Sizing::PodLevel;
    }
    let mut containers = list(pod, "/spec/containers").iter().chain(init_containers.iter().copied());
    if containers.all(room::is_guaranteed) { Sizing::Guaranteed } else { Sizing::Configured }
}

fn array<'a>(pod: &'a Value, pointer: &str) -> Option<&'a [Value]> {
    pod.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice)
}

fn list<'a>(pod: &'a Value, pointer: &str) -> &'a [Value] {
    array(pod, pointer).unwrap_or_default()
}
