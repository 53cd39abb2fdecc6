//! From two ends to the connections between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Endpoint, Service};
use peerwalk_model::Protocol;
use peerwalk_netpol::{Flow, Peer, Pod};
use thiserror::Error;

use crate::end::{End, Found, Port, Role, resolve};

/// A connection, and the Service that it is opened to.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The connection, as policies see it.
    pub flow: Flow,
    /// The Service that leads there.
    pub via: Option<Via>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// The Service's own port.
    pub port: u16,
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
    let destinations = match to {
        Found::Service(service) => behind(cluster, service, port, protocol, &mut flows.undecided)?,
        Found::Unknown(host) => {
            flows.undecided.push(unknown(host));
            Vec::new()
        }
        other => directly(other, port, protocol)?,
    };
    for source in &sources {
        for destination in &destinations {
            flows.asked.extend(connection(source, destination));
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

/// One way to a destination.
struct Destination {
    peer: Peer,
    protocol: Protocol,
    port: u16,
    via: Option<Via>,
    /// The Service's own addresses.
    addresses: Vec<IpAddr>,
}

fn sources(from: &Found<'_>, undecided: &mut Vec<String>) -> Vec<Peer> {
    match from {
        Found::Pods(_, pods) => pods.iter().flat_map(peers).collect(),
        Found::Service(service) => {
            let mut pods: Vec<&Arc<Pod>> = Vec::new();
            for pod in service.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()) {
                if !pods.iter().any(|known| known.is_same(pod)) {
                    pods.push(pod);
                }
            }
            if pods.is_empty() {
                undecided.push(format!("Service {}/{} leads to no pod", service.namespace, service.name));
            }
            pods.into_iter().flat_map(peers).collect()
        }
        Found::Node(node) => {
            node.addresses.iter().map(|address| Peer::node(Arc::clone(node), *address)).collect()
        }
        Found::Address(peer) => vec![peer.clone()],
        Found::Unknown(host) => {
            undecided.push(unknown(host));
            Vec::new()
        }
    }
}

/// A pod at each of its addresses; one that has none yet at none in particular.
fn peers(pod: &Arc<Pod>) -> Vec<Peer> {
    if pod.ips.is_empty() {
        return vec![Peer::pod(Arc::clone(pod), Ipv4Addr::UNSPECIFIED.into())];
    }
    pod.ips.iter().map(|ip| Peer::pod(Arc::clone(pod), *ip)).collect()
}

fn directly(
    to: &Found<'_>,
    port: Option<&Port>,
    protocol: Option<Protocol>,
) -> Result<Vec<Destination>, Unaskable> {
    let mut found = Vec::new();
    let mut add = |peer: Peer, port, protocol| {
        found.push(Destination { peer, protocol, port, via: None, addresses: Vec::new() });
    };
    match to {
        Found::Pods(named, pods) => {
            for pod in pods {
                for (number, of) in ports_of(pod, port, protocol) {
                    for peer in peers(pod) {
                        add(peer, number, of);
                    }
                }
            }
            if found.is_empty() {
                return Err(no_port(named, port));
            }
        }
        Found::Node(node) => {
            let number = number(port).ok_or_else(|| no_port(&format!("node/{}", node.name), port))?;
            for address in &node.addresses {
                add(Peer::node(Arc::clone(node), *address), number, protocol.unwrap_or_default());
            }
        }
        Found::Address(peer) => {
            let named = peer.as_pod().map_or_else(Vec::new, |pod| ports_of(pod, port, protocol));
            let given = number(port).map(|number| (number, protocol.unwrap_or_default()));
            for (number, of) in given.map_or(named, |given| vec![given]) {
                add(peer.clone(), number, of);
            }
            if found.is_empty() {
                return Err(no_port(&peer.ip.to_string(), port));
            }
        }
        Found::Service(_) | Found::Unknown(_) => {}
    }
    Ok(found)
}

fn no_port(named: &str, port: Option<&Port>) -> Unaskable {
    if let Some(Port::Name(name)) = port {
        return Unaskable::NoNamedPort(named.to_owned(), name.clone());
    }
    let bare = named.split(' ').next().unwrap_or_default();
    let bare = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
    Unaskable::NoPort(named.to_owned(), bare)
}

fn number(port: Option<&Port>) -> Option<u16> {
    match port {
        Some(Port::Number(number)) => Some(*number),
        Some(Port::Name(_)) | None => None,
    }
}

/// The port that was named, or every port that the pod gives a name.
fn ports_of(pod: &Pod, port: Option<&Port>, protocol: Option<Protocol>) -> Vec<(u16, Protocol)> {
    if let Some(Port::Number(number)) = port {
        return vec![(*number, protocol.unwrap_or_default())];
    }
    let mut found: Vec<(u16, Protocol)> = pod
        .named_ports
        .iter()
        .filter(|of| of.number != 0 && protocol.is_none_or(|protocol| of.protocol == protocol))
        .filter(|of| port.is_none_or(|port| *port == Port::Name(of.name.clone())))
        .map(|of| (of.number, of.protocol))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What stands behind a Service: what is ready of it, or where nothing is, all of it.
fn behind(
    cluster: &Cluster,
    service: &Service,
    port: Option<&Port>,
    protocol: Option<Protocol>,
    undecided: &mut Vec<String>,
) -> Result<Vec<Destination>, Unaskable> {
    let named = format!("{}/{}", service.namespace, service.name);
    let wanted = |place: &usize| {
        service.ports.get(*place).is_some_and(|of| {
            protocol.is_none_or(|protocol| of.protocol == protocol)
                && match port {
                    None => true,
                    Some(Port::Number(number)) => of.port == *number,
                    Some(Port::Name(name)) => of.name == *name,
                }
        })
    };
    let places: Vec<usize> = (0..service.ports.len()).filter(wanted).collect();
    if places.is_empty() {
        return Err(not_of(service, named, port, protocol));
    }
    let mut found = Vec::new();
    for place in places {
        let Some(of) = service.ports.get(place) else { continue };
        let all = || service.endpoints.iter().filter(|endpoint| endpoint.port == place);
        let mut endpoints: Vec<&Endpoint> = all().filter(|endpoint| endpoint.ready).collect();
        if endpoints.is_empty() {
            endpoints = all().collect();
        }
        if endpoints.is_empty() {
            undecided.push(format!(
                "Service {named} has no endpoints for port {}/{}: there is nothing that policies could let through",
                of.port, of.protocol
            ));
        }
        let via = Via { namespace: service.namespace.clone(), name: service.name.clone(), port: of.port };
        found.extend(endpoints.into_iter().map(|endpoint| Destination {
            peer: peer(cluster, endpoint),
            protocol: of.protocol,
            port: endpoint.target_port,
            via: Some(via.clone()),
            addresses: service.addresses.clone(),
        }));
    }
    Ok(found)
}

fn not_of(service: &Service, named: String, port: Option<&Port>, protocol: Option<Protocol>) -> Unaskable {
    let wanted = match port {
        None => "at all".to_owned(),
        Some(Port::Number(number)) => number.to_string(),
        Some(Port::Name(name)) => name.clone(),
    };
    let wanted = protocol.map_or(wanted.clone(), |protocol| format!("{wanted}/{protocol}"));
    let ports: Vec<String> = service.ports.iter().map(|of| format!("{}/{}", of.port, of.protocol)).collect();
    let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
    Unaskable::NotOfService(named, wanted, ports)
}

fn peer(cluster: &Cluster, endpoint: &Endpoint) -> Peer {
    let ip = endpoint.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    if let Some(pod) = &endpoint.pod {
        return Peer::pod(Arc::clone(pod), ip);
    }
    match resolve(cluster, &End::Address(ip), "", Role::From) {
        Ok(Found::Address(peer)) => peer,
        _ => Peer::external(ip),
    }
}

/// The connection, where both ends have an address of one family; an unknown one may be of any.
fn connection(source: &Peer, destination: &Destination) -> Option<Asked> {
    let (mut source, mut peer) = (source.clone(), destination.peer.clone());
    if source.ip.is_ipv4() != peer.ip.is_ipv4() {
        let unknown = [&mut source.ip, &mut peer.ip].into_iter().find(|ip| ip.is_unspecified())?;
        *unknown = Ipv6Addr::UNSPECIFIED.into();
    }
    let of_family = |address: &&IpAddr| address.is_ipv4() == peer.ip.is_ipv4();
    let address = destination.addresses.iter().find(of_family);
    let service = destination.via.as_ref().zip(address).map(|(via, ip)| SocketAddr::new(*ip, via.port));
    let flow =
        Flow { source, destination: peer, protocol: destination.protocol, port: destination.port, service };
    Some(Asked { flow, via: destination.via.clone() })
}
