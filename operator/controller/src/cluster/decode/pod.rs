//! Pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use peerwalk_model::{PodRef, Protocol, Timestamp};
use serde::Deserialize;

use super::sidecar::ContainerStatus;
use super::{Decode, Kind};
use crate::cluster::record::{ContainerPort, Object, Pod};
use crate::cluster::sidecar::{Image, Sidecar};
use crate::{INJECTION_ANNOTATION, SIDECAR_CONTAINER};

/// The annotation by which the webhook tells which of the hub's roots a pod trusts.
const HUB_ROOT: &str = "peerwalk.dev/hub-root";

/// The fields of a Pod that we read.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = core::Pod)]
pub struct SlimPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    host_network: bool,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    os: Os,
    node_selector: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Os {
    name: String,
}

impl Spec {
    /// As the webhook tells it.
    fn is_windows(&self) -> bool {
        self.os.name == "windows"
            || self.node_selector.get("kubernetes.io/os").is_some_and(|os| os == "windows")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    image: String,
    image_pull_policy: String,
    restart_policy: Option<String>,
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    name: Option<String>,
    container_port: i32,
    protocol: Option<String>,
    host_port: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    conditions: Vec<Condition>,
    start_time: Option<Time>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

/// A condition of a Pod or a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// Whether the condition `kind` is True.
pub(super) fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.kind == kind && c.status == "True")
}

/// A port that is given; 0 stands for none.
pub(super) fn port_number(port: Option<i32>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// A protocol of the API; TCP is the default, and what is none of the three is not a port we can use.
pub(super) fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP" | "") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

impl Decode for SlimPod {
    const KIND: Kind = Kind::Pod;

    fn decode(self) -> Object {
        let Self { metadata, spec, status } = self;
        let uid = metadata.uid.clone().unwrap_or_default();
        let template = template(&metadata, &uid);
        let owner = owner(&metadata);
        let sidecar = status.init_container_statuses.iter().find(|c| c.name == SIDECAR_CONTAINER);
        let fares = sidecar.map(|c| c.fares(is_true(&status.conditions, "Initialized"))).unwrap_or_default();
        let container = spec.init_containers.iter().find(|c| c.name == SIDECAR_CONTAINER);
        let image = container.filter(|_| matches!(fares, Sidecar::Failing(_))).map(|container| Image {
            reference: container.image.clone(),
            pull_policy: container.image_pull_policy.clone(),
        });
        Object::Pod(Box::new(Pod {
            running: status.phase.as_deref() == Some("Running"),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            terminating: metadata.deletion_timestamp.is_some(),
            ready: is_true(&status.conditions, "Ready"),
            hub_root: metadata.annotations.as_ref().and_then(|all| all.get(HUB_ROOT)).cloned(),
            injected: container.is_some(),
            sidecar_started: sidecar.and_then(ContainerStatus::started).map(timestamp),
            sidecar: fares,
            sidecar_image: image,
            skipped: skipped(&metadata),
            created: metadata.creation_timestamp.as_ref().map(timestamp).unwrap_or_default(),
            started: status.start_time.as_ref().map(timestamp),
            ips: ips(&status),
            node: spec.node_name.clone(),
            host_network: spec.host_network,
            windows: spec.is_windows(),
            ports: ports(&spec),
            template,
            owner,
            controller: controller(&metadata).map(|owner| owner.uid.clone()),
            labels: metadata.labels.unwrap_or_default(),
            id: PodRef {
                namespace: metadata.namespace.unwrap_or_default(),
                name: metadata.name.unwrap_or_default(),
                uid,
            },
        }))
    }
}

fn timestamp(time: &Time) -> Timestamp {
    Timestamp::from_millis(time.0.as_millisecond())
}

fn ips(status: &Status) -> Vec<std::net::IpAddr> {
    let listed = status.pod_ips.iter().map(|p| p.ip.as_str());
    let mut ips: Vec<_> = listed.chain(status.pod_ip.as_deref()).filter_map(|ip| ip.parse().ok()).collect();
    let mut seen = std::collections::BTreeSet::new();
    ips.retain(|ip| seen.insert(*ip));
    ips
}

fn ports(spec: &Spec) -> Vec<ContainerPort> {
    let restartable = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let all = spec.containers.iter().map(|c| (c, false)).chain(restartable.map(|c| (c, true)));
    all.flat_map(|(container, init)| container.ports.iter().map(move |port| (port, init)))
        .filter_map(|(port, init)| {
            Some(ContainerPort {
                name: port.name.clone(),
                protocol: protocol(port.protocol.as_deref())?,
                number: u16::try_from(port.container_port).ok()?,
                init,
                on_node: port_number(port.host_port),
            })
        })
        .collect()
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// The labels by which those that make ReplicaSets name a template, and what they are called themselves.
const MAKERS: [(&str, &str); 2] =
    [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")];

/// What controls a pod, and who made that where it is a ReplicaSet of a Deployment or of Argo Rollouts: those come and go
/// with each rollout.
fn owner(metadata: &ObjectMeta) -> Option<String> {
    let owner = controller(metadata)?;
    let labels = metadata.labels.as_ref().filter(|_| owner.kind == "ReplicaSet");
    let maker = MAKERS.into_iter().find_map(|(label, kind)| {
        let hash = labels?.get(label)?;
        Some(format!("{kind} {}", owner.name.strip_suffix(&format!("-{hash}"))?))
    });
    Some(maker.unwrap_or_else(|| format!("{} {}", owner.kind, owner.name)))
}

/// Why the webhook left the pod without our container, as it wrote down then.
fn skipped(metadata: &ObjectMeta) -> Option<String> {
    let said = metadata.annotations.as_ref()?.get(INJECTION_ANNOTATION)?;
    said.strip_prefix("skipped: ").map(str::to_owned)
}

/// The hash labels that the workload controllers set, else who controls the pod, else the pod itself.
fn template(metadata: &ObjectMeta, uid: &str) -> String {
    let label = |name: &str| metadata.labels.as_ref().and_then(|l| l.get(name)).cloned();
    let controller = || controller(metadata).map(|owner| owner.uid.clone());
    label("pod-template-hash")
        .or_else(|| label("controller-revision-hash"))
        .or_else(controller)
        .unwrap_or_else(|| uid.to_owned())
}
