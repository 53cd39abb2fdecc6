//! The ways in which well-known HTTP clients read the proxy variables. Each rule was measured against a
//! recording proxy; clients disagree in a quarter of all cases.

use std::net::IpAddr;

/// A client, in the version that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// curl 7.88.
    Curl,
    /// libcurl 8.23.
    Libcurl,
    /// GNU Wget 1.21.
    Wget,
    /// Go 1.26, `net/http`.
    Go,
    /// Python requests.
    Requests,
    /// Python 3.11, `urllib`.
    Urllib,
    /// Python httpx.
    Httpx,
    /// Python aiohttp with `trust_env`.
    Aiohttp,
    /// axios for Node.
    Axios,
    /// undici's `EnvHttpProxyAgent` for Node.
    Undici,
    /// reqwest 0.12 for Rust.
    Reqwest,
}

impl Dialect {
    /// Every client, in the order of the measurements.
    pub const ALL: &'static [Self] = &[
        Self::Curl,
        Self::Libcurl,
        Self::Wget,
        Self::Go,
        Self::Requests,
        Self::Urllib,
        Self::Httpx,
        Self::Aiohttp,
        Self::Axios,
        Self::Undici,
        Self::Reqwest,
    ];

    /// The client's name, as evidence shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Libcurl => "libcurl",
            Self::Wget => "wget",
            Self::Go => "go",
            Self::Requests => "python-requests",
            Self::Urllib => "urllib",
            Self::Httpx => "httpx",
            Self::Aiohttp => "aiohttp",
            Self::Axios => "axios",
            Self::Undici => "undici",
            Self::Reqwest => "reqwest",
        }
    }

    /// Whether `HTTP_PROXY` counts: curl and wget take it for a header of a CGI request.
    pub(super) const fn reads_upper_http_proxy(self) -> bool {
        !matches!(self, Self::Curl | Self::Libcurl | Self::Wget)
    }

    /// wget knows the lower-case names only.
    pub(super) const fn reads_upper(self) -> bool {
        !matches!(self, Self::Wget)
    }

    /// Whether the upper-case name wins when both are set.
    pub(super) const fn upper_first(self) -> bool {
        matches!(self, Self::Go | Self::Reqwest)
    }

    /// Whether an empty lower-case variable switches off a set upper-case one.
    pub(super) const fn empty_lower_wins(self) -> bool {
        self.is_python() || matches!(self, Self::Undici)
    }

    /// Whether `ALL_PROXY` counts.
    pub(super) const fn reads_all_proxy(self) -> bool {
        matches!(
            self,
            Self::Curl | Self::Libcurl | Self::Requests | Self::Httpx | Self::Axios | Self::Reqwest
        )
    }

    /// Whether `HTTP_PROXY` is left alone where `REQUEST_METHOD` says that this is a CGI program. (Go fails
    /// instead; it does not use the proxy either.)
    pub(super) const fn minds_cgi(self) -> bool {
        self.is_python() || matches!(self, Self::Go | Self::Reqwest)
    }

    /// Whether the client goes direct whatever the variables say: Go, for loopback.
    pub(super) fn never_proxies(self, host: &str) -> bool {
        let loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self == Self::Go && (host == "localhost" || loopback)
    }

    const fn is_python(self) -> bool {
        matches!(self, Self::Requests | Self::Urllib | Self::Httpx | Self::Aiohttp)
    }
}
