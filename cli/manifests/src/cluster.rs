//! What was read.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_model::Protocol;
use peerwalk_netpol::{ClusterPolicy, Namespace, Node, Pod, Policy, PolicyIndex, PolicyRef};

/// A cluster, as far as policies are concerned.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Namespaces that were given. Those that only objects name are not among them.
    pub namespaces: Vec<Namespace>,
    /// Who runs pods, ordered by name.
    pub workloads: Vec<Workload>,
    /// Nodes.
    pub nodes: Vec<Arc<Node>>,
    /// `spec.podCIDRs` of the nodes.
    pub pod_networks: Vec<IpNet>,
    /// Services with what stands behind them.
    pub services: Vec<Service>,
    /// NetworkPolicies.
    pub policies: Vec<Arc<Policy>>,
    /// Policies of the cluster's administrators.
    pub cluster_policies: Vec<Arc<ClusterPolicy>>,
    /// Policies that are there and could not be read. What only may be one, and what may decide like one, is among them
    /// as a policy of the cluster, with what is known of it in brackets for its name.
    pub unreadable: Vec<PolicyRef>,
    /// Whether among them is something of which not even the kind and the name could be read: it may be any policy.
    pub unidentified: bool,
    /// How many objects there were, of whatever kind, with those that could not be read.
    pub objects: usize,
    /// Where policies came from: as [`ObjectProblem::source`].
    pub origins: HashMap<PolicyRef, String>,
    /// Everything that could not be read, in the order of input.
    pub problems: Vec<ObjectProblem>,
}

impl Cluster {
    /// Its policies, namespaces and nodes, arranged for questions.
    pub fn index(&self) -> PolicyIndex {
        PolicyIndex::new(self.namespaces.iter().cloned(), self.policies.iter().cloned())
            .with_cluster_policies(self.cluster_policies.iter().cloned())
            .with_unreadable(self.unreadable.iter().cloned())
            .with_nodes(self.nodes.iter().cloned())
    }
}

/// A workload and its pods. One that is only a template has one pod, made of it, without addresses.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Who it is.
    pub name: WorkloadName,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
}

/// Who runs pods: their controller, or a pod that has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind: `Deployment`, `StatefulSet`, `Pod`.
    pub kind: String,
}

impl fmt::Display for WorkloadName {
    /// `shop/web (Deployment)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.kind)
    }
}

/// A Service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `spec.clusterIPs`; none for a headless Service.
    pub addresses: Vec<IpAddr>,
    /// Whether `spec.clusterIP` is None: its name leads to the pods themselves, and no port is translated.
    pub headless: bool,
    /// Its other addresses, which lead into the cluster too: `spec.externalIPs` and `status.loadBalancer.ingress`.
    pub external: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// What stands behind it: of its EndpointSlices, or where there are none, of the pods that its selector selects.
    pub endpoints: Vec<Endpoint>,
}

/// A port of a Service.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// `name`; empty where it has none.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The Service's own port.
    pub port: u16,
    /// `nodePort`: the port that leads there from every node's address.
    pub node_port: Option<u16>,
}

/// One endpoint for one port of a Service.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Which port of the Service, by its place in [`Service::ports`].
    pub port: usize,
    /// The pod, where it is one that was read.
    pub pod: Option<Arc<Pod>>,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// The port that connections are translated to.
    pub target_port: u16,
    /// Whether connections are led there.
    pub ready: bool,
}

/// An object, or a text, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectProblem {
    /// Where it came from: a file, with the number of the document in it where there are several.
    pub source: String,
    /// The object, as `NetworkPolicy shop/web`, once that much was read.
    pub object: Option<String>,
    /// Path of the field.
    pub field: String,
    /// What is wrong with its value, and the remedy.
    pub reason: String,
    /// What becomes of the object by it.
    pub effect: Effect,
}

/// What becomes of an object that something is said about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The API server refuses it.
    Refused,
    /// A server takes it, and nothing here evaluates it.
    NotEvaluated,
    /// It counts; a remark.
    Counts,
    /// It is none of Kubernetes, such as another file of the folder.
    Other,
}

impl fmt::Display for ObjectProblem {
    /// `policies.yaml: NetworkPolicy shop/web: spec.ingress[0].ports[0].port: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}
