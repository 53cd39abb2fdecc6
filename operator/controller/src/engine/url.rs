//! What a URL leads to: a Service of the cluster, one of its pods, or the world outside.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use peerwalk_model::Protocol;
use peerwalk_model::plan::DialScope;

use super::Engine;
use super::target::Resolved;
use crate::cluster::record::ObjectKey;
use crate::cluster::service::{self, PortSelector};
use crate::settings::Allow;

/// Where a URL leads, as far as it says so itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub https: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port, the scheme's own when the URL names none.
    pub port: u16,
}

impl Authority {
    /// Reads a URL that the API server has accepted (RFC 3986, section 3.2).
    pub fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let https = scheme.eq_ignore_ascii_case("https");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((v6, port)) => (v6, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let default = if https { 443 } else { 80 };
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(default);
        Self { https, host: host.to_owned(), port }
    }
}

impl Engine {
    /// A URL whose host is a Service of the cluster is that Service: connections to it are translated, and
    /// policies apply to its endpoints. A headless one is not translated, and its name leads to pods.
    pub(super) fn resolve_url(&self, url: &str, namespace: &str) -> Resolved {
        let at = Authority::of(url);
        let named = self.named_service(&at.host, namespace);
        let service = named.as_ref().and_then(|key| self.index.service(key));
        match named {
            Some(key) if service.is_none_or(|found| !found.headless && found.external_name.is_none()) => {
                let port = PortSelector::Number(at.port);
                let found = service::resolve(&self.index, &key, &port, Protocol::Tcp);
                Resolved::Service(key, port, found)
            }
            named => {
                let in_cluster = named.filter(|_| service.is_some_and(|s| s.external_name.is_none()));
                let allowed = self.url_allowed(&at.host, in_cluster.as_ref());
                Resolved::Url { allowed, in_cluster }
            }
        }
    }

    fn url_allowed(&self, host: &str, in_cluster: Option<&ObjectKey>) -> bool {
        let allow = &self.settings.allow;
        match host.parse::<IpAddr>() {
            Ok(ip) => {
                allow.networks.iter().any(|network| network.contains(&ip))
                    || self.index.pod_by_ip(ip).is_some()
            }
            // What a name resolves to is seen by the sidecar alone, which checks every address.
            Err(_) => in_cluster.is_some() || allow.host(host) || !allow.networks.is_empty(),
        }
    }

    /// Where a URL that is no Service may lead.
    pub(super) fn scope_of_url(&self, url: &str, in_cluster: Option<&ObjectKey>) -> DialScope {
        let host = Authority::of(url).host;
        let literal = host.parse::<IpAddr>().ok().filter(|ip| self.index.pod_by_ip(*ip).is_some());
        let endpoints = in_cluster.into_iter().flat_map(|service| {
            let endpoints = self.index.slices(service).flat_map(|slice| &slice.endpoints);
            endpoints.flat_map(move |endpoint| {
                let pod = endpoint.pod.as_ref().map(|name| ObjectKey::new(&service.namespace, name));
                let may_dial = move |ip: &IpAddr| self.is_of_cluster(*ip, pod.as_ref());
                endpoint.addresses.iter().copied().filter(may_dial)
            })
        });
        self.scope(&host, endpoints.chain(literal).collect())
    }

    /// These addresses of the cluster, and what the operator's configuration allows. A name of the cluster
    /// leads into it, so its own addresses come first where not all fit.
    fn scope(&self, host: &str, inside: BTreeSet<IpAddr>) -> DialScope {
        let mut networks: Vec<IpNet> = inside.into_iter().map(IpNet::from).collect();
        networks.extend(&self.settings.allow.networks);
        networks.truncate(Allow::MOST);
        networks.sort_unstable();
        networks.dedup();
        DialScope { networks, any_address: self.settings.allow.host(host) }
    }

    /// The Service that a host stands for, seen from a pod of `namespace`: by its address, or by its name.
    ///
    /// A short name may be of anything unless there is such a Service. One that ends in `.svc` is a Service's,
    /// whether there is one or not.
    pub(super) fn named_service(&self, host: &str, namespace: &str) -> Option<ObjectKey> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.index.service_by_ip(ip).cloned();
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let whole = host.strip_suffix(&format!(".{}", self.settings.cluster_domain));
        let labels: Vec<&str> = whole.unwrap_or(&host).split('.').collect();
        let (key, certain) = match labels.as_slice() {
            [name, namespace, "svc"] => (ObjectKey::new(*namespace, *name), true),
            [name] if whole.is_none() => (ObjectKey::new(namespace, *name), false),
            [name, namespace] if whole.is_none() => (ObjectKey::new(*namespace, *name), false),
            _ => return None,
        };
        (certain || self.index.service(&key).is_some()).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_they_lead() {
        for (url, https, host, port) in [
            ("http://catalog.shop.svc/", false, "catalog.shop.svc", 80),
            ("HTTPS://api.example.com?x=1", true, "api.example.com", 443),
            ("http://10.96.0.7:8080/health", false, "10.96.0.7", 8080),
            ("https://[fd00::7]:8443/", true, "fd00::7", 8443),
            ("http://[fd00::7]", false, "fd00::7", 80),
            ("http://a:/", false, "a", 80),
        ] {
            assert_eq!(Authority::of(url), Authority { https, host: host.into(), port }, "{url}");
        }
    }
}
