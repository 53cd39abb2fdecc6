//! From two ends to the connections between them.

mod behind;
mod direct;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Service};
use peerwalk_model::Protocol;
use peerwalk_netpol::{Flow, Peer, Pod};
use thiserror::Error;

use crate::end::{Found, Port};
use behind::Entry;

/// A connection, and the Service that it is opened to.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The connection, as policies see it.
    pub flow: Flow,
    /// The Service that leads there.
    pub via: Option<Via>,
}

impl Asked {
    /// Whether it is between two pods that one template stands for.
    pub fn is_among_replicas(&self) -> bool {
        let ends = self.flow.source.as_pod().zip(self.flow.destination.as_pod());
        ends.is_some_and(|(one, other)| other.is_same(&another(one)))
    }
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// The Service's own port; of a headless one, the port that is connected to.
    pub port: u16,
    /// Whether a node takes the connection: at a port of its own, or at an address that is not the Service's own.
    pub through_node: bool,
}

/// What is asked about.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    /// The connections.
    pub asked: Vec<Asked>,
    /// What cannot be asked about, and what would help.
    pub undecided: Vec<String>,
}

/// Why there is nothing to ask about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unaskable {
    /// No port is known.
    #[error("no port is known of {0}; name one, as in {1}:80 or {1}:53/UDP")]
    NoPort(String, String),
    /// A name that no container gives.
    #[error("{0} has no port named {1}; use a number")]
    NoNamedPort(String, String),
    /// Not a port of the Service.
    #[error("Service {0} has no port {1}; it has {2}")]
    NotOfService(String, String, String),
}

/// The connections between two ends.
///
/// # Errors
/// Where the port is none of the destination's, or none was named and none is known.
pub fn between(
    cluster: &Cluster,
    from: &Found<'_>,
    to: &Found<'_>,
    port: Option<&Port>,
    protocol: Option<Protocol>,
) -> Result<Flows, Unaskable> {
    let mut flows = Flows::default();
    let sources = sources(from, &mut flows.undecided);
    let behind = |entry: Entry<'_>, undecided: &mut Vec<String>| {
        behind::endpoints(cluster, &entry, port, protocol, undecided)
    };
    let destinations = match to {
        Found::Service(service, None) => behind(Entry::own(service), &mut flows.undecided)?,
        Found::Service(service, Some(address)) => {
            behind(Entry::beside(service, &[*address]), &mut flows.undecided)?
        }
        Found::Unknown(host) => {
            flows.undecided.push(unknown(host));
            Vec::new()
        }
        other => match behind::node_port(cluster, other, port, protocol) {
            Some(entry) => behind(entry, &mut flows.undecided)?,
            None => direct::destinations(other, port, protocol, &mut flows.undecided)?,
        },
    };
    for source in &sources {
        for destination in &destinations {
            flows.asked.extend(connection(cluster, source, destination));
        }
    }
    // A pod's connection to itself is of no interest where it has siblings.
    let to_itself = |asked: &Asked| match (asked.flow.source.as_pod(), asked.flow.destination.as_pod()) {
        (Some(source), Some(destination)) => source.is_same(destination),
        _ => false,
    };
    if !flows.asked.iter().all(to_itself) {
        flows.asked.retain(|asked| !to_itself(asked));
    }
    if flows.asked.is_empty() && !sources.is_empty() && !destinations.is_empty() {
        flows.undecided.push("the two have no addresses of one family".to_owned());
    }
    Ok(flows)
}

fn unknown(host: &str) -> String {
    format!("which addresses {host} stands for is not known here; ask about an address of it")
}

fn no_address(node: &str) -> String {
    format!("node {node} has no address in its status; ask about an address of it instead")
}

/// One way to a destination.
struct Destination {
    peer: Peer,
    protocol: Protocol,
    port: u16,
    via: Option<Via>,
    /// What the connection is opened to, before it is translated: addresses of the Service or of a node, and the port.
    before: (Vec<IpAddr>, u16),
}

fn sources(from: &Found<'_>, undecided: &mut Vec<String>) -> Vec<Peer> {
    match from {
        Found::Pods(_, pods) => pods.iter().flat_map(peers).collect(),
        Found::Service(service, _) => {
            let pods = pods_of(service);
            if pods.is_empty() {
                undecided.push(format!("Service {}/{} leads to no pod", service.namespace, service.name));
            }
            pods.into_iter().flat_map(peers).collect()
        }
        Found::Node(node) => {
            if node.addresses.is_empty() {
                undecided.push(no_address(&node.name));
            }
            node.addresses.iter().map(|address| Peer::node(Arc::clone(node), *address)).collect()
        }
        Found::Address(peer) => vec![peer.clone()],
        Found::Unknown(host) => {
            undecided.push(unknown(host));
            Vec::new()
        }
    }
}

fn pods_of(service: &Service) -> Vec<&Arc<Pod>> {
    let mut pods: Vec<&Arc<Pod>> = Vec::new();
    for pod in service.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()) {
        if !pods.iter().any(|known| known.is_same(pod)) {
            pods.push(pod);
        }
    }
    pods
}

/// A pod at each of its addresses; one that has none yet at none in particular.
fn peers(pod: &Arc<Pod>) -> Vec<Peer> {
    if pod.ips.is_empty() {
        return vec![Peer::pod(Arc::clone(pod), Ipv4Addr::UNSPECIFIED.into())];
    }
    pod.ips.iter().map(|ip| Peer::pod(Arc::clone(pod), *ip)).collect()
}

/// The connection, where both ends have an address of one family; an unknown one may be of any.
fn connection(cluster: &Cluster, source: &Peer, destination: &Destination) -> Option<Asked> {
    let (mut source, mut peer) = (source.clone(), destination.peer.clone());
    if let (Some(one), Some(other)) = (source.as_pod(), peer.as_pod())
        && one.is_same(other)
        && stands_for_several(cluster, one)
    {
        peer = Peer::pod(another(one), peer.ip);
    }
    if source.ip.is_ipv4() != peer.ip.is_ipv4() {
        let unknown = [&mut source.ip, &mut peer.ip].into_iter().find(|ip| ip.is_unspecified())?;
        *unknown = Ipv6Addr::UNSPECIFIED.into();
    }
    let of_family = |address: &&IpAddr| address.is_ipv4() == peer.ip.is_ipv4();
    let (addresses, port) = &destination.before;
    let service = addresses.iter().find(of_family).map(|ip| SocketAddr::new(*ip, *port));
    let flow =
        Flow { source, destination: peer, protocol: destination.protocol, port: destination.port, service };
    Some(Asked { flow, via: destination.via.clone() })
}

/// Whether a pod is what a template makes several of.
fn stands_for_several(cluster: &Cluster, pod: &Pod) -> bool {
    let mut several = cluster.workloads.iter().filter(|workload| workload.several);
    several.any(|workload| workload.pods.iter().any(|of| of.is_same(pod)))
}

/// Another pod of the same template.
pub(crate) fn another(pod: &Pod) -> Arc<Pod> {
    Arc::new(Pod { uid: format!("{}/another", pod.uid), ..pod.clone() })
}
