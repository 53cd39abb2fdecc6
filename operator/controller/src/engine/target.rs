//! From a target of a spec to what a pod is asked to walk.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use peerwalk_api::target::TargetKind as SpecKind;
use peerwalk_api::{ConnectivityCheck, Target};
use peerwalk_model::plan::{DialScope, DnsTarget, PlannedTarget, ServiceTarget, TargetKind, UrlTarget};
use peerwalk_model::{PodRef, Protocol};

use super::Engine;
use crate::cluster::flow::Destination;
use crate::cluster::record::ObjectKey;
use crate::cluster::service::{self, PortSelector, ResolvedService};
use crate::sample;

/// Endpoints that one pod walks to, at most.
const ENDPOINTS: usize = 16;

/// A target of a spec, with what the cluster says of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// A Service; `None` when there is none of that name.
    Service(ObjectKey, PortSelector, Option<ResolvedService>),
    /// A URL, and whether anything it could lead to is allowed.
    Url {
        /// Whether the operator's configuration allows any address for it.
        allowed: bool,
        /// The URL's host is a name of the cluster.
        in_cluster: Option<ObjectKey>,
    },
    /// A name.
    Dns,
}

impl Engine {
    /// Looks a target up in the cluster. `None` when the spec gives no kind, which the API server refuses.
    pub(super) fn resolve(&self, namespace: &str, target: &Target) -> Option<Resolved> {
        Some(match target.kind()? {
            SpecKind::Service(service, _) => {
                let key = ObjectKey::new(service.namespace_or(namespace), &service.name);
                let port = match &service.port {
                    IntOrString::Int(number) => PortSelector::Number(u16::try_from(*number).unwrap_or(0)),
                    IntOrString::String(name) => PortSelector::Name(name.clone()),
                };
                let found = service::resolve(&self.index, &key, &port, Protocol::Tcp);
                Resolved::Service(key, port, found)
            }
            SpecKind::Url(url, _) => {
                let host = host_of(url);
                let in_cluster = self.cluster_service(&host, namespace);
                Resolved::Url { allowed: self.url_allowed(&host, in_cluster.as_ref()), in_cluster }
            }
            SpecKind::Dns(_) => Resolved::Dns,
        })
    }

    /// What `pod` is asked to walk for a target; `None` when there is nothing to walk to.
    pub(super) fn planned(
        &self,
        check: &ConnectivityCheck,
        target: &Target,
        resolved: &Resolved,
        pod: &PodRef,
    ) -> Option<PlannedTarget> {
        let spec = &check.spec;
        let kind = match (target.kind()?, resolved) {
            (SpecKind::Service(service, hostname), Resolved::Service(_, _, Some(found))) => {
                TargetKind::Service(ServiceTarget {
                    hostname: hostname
                        .map_or_else(|| service.default_hostname(&pod.namespace), str::to_owned),
                    port: found.port?,
                    addresses: found.addresses.clone(),
                    endpoints: sampled_endpoints(found, pod),
                })
            }
            (SpecKind::Url(url, tls), Resolved::Url { allowed: true, in_cluster }) => {
                let roots_pem = match tls {
                    Some(tls) => {
                        let map = &tls.ca_bundle.config_map;
                        let key = (ObjectKey::new(&pod.namespace, &map.name), map.key.clone());
                        // Without the roots that the check asks for there is nothing to verify by.
                        Some(self.roots.get(&key)?.as_ref().ok()?.clone())
                    }
                    None => None,
                };
                let scope = self.scope(url, in_cluster.as_ref());
                TargetKind::Url(UrlTarget { url: url.to_owned(), roots_pem, scope })
            }
            (SpecKind::Dns(dns), Resolved::Dns) => {
                TargetKind::Dns(DnsTarget { name: dns.name.clone(), record: dns.record_type.into() })
            }
            _ => return None,
        };
        Some(PlannedTarget {
            kind,
            http: target.http_request(),
            connect_timeout: spec.timeouts.connect.get(),
            total_timeout: spec.timeouts.total.get(),
            interval: spec.interval.get(),
            retries: (&spec.retries).into(),
            controls: Vec::new(),
        })
    }

