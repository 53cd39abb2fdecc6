//! Evidence of the route stage: what the application's proxy variables say of a URL, and what came of
//! following them.

use std::time::Duration;

use super::connect::Dial;
use super::request::{Request, Tls};

/// What the proxy variables of the application's containers say of the target's URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Route {
    /// The containers whose variables send the target to a proxy, for at least one HTTP client.
    #[cfg_attr(feature = "serde", serde(default))]
    pub proxied: Vec<ProxyUse>,
    /// Containers whose variables cannot all be seen (`envFrom`, Secrets, `$(…)`, an image that may set what
    /// the pod does not): no claim about their route is confirmed.
    #[cfg_attr(feature = "serde", serde(default))]
    pub not_visible: Vec<String>,
}

/// One container whose variables send the target to a proxy. Clients that would use different proxies have
/// an entry each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct ProxyUse {
    /// The container.
    pub container: String,
    /// The variable that names the proxy, in the case it is set in, such as `http_proxy`.
    pub variable: String,
    /// The proxy's scheme in lower case; `http` where the value names none.
    #[cfg_attr(feature = "serde", serde(default = "http"))]
    pub scheme: String,
    /// The proxy as `host:port`. User information never leaves the webhook.
    pub proxy: String,
    /// Whether the value held user information, which an attempt of ours has to do without.
    #[cfg_attr(feature = "serde", serde(default))]
    pub credentials: bool,
    /// The variable that lists exceptions, such as `NO_PROXY`, if it is set.
    #[cfg_attr(feature = "serde", serde(default))]
    pub exceptions: Option<(String, String)>,
    /// Clients that would use this proxy, such as `curl` or `go`.
    pub clients: Vec<String>,
    /// Clients that follow proxy variables and would go direct all the same.
    #[cfg_attr(feature = "serde", serde(default))]
    pub direct_clients: Vec<String>,
    /// The entry to add to the exceptions so that every client goes direct.
    pub entry: String,
}

impl ProxyUse {
    /// Whether the target can be tried through the proxy: it speaks plain HTTP. TLS to the proxy and SOCKS
    /// are the application's alone.
    pub fn is_walkable(&self) -> bool {
        self.scheme == "http"
    }
}

#[cfg(feature = "serde")]
fn http() -> String {
    "http".to_owned()
}

/// The target tried through the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct ProxyAttempt {
    /// The container whose variables were followed.
    pub container: String,
    /// The proxy as `host:port`.
    pub proxy: String,
    /// The dials of the proxy itself; empty when its name did not resolve.
    pub dials: Vec<Dial>,
    /// The status of the proxy's answer to `CONNECT`, where one was made.
    #[cfg_attr(feature = "serde", serde(default))]
    pub connect_status: Option<u16>,
    /// The handshake inside the tunnel.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tls: Option<Tls>,
    /// The exchange.
    #[cfg_attr(feature = "serde", serde(default))]
    pub request: Option<Request>,
    /// The whole attempt.
    #[cfg_attr(feature = "serde", serde(rename = "elapsedMs", with = "crate::serde_ms"))]
    pub elapsed: Duration,
}
