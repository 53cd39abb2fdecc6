//! Who answers DNS in a cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use peerwalk_manifests::{Cluster, Service};
use peerwalk_model::Protocol;
use peerwalk_netpol::{ClusterPeer, Flow, Peer, Pod, RulePeer};

use crate::lint::pods::Pods;

/// Where clusters have it.
const NAMESPACE: &str = "kube-system";
/// Where OpenShift has it.
const NAMESPACES: [&str; 2] = [NAMESPACE, "openshift-dns"];
/// The port that pods ask at.
pub const PORT: u16 = 53;
/// The label of what answers, of CoreDNS as well.
const LABEL: (&str, &str) = ("k8s-app", "kube-dns");
/// The label of NodeLocal DNS, which answers on every node.
const LOCAL: (&str, &str) = ("k8s-app", "node-local-dns");
/// The address that it has by default.
const LOCAL_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));

/// A pod that answers, at one of its ports.
pub struct Server {
    pub pod: Arc<Pod>,
    pub protocol: Protocol,
    pub port: u16,
    /// The Service's address, with its port.
    pub service: Option<SocketAddr>,
}

/// All who answer.
pub struct Dns {
    servers: Vec<Server>,
    /// Addresses at which something may answer on every node.
    pub local: Vec<IpAddr>,
    /// The input has none: it is taken to be where clusters have it.
    pub assumed: bool,
}

impl Dns {
    pub fn of(cluster: &Cluster, pods: &Pods) -> Self {
        let mut servers: Vec<Server> = cluster.services.iter().flat_map(behind).collect();
        if servers.is_empty() {
            servers = pods.all().filter(|pod| is_server(pod)).flat_map(ports).collect();
        }
        let assumed = servers.is_empty();
        if assumed {
            servers.push(of_clusters());
        }
        let mut local = link_local(cluster);
        if is_local(pods) {
            local.push(LOCAL_ADDRESS);
            let of_dns = cluster.services.iter().filter(|service| is_of_dns(service));
            local.extend(of_dns.flat_map(|service| service.addresses.iter().copied()));
        }
        local.sort_unstable();
        local.dedup();
        Self { servers, local, assumed }
    }

    pub fn all(&self) -> &[Server] {
        &self.servers
    }

    pub fn of_protocol(&self, protocol: Protocol) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(move |server| server.protocol == protocol)
    }
}

fn has(pod: &Pod, label: (&str, &str)) -> bool {
    pod.labels.get(label.0).is_some_and(|value| value == label.1)
}

/// Whether a pod is one of those that answer in most clusters.
pub fn is_server(pod: &Pod) -> bool {
    pod.namespace == NAMESPACE && has(pod, LABEL)
}

/// Whether something answers on every node.
pub fn is_local(pods: &Pods) -> bool {
    pods.all().any(|pod| pod.namespace == NAMESPACE && has(pod, LOCAL))
}

/// Whether a Service leads to what answers.
pub fn is_of_dns(service: &Service) -> bool {
    let dns = |port: &peerwalk_manifests::ServicePort| port.port == PORT && port.protocol == Protocol::Udp;
    NAMESPACES.contains(&service.namespace.as_str()) && service.ports.iter().any(dns)
}

fn behind(service: &Service) -> Vec<Server> {
    if !is_of_dns(service) {
        return Vec::new();
    }
    let endpoints = service.endpoints.iter().filter_map(|endpoint| {
        let port = service.ports.get(endpoint.port).filter(|port| port.port == PORT)?;
        let pod = endpoint.pod.clone().filter(|pod| !has(pod, LOCAL))?;
        let service = service.addresses.first().map(|ip| SocketAddr::new(*ip, PORT));
        Some(Server { pod, protocol: port.protocol, port: endpoint.target_port, service })
    });
    endpoints.collect()
}

/// The ports of a pod at which it answers. UDP is what everything speaks.
fn ports(pod: &Arc<Pod>) -> Vec<Server> {
    let server = |protocol, port| Server { pod: Arc::clone(pod), protocol, port, service: None };
    let find = |protocol, name: &str| {
        let of_protocol = || pod.named_ports.iter().filter(move |port| port.protocol == protocol);
        let named = of_protocol().find(|port| port.name == name);
        named.or_else(|| of_protocol().find(|port| port.number == PORT)).map(|port| port.number)
    };
    let udp = find(Protocol::Udp, "dns").unwrap_or(PORT);
    let tcp = find(Protocol::Tcp, "dns-tcp");
    std::iter::once(server(Protocol::Udp, udp)).chain(tcp.map(|port| server(Protocol::Tcp, port))).collect()
}

fn of_clusters() -> Server {
    let pod = Pod {
        namespace: NAMESPACE.to_owned(),
        name: "coredns".to_owned(),
        labels: [(LABEL.0.to_owned(), LABEL.1.to_owned())].into(),
        ..Pod::default()
    };
    Server { pod: Arc::new(pod), protocol: Protocol::Udp, port: PORT, service: None }
}

/// Addresses that never leave a node and that policies let pods out to: what answers there is on the node.
fn link_local(cluster: &Cluster) -> Vec<IpAddr> {
    let blocks = cluster.policies.iter().flat_map(|policy| policy.egress.iter().flatten()).flat_map(|rule| {
        rule.peers.iter().filter_map(|peer| match peer {
            RulePeer::IpBlock { cidr, .. } => Some(cidr),
            RulePeer::Pods { .. } => None,
        })
    });
    let networks = cluster.cluster_policies.iter().flat_map(|policy| &policy.egress).flat_map(|rule| {
        rule.peers.iter().flat_map(|peer| match peer {
            ClusterPeer::Networks(networks) => networks.as_slice(),
            _ => &[],
        })
    });
    let inside = |network: &&IpNet| match network {
        IpNet::V4(network) => network.prefix_len() >= 16 && network.network().is_link_local(),
        IpNet::V6(network) => network.prefix_len() >= 10 && network.network().is_unicast_link_local(),
    };
    let address =
        |network: &IpNet| if network.contains(&LOCAL_ADDRESS) { LOCAL_ADDRESS } else { network.network() };
    blocks.chain(networks).filter(inside).map(address).collect()
}

/// A question to what answers on the node.
pub fn local_flow(pod: &Arc<Pod>, at: IpAddr, protocol: Protocol) -> Flow {
    let ip = pod.ips.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Flow {
        source: Peer::pod(Arc::clone(pod), ip),
        destination: Peer::external(at),
        protocol,
        port: PORT,
        service: None,
    }
}
