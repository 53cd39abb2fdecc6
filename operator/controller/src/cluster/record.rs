//! The records themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use peerwalk_model::{PodRef, Protocol, Timestamp};
use peerwalk_netpol as netpol;

use super::decode::Kind;
use super::sidecar::{Image, Sidecar};

/// Namespace and name; the namespace is empty for what has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Who it is.
    pub id: PodRef,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses, both families.
    pub ips: Vec<IpAddr>,
    /// The node it is bound to.
    pub node: Option<String>,
    /// `status.phase` is Running.
    pub running: bool,
    /// `status.phase` is Succeeded or Failed.
    pub finished: bool,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// The Ready condition is True.
    pub ready: bool,
    /// It uses the node's network namespace.
    pub host_network: bool,
    /// Named and unnamed container ports, restartable init containers included.
    pub ports: Vec<ContainerPort>,
    /// What stands for its template: `pod-template-hash`, `controller-revision-hash`, the controller's uid,
    /// or its own uid.
    pub template: String,
    /// Who made it, such as `Deployment web`; `None` for a pod that nothing controls.
    pub owner: Option<String>,
    /// The uid of what controls it.
    pub controller: Option<String>,
    /// It has our sidecar.
    pub injected: bool,
    /// The fingerprint of the hub's root that it was injected under (`peerwalk.dev/hub-root`).
    pub hub_root: Option<String>,
    /// It runs Windows, for which there is no sidecar.
    pub windows: bool,
    /// When our sidecar's container last started, if it runs.
    pub sidecar_started: Option<Timestamp>,
    /// How our sidecar's container fares.
    pub sidecar: Sidecar,
    /// The image of a sidecar that fails.
    pub sidecar_image: Option<Image>,
    /// Why the webhook gave it no sidecar, where it said so.
    pub skipped: Option<String>,
    /// When the pod was created.
    pub created: Timestamp,
    /// When its kubelet took it on (`status.startTime`): later than `created` by as long as no node had room.
    pub started: Option<Timestamp>,
}

impl Pod {
    /// Whether a sidecar could be injected at all; the webhook leaves the others out.
    pub fn injectable(&self) -> bool {
        !self.host_network && !self.windows
    }
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name, if any.
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
    /// Declared by a restartable init container.
    pub init: bool,
    /// The port of the node that leads to it (`hostPort`).
    pub on_node: Option<u16>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its cluster addresses; empty when headless.
    pub addresses: Vec<IpAddr>,
    /// Addresses from elsewhere that lead to it at its ports: `spec.externalIPs` and those of its load balancer.
    pub foreign: Vec<IpAddr>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// `type: ExternalName`.
    pub external_name: Option<String>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty for the only one.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of every node that leads to it (`nodePort`); of Services only.
    pub on_nodes: Option<u16>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The Service it belongs to, same namespace.
    pub service: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointRecord>,
    /// Its ports by name: target port numbers.
    pub ports: Vec<ServicePort>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Its addresses; all of one family.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready`; unset counts as ready (the API's own rule).
    pub ready: bool,
    /// The node it is on.
    pub node: Option<String>,
    /// The pod behind it, same namespace.
    pub pod: Option<String>,
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_networks: Vec<IpNet>,
    /// The Ready condition is True. The node controller withdraws it when the node's lease expires.
    pub ready: bool,
}

/// An object with its key.
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// Its key.
    pub key: ObjectKey,
    /// The object.
    pub value: T,
}

/// An object of any kind that is watched.
#[derive(Clone, Debug)]
pub enum Object {
    /// A pod.
    Pod(Box<Pod>),
    /// A Service.
    Service(Service),
    /// An EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// A Namespace.
    Namespace(Namespace),
    /// A Node.
    Node(Node),
    /// A NetworkPolicy; `Err` tells why it could not be read, and then nothing about its namespace's pods
    /// is certain.
    NetworkPolicy(Result<Box<netpol::Policy>, String>),
    /// A policy of the cluster, of one of the optional kinds; `Err` as above, and of the whole cluster.
    ClusterPolicy(Kind, Result<Box<netpol::ClusterPolicy>, String>),
    /// A ConnectivityCheck, or what is known of one that could not be read.
    Check(Result<Box<peerwalk_api::ConnectivityCheck>, UnreadableCheck>),
}

impl Object {
    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::NetworkPolicy(_) => Kind::NetworkPolicy,
            Self::ClusterPolicy(kind, _) => *kind,
            Self::Check(_) => Kind::Check,
        }
    }
}

/// A ConnectivityCheck that does not fit our types, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableCheck {
    /// Its uid.
    pub uid: String,
    /// Its version in the API server.
    pub resource_version: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Why it could not be read.
    pub error: String,
    /// The status that it has.
    pub status: Box<peerwalk_api::ConnectivityCheckStatus>,
}
