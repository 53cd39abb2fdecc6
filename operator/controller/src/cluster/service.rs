//! A Service resolved: its addresses, and the endpoints behind one of its ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use peerwalk_model::Protocol;

use super::index::Index;
use super::record::{EndpointSlice, ObjectKey, ServicePort};

/// The port of a check: by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortSelector {
    /// `port: 80`.
    Number(u16),
    /// `port: http`.
    Name(String),
}

impl std::fmt::Display for PortSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl PortSelector {
    fn selects(&self, port: &ServicePort) -> bool {
        match self {
            Self::Number(number) => port.number == *number,
            Self::Name(name) => port.name == *name,
        }
    }
}

/// A Service and the endpoints of one of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedService {
    /// Its cluster addresses; empty when headless.
    pub addresses: Vec<IpAddr>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `type: ExternalName`: an alias in DNS, with neither address nor endpoints.
    pub external: bool,
    /// The port's number; `None` when the Service has no such port.
    pub port: Option<u16>,
    /// The endpoints, ready or not, each once, in order of address.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint of one port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address and target port.
    pub address: SocketAddr,
    /// Whether it takes new connections.
    pub ready: bool,
    /// The node it is on.
    pub node: Option<String>,
    /// The pod behind it.
    pub pod: Option<ObjectKey>,
}

impl ResolvedService {
    /// Its address and port in a family, before they are translated; `None` for a headless Service.
    pub fn dialled(&self, v4: bool) -> Option<SocketAddr> {
        let address = self.addresses.iter().find(|ip| ip.is_ipv4() == v4)?;
        Some(SocketAddr::new(*address, self.port?))
    }
}

/// Resolves a Service; `None` when there is none of that name.
pub fn resolve(
    index: &Index,
    service: &ObjectKey,
    port: &PortSelector,
    protocol: Protocol,
) -> Option<ResolvedService> {
    let record = index.service(service)?;
    let listed = record.ports.iter().find(|p| p.protocol == protocol && port.selects(p));
    let (port, endpoints) = match (listed, port) {
        (Some(listed), _) => (Some(listed.number), endpoints(index, service, listed)),
        // Without ports a headless Service is a name for its pods, at any port of theirs.
        (None, PortSelector::Number(number)) if record.headless && record.ports.is_empty() => {
            (Some(*number), endpoints_at(index, service, *number))
        }
        (None, _) => (None, Vec::new()),
    };
    Some(ResolvedService {
        addresses: record.addresses.clone(),
        headless: record.headless,
        internal_local: record.internal_local,
        external: record.external_name.is_some(),
        port,
        endpoints,
    })
}

/// What the name of a Service may lead to: its own addresses, and those of its endpoints, ready or not, at whatever
/// port.
pub fn members(index: &Index, service: &ObjectKey) -> BTreeSet<IpAddr> {
    let own = index.service(service).into_iter().flat_map(|record| record.addresses.clone());
    let slices = index.slices(service).flat_map(|slice| &slice.endpoints);
    own.chain(slices.flat_map(|endpoint| endpoint.addresses.iter().copied())).collect()
}

/// The endpoints behind an address and port; `None` when the address is not a Service's own. Policies apply to
/// them, as data planes translate first.
pub fn behind(index: &Index, address: SocketAddr, protocol: Protocol) -> Option<Vec<Endpoint>> {
    let service = index.service_by_ip(address.ip())?;
    let found = resolve(index, service, &PortSelector::Number(address.port()), protocol);
    Some(found.map(|found| found.endpoints).unwrap_or_default())
}

fn endpoints(index: &Index, service: &ObjectKey, wanted: &ServicePort) -> Vec<Endpoint> {
    let mut found = BTreeSet::new();
    for slice in index.slices(service) {
        let port = slice.ports.iter().find(|p| p.name == wanted.name && p.protocol == wanted.protocol);
        found.extend(port.into_iter().flat_map(|port| of_slice(service, slice, port.number)));
    }
    found.into_iter().collect()
}

fn endpoints_at(index: &Index, service: &ObjectKey, port: u16) -> Vec<Endpoint> {
    let found: BTreeSet<_> = index.slices(service).flat_map(|slice| of_slice(service, slice, port)).collect();
    found.into_iter().collect()
}

fn of_slice(service: &ObjectKey, slice: &EndpointSlice, port: u16) -> impl Iterator<Item = Endpoint> {
    slice.endpoints.iter().flat_map(move |endpoint| {
        endpoint.addresses.iter().map(move |ip| Endpoint {
            address: SocketAddr::new(*ip, port),
            ready: endpoint.ready,
            node: endpoint.node.clone(),
            pod: endpoint.pod.as_ref().map(|name| ObjectKey::new(&service.namespace, name)),
        })
    })
}
