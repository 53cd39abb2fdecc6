//! What a check tries: Services, URLs and names.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use peerwalk_model::plan;
use peerwalk_model::verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::{dns_name, rules};

#[cfg(test)]
mod tests;

/// The names of Services, namespaces and targets (RFC 1123 labels).
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

// A rule would say it in words. Kubernetes 1.33 takes the text of an int-or-string for 3 MiB, whatever its
// maxLength, and then refuses the definition: any rule on 64 of them costs twice what one may.
/// The names of ports: labels with a letter, so that a number in quotes is not taken for a name.
const PORT_NAME: &str = "^([0-9][-0-9]*)?[a-z]([-a-z0-9]*[a-z0-9])?$";

/// One thing to try: exactly one of `service`, `url` and `dns`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "[has(self.service), has(self.url), has(self.dns)].filter(given, given).size() == 1",
        "exactly one of service, url and dns must be given: add the missing one, or make a target of each",
    ),
    (
        "!has(self.hostname) || has(self.service)",
        "hostname goes with service only: remove hostname, or name the service",
    ),
    (
        "!has(self.http) || !has(self.dns)",
        "http goes with service and url only: remove http, or make a second target for the request",
    ),
    (
        "!has(self.http) || !has(self.http.path) || !has(self.url)",
        "http.path goes with service only: remove it and write the path into url",
    ),
    (
        "!has(self.tls) || (has(self.url) && self.url.startsWith('https://'))",
        "tls goes with a url of scheme https only: remove tls, or correct the url",
    ),
    (
        "self.expect != 'Denied' || !has(self.dns)",
        "expect: Denied goes with service and url only, as a lookup makes no connection: remove expect, or \
         use service or url",
    ),
])))]
pub struct Target {
    /// The target's name, used in the status, in events and in metrics.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub name: String,

    /// A Service: its own address and its endpoints are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceTarget>,

    /// With `service`: the name the application uses. The default is `<name>.<namespace>.svc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 254),
        extend("x-kubernetes-validations" = dns_name("hostname"))
    )]
    pub hostname: Option<String>,

    /// An HTTP address, most often outside the cluster; such addresses must be allowed by the operator's
    /// configuration. The request is HEAD unless `http` says otherwise. Redirects are not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), extend("x-kubernetes-validations" = rules(&[
        (
            "self.matches('^https?://[^/?#]') && isURL(self) && url(self).getHostname() != ''",
            "url must begin with http:// or https:// and name a host: write it like \
             https://api.example.com/healthz",
        ),
        (
            "!self.matches('^[^/]*//[^/?#]*@')",
            "url must not carry user information, as it would be readable here: remove everything up to '@'",
        ),
        ("!self.contains('#')", "url must not have a fragment, as it is never sent: remove it from '#' on"),
        (
            "self.matches('^[!-~]*$')",
            "url must hold printable ASCII without blanks: percent-encode what is special",
        ),
        (
            "!self.matches('^[^/]*//[^/?#]*:[^]@/?#]*([/?#]|$)') || \
             self.matches('^[^/]*//[^/?#]*:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|\
             655[0-2][0-9]|6553[0-5])([/?#]|$)')",
            "url must name a port from 1 to 65535, or none: correct or remove what follows ':' after the host",
        ),
    ])))]
    pub url: Option<String>,

    /// A name that must resolve; nothing is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsTarget>,

    /// The HTTP request to make. Without it a Service is connected to and nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,

    /// With an https `url`: whom to trust. Without it the built-in roots are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,

    /// What is expected.
    #[serde(default)]
    pub expect: Expectation,
}

/// A Service and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTarget {
    /// The Service's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub name: String,

    /// The Service's namespace; the default is the check's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub namespace: Option<String>,

    /// A port of the Service, by name or number; not the port of its pods. A name has a letter in it: write
    /// a number as a number, without quotes.
    #[schemars(extend("minimum" = 1, "maximum" = 65535, "maxLength" = 63, "pattern" = PORT_NAME))]
    pub port: IntOrString,
}

/// A name that must resolve to at least one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsTarget {
    /// The name as the application would write it; the pod's search list applies.
    #[schemars(
        length(min = 1, max = 254),
        extend("x-kubernetes-validations" = dns_name("dns.name"))
    )]
    pub name: String,

    /// The type of record.
    #[serde(default, rename = "type")]
    pub record_type: RecordType,
}

