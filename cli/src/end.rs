//! `--from` and `--to`: the ends of connections, as people name them.

mod near;
mod resolve;

use std::net::IpAddr;

use peerwalk_model::Protocol;
use thiserror::Error;

pub(crate) use near::{near, near_names};
pub use resolve::{Found, NotFound, Role, resolve};

/// One end, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// `web`, `shop/web`, `deploy/shop/web`.
    Object {
        /// The kind, where one was named.
        kind: Option<String>,
        /// The namespace, where one was named.
        namespace: Option<String>,
        /// The name.
        name: String,
    },
    /// An address.
    Address(IpAddr),
    /// A name of DNS.
    Host(String),
}

/// Where to: an end, and a port of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct To {
    /// The end.
    pub end: End,
    /// The port; none stands for those that it is known to have.
    pub port: Option<Port>,
    /// The protocol; TCP by default, or the port's own.
    pub protocol: Option<Protocol>,
}

/// A port, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// Its number.
    Number(u16),
    /// Its name: of a Service's port, or a container's.
    Name(String),
}

/// What cannot be understood of an end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Nothing.
    #[error("is empty; name a workload, pod or Service as shop/web, or an address")]
    Empty,
    /// More parts than an object has.
    #[error("{0:?} has too many parts; write NAMESPACE/NAME or KIND/NAMESPACE/NAME")]
    Parts(String),
    /// Not a kind.
    #[error(
        "{0:?} is no kind that runs or leads to pods; use deployment, statefulset, daemonset, pod, service or another"
    )]
    Kind(String),
    /// Not a port.
    #[error("{0:?} is no port; use a number from 1 to 65535, or the name of one")]
    Port(String),
    /// An URL of a scheme that no port is known of.
    #[error("no port is known for {0}://; add it, as in {0}://host:1234")]
    Scheme(String),
    /// An URL without a host.
    #[error("the URL names no host; write it as https://api.shop.svc:8443")]
    NoHost,
}

/// Kinds by the names that people give them.
const KINDS: [(&str, &[&str]); 10] = [
    ("Deployment", &["deployment", "deployments", "deploy"]),
    ("StatefulSet", &["statefulset", "statefulsets", "sts"]),
    ("DaemonSet", &["daemonset", "daemonsets", "ds"]),
    ("ReplicaSet", &["replicaset", "replicasets", "rs"]),
    ("ReplicationController", &["replicationcontroller", "replicationcontrollers", "rc"]),
    ("Job", &["job", "jobs"]),
    ("CronJob", &["cronjob", "cronjobs", "cj"]),
    ("Pod", &["pod", "pods", "po"]),
    ("Service", &["service", "services", "svc"]),
    ("Node", &["node", "nodes", "no"]),
];

/// Ports of what URLs name.
const SCHEMES: [(&str, u16); 14] = [
    ("http", 80),
    ("ws", 80),
    ("https", 443),
    ("wss", 443),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("redis", 6379),
    ("rediss", 6379),
    ("mongodb", 27017),
    ("amqp", 5672),
    ("amqps", 5671),
    ("ldap", 389),
    ("ldaps", 636),
];

fn kind(text: &str) -> Option<&'static str> {
    let wanted = text.to_ascii_lowercase();
    KINDS.iter().find(|(_, names)| names.contains(&wanted.as_str())).map(|(kind, _)| *kind)
}

/// Reads where from: an end without a port.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn from(text: &str) -> Result<End, Malformed> {
    if text.contains("://") {
        return to(text).map(|to| to.end);
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse() {
        return Ok(End::Address(address));
    }
    object(text)
}

/// Reads where to: `shop/web`, `shop/web:80`, `ledger/postgres:5432/TCP`, `10.0.0.1:443`, `[fd00::1]:53/UDP`,
/// `https://api.example.com/v1`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn to(text: &str) -> Result<To, Malformed> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return url(scheme, rest);
    }
    let (text, protocol) = match text.rsplit_once('/') {
        Some((before, last)) if before.contains(':') => match protocol(last) {
            Some(protocol) => (before, Some(protocol)),
            None => (text, None),
        },
        _ => (text, None),
    };
    let (end, port) = end_and_port(text)?;
    Ok(To { end, port, protocol })
}

fn end_and_port(text: &str) -> Result<(End, Option<Port>), Malformed> {
    if let Ok(address) = text.trim_matches(['[', ']']).parse() {
        return Ok((End::Address(address), None));
    }
    let Some((before, after)) = text.rsplit_once(':') else {
        return Ok((object(text)?, None));
    };
    let port = port(after)?;
    match before.trim_matches(['[', ']']).parse() {
        Ok(address) => Ok((End::Address(address), Some(port))),
        Err(_) => Ok((object(before)?, Some(port))),
    }
}

fn object(text: &str) -> Result<End, Malformed> {
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Malformed::Empty);
    }
    let named = |kind: Option<&str>, namespace: Option<&str>, name: &str| End::Object {
        kind: kind.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    match parts.as_slice() {
        [host] if host.contains('.') => Ok(End::Host((*host).to_owned())),
        [name] => Ok(named(None, None, name)),
        ["node", name] => Ok(named(Some("Node"), None, name)),
        [namespace, name] => Ok(named(None, Some(namespace), name)),
        [of, namespace, name] => match kind(of) {
            Some(kind) => Ok(named(Some(kind), Some(namespace), name)),
            None => Err(Malformed::Kind((*of).to_owned())),
        },
        _ => Err(Malformed::Parts(text.to_owned())),
    }
}

fn port(text: &str) -> Result<Port, Malformed> {
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(Port::Number(number)),
        _ if text.bytes().any(|byte| byte.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            Ok(Port::Name(text.to_owned()))
        }
        _ => Err(Malformed::Port(text.to_owned())),
    }
}

fn protocol(text: &str) -> Option<Protocol> {
    match text.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

fn url(scheme: &str, rest: &str) -> Result<To, Malformed> {
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if authority.is_empty() {
        return Err(Malformed::NoHost);
    }
    let named = protocol(&scheme);
    let (end, port) = match end_and_port(authority)? {
        // A name of one part is a Service's.
        (End::Object { name, .. }, port) => (End::Host(name), port),
        other => other,
    };
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, port)| Port::Number(*port));
    let port = port.or(known).ok_or(Malformed::Scheme(scheme))?;
    Ok(To { end, port: Some(port), protocol: Some(named.unwrap_or_default()) })
}

#[cfg(test)]
mod tests;
