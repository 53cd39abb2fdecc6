//! Connections to Services: to what stands behind them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Endpoint, Service};
use peerwalk_model::Protocol;
use peerwalk_netpol::{Peer, PeerKind};

use super::direct::{no_port, number};
use super::{Destination, Unaskable, Via};
use crate::end::{End, Found, Port, Role, resolve};

/// Where a connection to a Service begins.
pub(super) struct Entry<'a> {
    service: &'a Service,
    addresses: Vec<IpAddr>,
    /// The place of the port that a node's own leads to, and the node's own.
    node_port: Option<(usize, u16)>,
    through_node: bool,
}

impl<'a> Entry<'a> {
    /// At the Service's own addresses.
    pub fn own(service: &'a Service) -> Self {
        Self { service, addresses: service.addresses.clone(), node_port: None, through_node: false }
    }

    /// At others, which lead there too.
    pub fn beside(service: &'a Service, addresses: &[IpAddr]) -> Self {
        Self { service, addresses: addresses.to_vec(), node_port: None, through_node: true }
    }

    fn named(&self) -> String {
        format!("{}/{}", self.service.namespace, self.service.name)
    }

    fn destination(&self, cluster: &Cluster, endpoint: &Endpoint, ports: Ports) -> Destination {
        Destination {
            peer: peer(cluster, endpoint),
            protocol: ports.protocol,
            port: ports.of_pod,
            via: Some(Via {
                namespace: self.service.namespace.clone(),
                name: self.service.name.clone(),
                port: ports.of_service,
                through_node: self.through_node,
            }),
            before: (self.addresses.clone(), self.node_port.map_or(ports.of_service, |(_, own)| own)),
        }
    }
}

/// The ports of one connection, before and after it is translated.
#[derive(Clone, Copy)]
struct Ports {
    of_service: u16,
    of_pod: u16,
    protocol: Protocol,
}

/// The Service that a port of a node leads to: one of the ports that every node opens for it.
pub(super) fn node_port<'a>(
    cluster: &'a Cluster,
    to: &Found<'_>,
    port: Option<&Port>,
    protocol: Option<Protocol>,
) -> Option<Entry<'a>> {
    let addresses = match to {
        Found::Node(node) => node.addresses.clone(),
        Found::Address(peer) => match &peer.kind {
            PeerKind::Node(_) => vec![peer.ip],
            PeerKind::Pod(pod) if pod.host_network => vec![peer.ip],
            PeerKind::Pod(_) | PeerKind::External => return None,
        },
        Found::Pods(..) | Found::Service(..) | Found::Unknown(_) => return None,
    };
    let wanted = number(port)?;
    cluster.services.iter().find_map(|service| {
        let place = service
            .ports
            .iter()
            .position(|of| of.node_port == Some(wanted) && of.protocol == protocol.unwrap_or_default())?;
        let node_port = Some((place, wanted));
        Some(Entry { service, addresses: addresses.clone(), node_port, through_node: true })
    })
}

/// What stands behind a Service: what is ready of it, or where nothing is, all of it.
pub(super) fn endpoints(
    cluster: &Cluster,
    entry: &Entry<'_>,
    port: Option<&Port>,
    protocol: Option<Protocol>,
    undecided: &mut Vec<String>,
) -> Result<Vec<Destination>, Unaskable> {
    let service = entry.service;
    if let (true, Some(Port::Number(number))) = (service.headless, port) {
        return Ok(at_pods(cluster, entry, *number, protocol, undecided));
    }
    if service.headless && service.ports.is_empty() {
        return Err(no_port(&format!("svc/{}", entry.named()), port));
    }
    let wanted = |place: &usize| {
        service.ports.get(*place).is_some_and(|of| {
            protocol.is_none_or(|protocol| of.protocol == protocol)
                && match (entry.node_port, port) {
                    (Some((of_node, _)), _) => of_node == *place,
                    (None, None) => true,
                    (None, Some(Port::Number(number))) => of.port == *number,
                    (None, Some(Port::Name(name))) => of.name == *name,
                }
        })
    };
    let places: Vec<usize> = (0..service.ports.len()).filter(wanted).collect();
    if places.is_empty() {
        return Err(not_of(service, entry.named(), port, protocol));
    }
    let mut found = Vec::new();
    for place in places {
        let Some(of) = service.ports.get(place) else { continue };
        let endpoints = ready(|endpoint| endpoint.port == place, service);
        if endpoints.is_empty() {
            undecided.push(format!(
                "Service {} has no endpoints for port {}/{}: there is nothing that policies could let through",
                entry.named(),
                of.port,
                of.protocol
            ));
        }
        found.extend(endpoints.into_iter().map(|endpoint| {
            let of_pod = endpoint.target_port;
            // Nobody translates the port: who finds a headless Service in DNS finds the pods' own.
            let of_service = if service.headless { of_pod } else { of.port };
            entry.destination(cluster, endpoint, Ports { of_service, of_pod, protocol: of.protocol })
        }));
    }
    Ok(found)
}

/// A headless Service is a name of its pods: whatever port is connected to is theirs.
fn at_pods(
    cluster: &Cluster,
    entry: &Entry<'_>,
    number: u16,
    protocol: Option<Protocol>,
    undecided: &mut Vec<String>,
) -> Vec<Destination> {
    let service = entry.service;
    let listens = |endpoint: &&Endpoint| endpoint.target_port == number;
    let known = service.endpoints.iter().find(listens).and_then(|endpoint| service.ports.get(endpoint.port));
    let protocol = protocol.or(known.map(|of| of.protocol)).unwrap_or_default();
    let mut once: Vec<&Endpoint> = Vec::new();
    for endpoint in ready(|_| true, service) {
        let same = |known: &&Endpoint| match (&known.pod, &endpoint.pod) {
            (Some(one), Some(other)) => known.ip == endpoint.ip && one.is_same(other),
            _ => known.ip == endpoint.ip,
        };
        if !once.iter().any(same) {
            once.push(endpoint);
        }
    }
    if once.is_empty() {
        undecided.push(format!(
            "Service {} has no endpoints: there is nothing that policies could let through",
            entry.named()
        ));
    }
    let at = |endpoint: &&Endpoint| {
        entry.destination(cluster, endpoint, Ports { of_service: number, of_pod: number, protocol })
    };
    once.iter().map(at).collect()
}

fn ready(wanted: impl Fn(&Endpoint) -> bool, service: &Service) -> Vec<&Endpoint> {
    let all = || service.endpoints.iter().filter(|endpoint| wanted(endpoint));
    let ready: Vec<&Endpoint> = all().filter(|endpoint| endpoint.ready).collect();
    if ready.is_empty() { all().collect() } else { ready }
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