    fn url_allowed(&self, host: &str, in_cluster: Option<&ObjectKey>) -> bool {
        let allow = &self.settings.allow;
        match host.parse::<IpAddr>() {
            Ok(ip) => allow.networks.iter().any(|network| network.contains(&ip)) || self.in_cluster(ip),
            // What a name resolves to is seen by the sidecar alone, which checks every address.
            Err(_) => in_cluster.is_some() || allow.host(host) || !allow.networks.is_empty(),
        }
    }

    fn scope(&self, url: &str, in_cluster: Option<&ObjectKey>) -> DialScope {
        let host = host_of(url);
        let mut networks = self.settings.allow.networks.clone();
        if let Some(service) = in_cluster {
            let addresses = self.index.service(service).map(|s| s.addresses.clone()).unwrap_or_default();
            let endpoints = self.index.slices(service).flat_map(|s| &s.endpoints).flat_map(|e| &e.addresses);
            networks.extend(addresses.iter().chain(endpoints).map(|ip| IpNet::from(*ip)));
        }
        if let Ok(ip) = host.parse::<IpAddr>()
            && self.in_cluster(ip)
        {
            networks.push(IpNet::from(ip));
        }
        networks.sort_unstable();
        networks.dedup();
        DialScope { networks, any_address: self.settings.allow.host(&host) }
    }

    /// A known ClusterIP, or the address of a pod that is an endpoint of something.
    fn in_cluster(&self, ip: IpAddr) -> bool {
        self.index.service_by_ip(ip).is_some() || self.index.pod_by_ip(ip).is_some()
    }

    /// The Service that a host name stands for, seen from a pod of `namespace`.
    fn cluster_service(&self, host: &str, namespace: &str) -> Option<ObjectKey> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let host = host.strip_suffix(&format!(".{}", self.settings.cluster_domain)).unwrap_or(&host);
        let labels: Vec<&str> = host.split('.').collect();
        let key = match labels.as_slice() {
            [name] => ObjectKey::new(namespace, *name),
            [name, namespace] | [name, namespace, "svc"] => ObjectKey::new(*namespace, *name),
            _ => return None,
        };
        self.index.service(&key).map(|_| key)
    }
}

impl Resolved {
    /// Where connections to the target end, after translation; what policies are asked about.
    pub(super) fn destinations(&self) -> BTreeSet<Destination> {
        match self {
            Self::Service(_, _, Some(found)) => {
                found.endpoints.iter().filter(|e| e.ready).map(|e| Destination::endpoint(e.address)).collect()
            }
            Self::Service(..) | Self::Url { .. } | Self::Dns => BTreeSet::new(),
        }
    }

    /// The Service that the target stands for.
    pub(super) fn service(&self) -> Option<&ObjectKey> {
        match self {
            Self::Service(key, ..) => Some(key),
            Self::Url { in_cluster, .. } => in_cluster.as_ref(),
            Self::Dns => None,
        }
    }
}

/// Ready endpoints, at most [`ENDPOINTS`]; which of them depends on the pod, so that all of them are tried
/// by somebody.
fn sampled_endpoints(found: &ResolvedService, pod: &PodRef) -> Vec<SocketAddr> {
    let mut ready: Vec<_> = found
        .endpoints
        .iter()
        .filter(|e| e.ready)
        .map(|e| (sample::weight(&pod.uid, &e.address.to_string()), e.address))
        .collect();
    ready.sort_unstable();
    ready.truncate(ENDPOINTS);
    let mut chosen: Vec<_> = ready.into_iter().map(|(_, address)| address).collect();
    chosen.sort_unstable();
    chosen
}

/// The host of a URL that the API server has accepted (RFC 3986, section 3.2.2), without brackets.
pub(super) fn host_of(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default().to_owned(),
        None => authority.split(':').next().unwrap_or_default().to_owned(),
    }
}
