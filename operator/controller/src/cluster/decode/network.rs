//! Services, EndpointSlices, Namespaces and Nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::pod::{Condition, is_true, port_number, protocol};
use super::{Decode, Kind};
use crate::cluster::record::{EndpointRecord, EndpointSlice, Namespace, Node, Object, Service, ServicePort};

/// The fields of a Service that we read.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = core::Service)]
pub struct SlimService {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceSpec,
    #[serde(default)]
    status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
    external_name: Option<String>,
    internal_traffic_policy: Option<String>,
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

/// One way in. Its `ipMode` is not read: what is said to go through a proxy may be translated on the node too.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    name: Option<String>,
    port: Option<i32>,
    protocol: Option<String>,
    node_port: Option<i32>,
}

impl Port {
    fn record(&self) -> Option<ServicePort> {
        Some(ServicePort {
            name: self.name.clone().unwrap_or_default(),
            number: u16::try_from(self.port?).ok()?,
            protocol: protocol(self.protocol.as_deref())?,
            on_nodes: port_number(self.node_port),
        })
    }
}

/// Addresses, each once, in their order. What is no address is left out.
fn addresses<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    texts.filter_map(|ip| ip.parse().ok()).filter(|ip| seen.insert(*ip)).collect()
}

impl Decode for SlimService {
    const KIND: Kind = Kind::Service;

    fn decode(self) -> Object {
        let spec = self.spec;
        let balanced = self.status.load_balancer.ingress.iter().filter_map(|ingress| ingress.ip.as_ref());
        let external = spec.kind.as_deref() == Some("ExternalName");
        Object::Service(Service {
            addresses: addresses(spec.cluster_ips.iter().chain(&spec.cluster_ip)),
            foreign: addresses(spec.external_ips.iter().chain(balanced)),
            headless: spec.cluster_ip.as_deref() == Some("None"),
            external_name: spec.external_name.filter(|_| external),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            ports: spec.ports.iter().filter_map(Port::record).collect(),
        })
    }
}

/// The fields of an EndpointSlice that we read.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = discovery::EndpointSlice)]
#[serde(rename_all = "camelCase")]
pub struct SlimEndpointSlice {
    metadata: ObjectMeta,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    addresses: Vec<String>,
    conditions: EndpointConditions,
    node_name: Option<String>,
    target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointConditions {
    ready: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: Option<String>,
    name: Option<String>,
}

impl Endpoint {
    fn record(self) -> EndpointRecord {
        EndpointRecord {
            addresses: self.addresses.iter().filter_map(|a| a.parse().ok()).collect(),
            ready: self.conditions.ready.unwrap_or(true),
            node: self.node_name,
            pod: self.target_ref.filter(|t| t.kind.as_deref() == Some("Pod")).and_then(|t| t.name),
        }
    }
}

impl Decode for SlimEndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;

    fn decode(self) -> Object {
        let labels = self.metadata.labels.unwrap_or_default();
        Object::EndpointSlice(EndpointSlice {
            service: labels.get("kubernetes.io/service-name").cloned().unwrap_or_default(),
            endpoints: self.endpoints.unwrap_or_default().into_iter().map(Endpoint::record).collect(),
            ports: self.ports.unwrap_or_default().iter().filter_map(Port::record).collect(),
        })
    }
}

/// The fields of a Namespace that we read.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = core::Namespace)]
pub struct SlimNamespace {
    metadata: ObjectMeta,
}

impl Decode for SlimNamespace {
    const KIND: Kind = Kind::Namespace;

    fn decode(self) -> Object {
        let labels: BTreeMap<_, _> = self.metadata.labels.unwrap_or_default();
        Object::Namespace(Namespace { labels })
    }
}

/// The fields of a Node that we read.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = core::Node)]
pub struct SlimNode {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Vec<NodeAddress>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    address: String,
}

impl Decode for SlimNode {
    const KIND: Kind = Kind::Node;

    fn decode(self) -> Object {
        Object::Node(Node {
            labels: self.metadata.labels.unwrap_or_default(),
            addresses: self.status.addresses.iter().filter_map(|a| a.address.parse().ok()).collect(),
            pod_networks: self.spec.pod_cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect(),
            ready: is_true(&self.status.conditions, "Ready"),
        })
    }
}
