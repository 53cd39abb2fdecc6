//! A Service resolved: its addresses, and the endpoints behind one of its ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use peerwalk_model::Protocol;

use super::index::Index;
use super::record::{ObjectKey, ServicePort};

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

/// Resolves a Service; `None` when there is none of that name.
pub fn resolve(
    index: &Index,
    service: &ObjectKey,
    port: &PortSelector,
    protocol: Protocol,
) -> Option<ResolvedService> {
    let record = index.service(service)?;
    let port = record.ports.iter().find(|p| p.protocol == protocol && port.selects(p));
    Some(ResolvedService {
        addresses: record.addresses.clone(),
        headless: record.headless,
        internal_local: record.internal_local,
        port: port.map(|p| p.number),
        endpoints: port.map(|p| endpoints(index, service, p)).unwrap_or_default(),
    })
}

fn endpoints(index: &Index, service: &ObjectKey, wanted: &ServicePort) -> Vec<Endpoint> {
    let mut found = BTreeSet::new();
    for slice in index.slices(service) {
        let Some(port) = slice.ports.iter().find(|p| p.name == wanted.name && p.protocol == wanted.protocol)
        else {
            continue;
        };
        for endpoint in &slice.endpoints {
            found.extend(endpoint.addresses.iter().map(|ip| Endpoint {
                address: SocketAddr::new(*ip, port.number),
                ready: endpoint.ready,
                node: endpoint.node.clone(),
                pod: endpoint.pod.as_ref().map(|name| ObjectKey::new(&service.namespace, name)),
            }));
        }
    }
    found.into_iter().collect()
}
