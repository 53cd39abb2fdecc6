//! Flows as the policy engine wants them, made from records.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerwalk_model::Protocol;
use peerwalk_netpol as netpol;

use super::index::Index;
use super::record::Pod;

/// Where a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The address and port after translation.
    pub address: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The Service's address and port that it was opened to, where there is such an address.
    pub service: Option<SocketAddr>,
}

impl Destination {
    /// A TCP connection to an endpoint that was opened to a Service.
    pub fn endpoint(address: SocketAddr, service: Option<SocketAddr>) -> Self {
        Self { address, protocol: Protocol::Tcp, service }
    }

    /// A TCP connection to an address itself.
    pub fn direct(address: SocketAddr) -> Self {
        Self { address, protocol: Protocol::Tcp, service: None }
    }
}

/// The flow of one connection from a pod to an address, after translation.
///
/// `None` when the pod has no address of the destination's family, and for a Service's own address: it is
/// translated before any policy applies, so no policy says anything about it.
pub fn new(index: &Index, source: &Pod, destination: Destination) -> Option<netpol::Flow> {
    let Destination { address, protocol, service } = destination;
    if index.service_by_ip(address.ip()).is_some() {
        return None;
    }
    let ip = source.ips.iter().copied().find(|ip| ip.is_ipv4() == address.is_ipv4())?;
    Some(netpol::Flow {
        source: netpol::Peer::pod(pod(source), ip),
        destination: peer(index, address.ip()),
        protocol,
        port: address.port(),
        service,
    })
}

/// Whose address it is.
pub fn peer(index: &Index, ip: IpAddr) -> netpol::Peer {
    if let Some(found) = index.pod_by_ip(ip) {
        return netpol::Peer::pod(pod(found), ip);
    }
    if let Some(found) = index.any_pod_by_ip(ip) {
        return netpol::Peer::pod(pod(found), ip);
    }
    let node = index.nodes().find(|(_, node)| node.addresses.contains(&ip));
    node.map_or_else(
        || netpol::Peer::external(ip),
        |(name, node)| {
            let node = netpol::Node { name: name.clone(), addresses: node.addresses.clone() };
            netpol::Peer::node(Arc::new(node), ip)
        },
    )
}

fn pod(pod: &Pod) -> Arc<netpol::Pod> {
    Arc::new(netpol::Pod {
        namespace: pod.id.namespace.clone(),
        name: pod.id.name.clone(),
        uid: pod.id.uid.clone(),
        labels: pod.labels.clone(),
        ips: pod.ips.clone(),
        node: pod.node.clone(),
        host_network: pod.host_network,
        finished: pod.finished,
        named_ports: pod
            .ports
            .iter()
            .filter_map(|port| {
                Some(netpol::NamedPort {
                    name: port.name.clone()?,
                    protocol: port.protocol,
                    number: port.number,
                    init: port.init,
                })
            })
            .collect(),
    })
}
