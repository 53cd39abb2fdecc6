//! From a target of a spec to what a pod is asked to walk.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use peerwalk_api::target::{TargetKind as SpecKind, TlsOptions};
use peerwalk_api::{ConnectivityCheck, Target};
use peerwalk_model::plan::{DnsTarget, PlannedTarget, ServiceTarget, ServiceTls, TargetKind, UrlTarget};
use peerwalk_model::{PodRef, Protocol};

use super::Engine;
use super::url::Authority;
use crate::cluster::flow::Destination;
use crate::cluster::record::ObjectKey;
use crate::cluster::service::{self, Endpoint, PortSelector, ResolvedService};
use crate::sample;

/// Endpoints that one pod walks to, at most.
const ENDPOINTS: usize = 16;

/// A target of a spec, with what the cluster says of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// A Service, also where a URL names it; `None` when there is none of that name.
    Service(ObjectKey, PortSelector, Option<ResolvedService>),
    /// A URL that is no Service, and whether anything it could lead to is allowed.
    Url {
        /// Whether the operator's configuration allows any address for it.
        allowed: bool,
        /// The headless Service that the URL's host stands for.
        in_cluster: Option<ObjectKey>,
    },
    /// A name.
    Dns {
        /// The Service that it is the name of, whether there is one or not.
        named: Option<ObjectKey>,
    },
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
            SpecKind::Url(url, _) => self.resolve_url(url, namespace),
            SpecKind::Dns(dns) => Resolved::Dns { named: self.named_service(&dns.name, namespace) },
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
                let hostname =
                    hostname.map_or_else(|| service.default_hostname(&pod.namespace), str::to_owned);
                self.service_kind(hostname, found, pod, None)?
            }
            (SpecKind::Url(url, tls), resolved) => {
                // Without the roots that the check asks for there is nothing to verify by.
                let roots_pem = match tls {
                    Some(tls) => Some(self.roots_pem(tls, pod)?),
                    None => None,
                };
                self.url_kind(url, roots_pem, resolved, pod)?
            }
            (SpecKind::Dns(dns), Resolved::Dns { .. }) => {
                TargetKind::Dns(DnsTarget { name: dns.name.clone(), record: dns.record_type.into() })
            }
            _ => return None,
        };
        Some(PlannedTarget {
            kind,
            http: target.http_request(),
            connect_timeout: spec.connect_timeout(),
            total_timeout: spec.total_timeout(),
            interval: spec.interval.get(),
            retries: (&spec.retries).into(),
            controls: Vec::new(),
        })
    }

    /// A URL of a Service is that Service; any other is dialled within its scope.
    fn url_kind(
        &self,
        url: &str,
        roots_pem: Option<String>,
        resolved: &Resolved,
        pod: &PodRef,
    ) -> Option<TargetKind> {
        match resolved {
            Resolved::Service(_, _, Some(found)) => {
                let at = Authority::of(url);
                self.service_kind(at.host, found, pod, at.https.then_some(ServiceTls { roots_pem }))
            }
            Resolved::Url { allowed: true, in_cluster } => {
                let scope = self.scope_of_url(url, in_cluster.as_ref());
                Some(TargetKind::Url(UrlTarget { url: url.to_owned(), roots_pem, scope }))
            }
            _ => None,
        }
    }

    /// `None` when there is nothing of the Service to walk to.
    fn service_kind(
        &self,
        hostname: String,
        found: &ResolvedService,
        pod: &PodRef,
        tls: Option<ServiceTls>,
    ) -> Option<TargetKind> {
        let port = found.port.filter(|_| !found.external)?;
        let may_dial =
            |endpoint: &&Endpoint| self.is_of_cluster(endpoint.address.ip(), endpoint.pod.as_ref());
        let endpoints = sampled_endpoints(found.endpoints.iter().filter(may_dial), pod);
        let addresses = found.addresses.clone();
        Some(TargetKind::Service(ServiceTarget { hostname, port, addresses, endpoints, tls }))
    }

    /// Whether an endpoint may be dialled: a pod has its address, or had it until a moment ago, or the operator's
    /// configuration allows it. Whoever may write EndpointSlices can put any address into one, and must not make
    /// sidecars go there.
    pub(super) fn is_of_cluster(&self, ip: IpAddr, pod: Option<&ObjectKey>) -> bool {
        let is_of_pod = |key: &ObjectKey| {
            let holds = self.index.pod(key).is_some_and(|pod| pod.ips.contains(&ip));
            holds || self.index.is_of_pods(ip)
        };
        self.index.pod_by_ip(ip).is_some()
            || pod.is_some_and(is_of_pod)
            || self.settings.allow.networks.iter().any(|network| network.contains(&ip))
    }

    /// The roots that a check asks for, as far as they could be read.
    fn roots_pem(&self, tls: &TlsOptions, pod: &PodRef) -> Option<String> {
        let map = &tls.ca_bundle.config_map;
        let key = (ObjectKey::new(&pod.namespace, &map.name), map.key.clone());
        self.roots.get(&key)?.as_ref().ok().cloned()
    }
}

impl Resolved {
    /// Where connections to the target end, after translation; what policies are asked about.
    pub(super) fn destinations(&self) -> BTreeSet<Destination> {
        match self {
            Self::Service(_, _, Some(found)) => {
                let ready = found.endpoints.iter().filter(|e| e.ready);
                ready.map(|e| Destination::endpoint(e.address, found.dialled(e.address.is_ipv4()))).collect()
            }
            Self::Service(..) | Self::Url { .. } | Self::Dns { .. } => BTreeSet::new(),
        }
    }

    /// Whether connections go another way than before, and the plan, which names a Service's endpoints, does
    /// not tell of it by itself.
    pub(super) fn leads_elsewhere(&self, now: &Self) -> bool {
        let (Self::Service(_, _, Some(before)), Self::Service(_, _, Some(after))) = (self, now) else {
            return false;
        };
        before.internal_local != after.internal_local
    }

    /// The Service and its port that are asked for, and whether there is such a port.
    pub(super) fn port(&self) -> Option<(&ObjectKey, &PortSelector, bool)> {
        let Self::Service(key, port, found) = self else { return None };
        Some((key, port, found.as_ref().is_some_and(|found| found.port.is_some())))
    }

    /// The Service that the target stands for, or is named after.
    pub(super) fn service(&self) -> Option<&ObjectKey> {
        match self {
            Self::Service(key, ..) => Some(key),
            Self::Url { in_cluster, .. } => in_cluster.as_ref(),
            Self::Dns { named } => named.as_ref(),
        }
    }
}

/// Ready endpoints, at most [`ENDPOINTS`]; which of them depends on the pod, so that all of them are tried
/// by somebody.
fn sampled_endpoints<'a>(endpoints: impl Iterator<Item = &'a Endpoint>, pod: &PodRef) -> Vec<SocketAddr> {
    let mut ready: Vec<_> = endpoints
        .filter(|e| e.ready)
        .map(|e| (sample::weight(&pod.uid, &e.address.to_string()), e.address))
        .collect();
    ready.sort_unstable();
    ready.truncate(ENDPOINTS);
    let mut chosen: Vec<_> = ready.into_iter().map(|(_, address)| address).collect();
    chosen.sort_unstable();
    chosen
}
