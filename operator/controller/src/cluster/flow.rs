//! Flows as the policy engine wants them, made from records.

use std::net::SocketAddr;
use std::sync::Arc;

use peerwalk_model::Protocol;
use peerwalk_netpol as netpol;

use super::index::Index;
use super::record::{EndpointSlice, Node, Pod};

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
/// `None` when the pod has no address of the destination's family, and for an address that is translated: a
/// Service's own before any policy applies, so that no policy says anything about it; any other that leads into
/// the cluster before or after, depending on the data plane and the node, so that nobody knows what policies are
/// asked about.
pub fn new(index: &Index, source: &Pod, destination: Destination) -> Option<netpol::Flow> {
    let Destination { address, protocol, service } = destination;
    if index.service_by_ip(address.ip()).is_some() {
        return None;
    }
    // What a Service has led to is not translated again.
    if service.is_none() && index.may_lead_elsewhere(address, protocol) {
        return None;
    }
    let ip = source.ips.iter().copied().find(|ip| ip.is_ipv4() == address.is_ipv4())?;
    Some(netpol::Flow {
        source: netpol::Peer::pod(pod(source), ip),
        destination: peer(index, address, protocol),
        protocol,
        port: address.port(),
        service,
    })
}

/// Whose address it is.
pub fn peer(index: &Index, address: SocketAddr, protocol: Protocol) -> netpol::Peer {
    let ip = address.ip();
    if let Some(found) = index.pod_by_ip(ip).or_else(|| host_network_pod(index, address, protocol)) {
        return netpol::Peer::pod(pod(found), ip);
    }
    index.node_at(ip).map_or_else(
        || netpol::Peer::external(ip),
        |(name, node)| netpol::Peer::node(node_of(name, node), ip),
    )
}

/// A node, as policies see it.
pub fn node_of(name: &str, node: &Node) -> Arc<netpol::Node> {
    Arc::new(netpol::Node {
        name: name.to_owned(),
        labels: node.labels.clone(),
        addresses: node.addresses.clone(),
    })
}

/// The one of a node's host-network pods that listens at a port: it declares the port, or a Service has it as
/// its endpoint there. Where neither is so, the only one there is; of several nobody knows which.
fn host_network_pod(index: &Index, address: SocketAddr, protocol: Protocol) -> Option<&Pod> {
    let there = || index.pods_at(address.ip());
    let declares =
        |pod: &Pod| pod.ports.iter().any(|port| port.number == address.port() && port.protocol == protocol);
    let is_endpoint = |pod: &Pod| {
        let slices = index.slices_in(&pod.id.namespace);
        let at_port = |slice: &EndpointSlice| {
            slice.ports.iter().any(|port| port.number == address.port() && port.protocol == protocol)
        };
        slices.filter(|slice| at_port(slice)).flat_map(|slice| &slice.endpoints).any(|endpoint| {
            endpoint.pod.as_ref() == Some(&pod.id.name) && endpoint.addresses.contains(&address.ip())
        })
    };
    let only = || there().next().filter(|_| there().nth(1).is_none());
    there().find(|pod| declares(pod)).or_else(|| there().find(|pod| is_endpoint(pod))).or_else(only)
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

#[cfg(test)]
mod tests;
