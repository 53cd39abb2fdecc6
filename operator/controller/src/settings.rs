//! What the operator's configuration says to the controller.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::cluster::record::ObjectKey;
use crate::cluster::sidecar::Image;

/// What the operator's configuration says to the controller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's DNS domain, such as `cluster.local`.
    pub cluster_domain: String,
    /// What outside the cluster may be walked to.
    pub allow: Allow,
    /// What of other namespaces is told.
    pub details: Details,
    /// The hub's Service.
    pub hub: ObjectKey,
    /// Where sidecars dial the hub.
    pub hub_address: SocketAddr,
    /// The image that the webhook gives sidecars.
    pub sidecar_image: Image,
    /// How long a sidecar may take to attach, after its container or the operator started.
    pub attach_within: Duration,
    /// How long a stream may be silent before it no longer counts as reporting.
    pub silence: Duration,
}

/// What statuses and events of a check tell of other namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Details {
    /// Everything that proves a verdict.
    #[default]
    Full,
    /// That a policy of another namespace decides, and no names: of policies, pods and nodes.
    Redacted,
}

/// Bytes of a check's own roots, PEM: the protocol's limit.
pub const ROOTS_BYTES: usize = 64 * 1024;

/// What outside the cluster may be walked to: networks, and hosts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Addresses, wherever the name came from.
    pub networks: Vec<IpNet>,
    /// Host names, whatever they resolve to; `*.example.com` stands for every name below it.
    pub hosts: BTreeSet<String>,
}

/// A text that is neither a network nor a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a network like 192.0.2.0/24, an address, nor a host name like api.example.com or *.example.com"
)]
pub struct ParseAllowError(pub String);

/// One entry of the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowEntry {
    /// A network or a single address.
    Network(IpNet),
    /// A host name.
    Host(String),
}

impl FromStr for AllowEntry {
    type Err = ParseAllowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(ip)));
        }
        let host = text.trim_end_matches('.').to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let last_is_a_name =
            name.rsplit('.').next().is_some_and(|l| l.bytes().any(|b| b.is_ascii_alphabetic()));
        if name.len() <= 253 && last_is_a_name && name.split('.').all(label) {
            Ok(Self::Host(host))
        } else {
            Err(ParseAllowError(text.to_owned()))
        }
    }
}

impl FromIterator<AllowEntry> for Allow {
    fn from_iter<T: IntoIterator<Item = AllowEntry>>(entries: T) -> Self {
        let mut allow = Self::default();
        for entry in entries {
            match entry {
                AllowEntry::Network(network) => allow.networks.push(network),
                AllowEntry::Host(host) => {
                    allow.hosts.insert(host);
                }
            }
        }
        allow
    }
}

impl Allow {
    /// How many entries there may be: a sidecar is told of as many networks for each URL, and of no more.
    pub const MOST: usize = 256;

    /// Whether a host is allowed by name.
    pub fn host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let mut parents = host.match_indices('.').map(|(dot, _)| format!("*{}", &host[dot..]));
        self.hosts.contains(&host) || parents.any(|parent| self.hosts.contains(&parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(entries: &[&str]) -> Allow {
        entries.iter().map(|e| e.parse::<AllowEntry>().unwrap()).collect()
    }

    #[test]
    fn hosts_match_by_name_and_below_a_star() {
        let allow = allow(&["api.example.com", "*.example.org"]);
        for (host, expected) in [
            ("api.example.com", true),
            ("API.Example.com.", true),
            ("www.api.example.com", false),
            ("a.example.org", true),
            ("a.b.example.org", true),
            ("example.org", false),
            ("notexample.org", false),
        ] {
            assert_eq!(allow.host(host), expected, "{host}");
        }
    }

    #[test]
    fn addresses_become_networks_and_nonsense_is_named() {
        assert_eq!(allow(&["192.0.2.7"]).networks, ["192.0.2.7/32".parse::<IpNet>().unwrap()]);
        for text in ["", "300.1.1.1", "http://x", "a..b", "10.0.0.0/33"] {
            assert_eq!(text.parse::<AllowEntry>(), Err(ParseAllowError(text.into())), "{text:?} is refused");
        }
    }
}
