//! What a sidecar is asked to walk. Made by the controller, sent by the hub as deltas.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::name::TargetKey;

/// Everything one source pod walks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Grows with every change of the pod's plan; evidence names the generation it was gathered under.
    pub generation: u64,
    /// The targets, by key.
    pub targets: BTreeMap<TargetKey, PlannedTarget>,
}

/// One target to walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTarget {
    /// What to reach.
    pub kind: TargetKind,
    /// The request to make once connected; `None` stops at the connection. Never set for DNS.
    pub http: Option<HttpRequest>,
    /// Time for one connect.
    pub connect_timeout: Duration,
    /// Time for one walk, all its attempts included.
    pub total_timeout: Duration,
    /// From the start of one walk to the start of the next.
    pub interval: Duration,
    /// Retries of resolve and request; connect has its own series.
    pub retries: Retries,
    /// Addresses that prove the path when the target is silent: chosen by the operator, not isolated by
    /// policy, not host-network, on the target's node.
    pub controls: Vec<Control>,
}

impl PlannedTarget {
    /// Whether anything is said over the connection: a request, or a TLS handshake.
    pub fn speaks(&self) -> bool {
        let tls = match &self.kind {
            TargetKind::Service(service) => service.tls.is_some(),
            TargetKind::Url(url) => {
                url.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
            }
            TargetKind::Dns(_) => false,
        };
        self.http.is_some() || tls
    }
}

/// What kind of thing a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A Kubernetes Service.
    Service(ServiceTarget),
    /// A URL, most often outside the cluster.
    Url(UrlTarget),
    /// A name that must resolve.
    Dns(DnsTarget),
}

/// A Service and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTarget {
    /// The name the application uses, such as `catalog.shop.svc`.
    pub hostname: String,
    /// The Service's port number, not its target port.
    pub port: u16,
    /// Its cluster addresses; empty for a headless Service.
    pub addresses: Vec<IpAddr>,
    /// Ready endpoints, sampled, each with its target port.
    pub endpoints: Vec<SocketAddr>,
    /// Set where a `https` URL names the Service: TLS is spoken with it.
    pub tls: Option<ServiceTls>,
}

/// How TLS is spoken with a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTls {
    /// Trusted roots in PEM; `None` trusts the built-in ones.
    pub roots_pem: Option<String>,
}

/// A URL and where it may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTarget {
    /// `http://` or `https://`, without user information; from a command line also `tcp://host:port` and
    /// `udp://host:port?send=HEX`.
    pub url: String,
    /// Trusted roots in PEM; `None` trusts the built-in ones.
    pub roots_pem: Option<String>,
    /// Addresses that may be dialled after resolution.
    pub scope: DialScope,
}

/// Which addresses a URL target may lead to.
///
/// Loopback, link-local, multicast and metadata addresses are refused whatever this says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialScope {
    /// Allowed networks.
    pub networks: Vec<IpNet>,
    /// The operator's configuration allows this host by name, whatever it resolves to.
    pub any_address: bool,
}

/// A name that must resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsTarget {
    /// The name as the application would write it; the search list applies.
    pub name: String,
    /// The record type asked for.
    pub record: RecordType,
}

/// A DNS record type that holds addresses (RFC 1035, RFC 3596).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "UPPERCASE"))]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
}

/// An HTTP request and when its answer is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `HEAD` or `GET`.
    pub method: HttpMethod,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// A status code below this is an answer; at or above it is [`crate::Reason::HttpStatus`].
    pub status_below: u16,
}

/// A method without side effects (RFC 9110, section 9.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "UPPERCASE"))]
pub enum HttpMethod {
    /// The headers only.
    #[default]
    Head,
    /// Headers and body; the body is read to a bound and thrown away.
    Get,
}

/// How often and how patiently a stage is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait before the second attempt; doubles, with jitter.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
}

/// An address whose answer, of any kind, proves that the path to a node is whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Control {
    /// The pod that stands behind the address, as `namespace/name`, for the explanation.
    pub pod: String,
    /// Where to dial.
    pub address: SocketAddr,
    /// The endpoint addresses whose path it proves (those on its node).
    pub proves: Vec<IpAddr>,
}
