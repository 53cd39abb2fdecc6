//! What is known of pods, namespaces and nodes: only what policies can see.

use std::collections::BTreeMap;
use std::net::IpAddr;

use peerwalk_model::Protocol;

/// The label that the API server keeps on every namespace, with the namespace's name as its value.
pub(crate) const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A pod, as far as policies can see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid`; empty when read from a file without one.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `status.podIPs`, every family.
    pub ips: Vec<IpAddr>,
    /// `spec.nodeName`, once scheduled.
    pub node: Option<String>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// Phase `Succeeded` or `Failed`: no policy applies any more, and the address may belong to another pod.
    pub finished: bool,
    /// The named ports of the containers, and of the restartable init containers.
    pub named_ports: Vec<NamedPort>,
}

impl Pod {
    /// Whether both are the same pod: by uid where both have one, else by namespace and name.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.uid.is_empty() || other.uid.is_empty() {
            self.namespace == other.namespace && self.name == other.name
        } else {
            self.uid == other.uid
        }
    }
}

/// A named container port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    /// `ports[].name`.
    pub name: String,
    /// `ports[].protocol`, TCP by default.
    pub protocol: Protocol,
    /// `ports[].containerPort`.
    pub number: u16,
    /// The port belongs to a restartable init container.
    pub init: bool,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Name.
    pub name: String,
    /// `metadata.labels`; `kubernetes.io/metadata.name` is added when the index is built.
    pub labels: BTreeMap<String, String>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `status.addresses`, those that are IP addresses.
    pub addresses: Vec<IpAddr>,
}
