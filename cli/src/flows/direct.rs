//! Connections to pods, nodes and addresses themselves.

use std::sync::Arc;

use peerwalk_model::Protocol;
use peerwalk_netpol::{Peer, Pod};

use super::{Destination, Unaskable, no_address, peers};
use crate::end::{Found, Port};

/// Each at the port that was named, or pods at every port that they give a name.
pub(super) fn destinations(
    to: &Found<'_>,
    port: Option<&Port>,
    protocol: Option<Protocol>,
    undecided: &mut Vec<String>,
) -> Result<Vec<Destination>, Unaskable> {
    let mut found = Vec::new();
    let mut add = |peer: Peer, port, protocol| {
        found.push(Destination { peer, protocol, port, via: None, before: (Vec::new(), port) });
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
            if node.addresses.is_empty() {
                undecided.push(no_address(&node.name));
            }
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
        Found::Service(..) | Found::Unknown(_) => {}
    }
    Ok(found)
}

pub(super) fn no_port(named: &str, port: Option<&Port>) -> Unaskable {
    if let Some(Port::Name(name)) = port {
        return Unaskable::NoNamedPort(named.to_owned(), name.clone());
    }
    let bare = named.split(' ').next().unwrap_or_default();
    let bare = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
    Unaskable::NoPort(named.to_owned(), bare)
}

pub(super) fn number(port: Option<&Port>) -> Option<u16> {
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