/// The type of address record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4.
    #[default]
    A,
    /// IPv6.
    Aaaa,
}

/// An HTTP request and when its answer is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// With `service`: path and query of the request. The default is `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = rules(&[(
        "self.matches('^/[!-~]*$') && !self.contains('#')",
        "http.path must begin with '/' and hold printable ASCII without blanks and '#': correct it, or \
         percent-encode what is special",
    )])))]
    pub path: Option<String>,

    /// The request's method.
    #[serde(default)]
    pub method: HttpMethod,

    /// Answers with a status code below this are good, 200 to 600. With 600 every answer is.
    #[serde(default = "default_status_below")]
    #[schemars(range(min = 200, max = 600))]
    pub status_below: u16,
}

/// A method without side effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The headers only.
    #[default]
    Head,
    /// Headers and body.
    Get,
}

/// Whom to trust. Verification cannot be turned off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsOptions {
    /// The roots to trust in place of the built-in ones.
    pub ca_bundle: CaBundle,
}

/// Where the roots are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// A ConfigMap of the check's own namespace.
    pub config_map: ConfigMapKey,
}

/// One entry of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// The ConfigMap's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,

    /// The entry that holds certificates in PEM.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// What is expected of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Expectation {
    /// It can be used.
    #[default]
    Reachable,
    /// A policy denies it, with proof.
    Denied,
}

/// A target's kind, with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind<'a> {
    /// A Service, and the name the application uses for it where that is given.
    Service(&'a ServiceTarget, Option<&'a str>),
    /// A URL, and whom to trust where that is given.
    Url(&'a str, Option<&'a TlsOptions>),
    /// A name that must resolve.
    Dns(&'a DnsTarget),
}

impl Target {
    /// The kind; `None` unless exactly one is given, which the API server refuses to store.
    pub fn kind(&self) -> Option<TargetKind<'_>> {
        match (&self.service, &self.url, &self.dns) {
            (Some(service), None, None) => Some(TargetKind::Service(service, self.hostname.as_deref())),
            (None, Some(url), None) => Some(TargetKind::Url(url, self.tls.as_ref())),
            (None, None, Some(dns)) => Some(TargetKind::Dns(dns)),
            _ => None,
        }
    }

    /// The request to make once connected: as given, and for a URL in any case. Its path is the URL's
    /// own, or that of `http`.
    pub fn http_request(&self) -> Option<plan::HttpRequest> {
        let default =
            HttpProbe { path: None, method: HttpMethod::Head, status_below: default_status_below() };
        let (probe, path) = match (&self.url, &self.http) {
            (Some(url), probe) => (probe.as_ref().unwrap_or(&default), path_of(url)),
            (None, Some(probe)) => (probe, probe.path.clone().unwrap_or_else(|| "/".to_owned())),
            (None, None) => return None,
        };
        Some(plan::HttpRequest { method: probe.method.into(), path, status_below: probe.status_below })
    }
}

impl ServiceTarget {
    /// The Service's namespace, for a check in namespace `own`.
    pub fn namespace_or<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }

    /// The name that a pod of namespace `own` would use, unless the check gives another.
    pub fn default_hostname(&self, own: &str) -> String {
        format!("{}.{}.svc", self.name, self.namespace_or(own))
    }
}

/// Path and query of a URL, as a request line has them (RFC 9112, section 3.2.1).
fn path_of(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    match after_scheme.find(['/', '?']) {
        None => "/".to_owned(),
        Some(at) if after_scheme[at..].starts_with('?') => format!("/{}", &after_scheme[at..]),
        Some(at) => after_scheme[at..].to_owned(),
    }
}

const fn default_status_below() -> u16 {
    500
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

impl From<Expectation> for verdict::Expectation {
    fn from(expect: Expectation) -> Self {
        match expect {
            Expectation::Reachable => Self::Reachable,
            Expectation::Denied => Self::Denied,
        }
    }
}

impl From<RecordType> for plan::RecordType {
    fn from(record: RecordType) -> Self {
        match record {
            RecordType::A => Self::A,
            RecordType::Aaaa => Self::Aaaa,
        }
    }
}

impl From<HttpMethod> for plan::HttpMethod {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Head => Self::Head,
            HttpMethod::Get => Self::Get,
        }
    }
}
