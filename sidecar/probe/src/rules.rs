//! Which addresses may be dialled. Checked after resolution, for every address, in one place: a name can
//! lead anywhere, and a sidecar must not become a way into its pod, its node or a cloud's metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use peerwalk_model::plan::{Control, TargetKind};

/// Metadata and platform services that are not link-local: AWS and Google over IPv6, Alibaba, Azure, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Who asks for the dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialRules {
    /// A plan from the operator: its addresses and scopes, and never the addresses of [`never`].
    #[default]
    Plan,
    /// A person at a command line, who could dial anything without us.
    Anything,
}

impl DialRules {
    /// Whether an address of the target may be dialled.
    ///
    /// A Service is dialled at the addresses and endpoints of the plan only, a URL within its scope, a name
    /// (`Dns`) not at all.
    pub fn permitted(self, remote: SocketAddr, kind: &TargetKind) -> bool {
        if self == Self::Anything {
            return true;
        }
        let ip = normal(remote.ip());
        if never(ip) {
            return false;
        }
        match kind {
            TargetKind::Service(service) => {
                let address =
                    remote.port() == service.port && service.addresses.iter().any(|a| normal(*a) == ip);
                let endpoint = |e: &SocketAddr| normal(e.ip()) == ip && e.port() == remote.port();
                address || service.endpoints.iter().any(endpoint)
            }
            TargetKind::Url(url) => {
                url.scope.any_address || url.scope.networks.iter().any(|network| network.contains(&ip))
            }
            TargetKind::Dns(_) => false,
        }
    }

    /// Whether a control may be dialled: the operator chose it, so only [`never`] stands against it.
    pub fn permitted_control(self, control: &Control) -> bool {
        self == Self::Anything || !never(control.address.ip())
    }

    /// Whether a proxy may be dialled: the application's own variables name it, so only [`never`] stands
    /// against it.
    pub fn permitted_proxy(self, ip: IpAddr) -> bool {
        self == Self::Anything || !never(ip)
    }
}

/// Addresses that no plan can make a sidecar dial: loopback, link-local, multicast, broadcast, unspecified
/// and metadata addresses, also inside IPv4-mapped and NAT64 forms (RFC 4291, RFC 6052).
pub fn never(ip: IpAddr) -> bool {
    let ip = normal(ip);
    METADATA.contains(&ip)
        || match ip {
            IpAddr::V4(ip) => {
                ip.octets()[0] == 0
                    || ip.is_loopback()
                    || ip.is_link_local()
                    || ip.is_multicast()
                    || ip.is_broadcast()
            }
            IpAddr::V6(ip) => {
                ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast()
            }
        }
}

/// The IPv4 address inside an IPv4-mapped, IPv4-compatible or NAT64 well-known-prefix address.
fn normal(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use peerwalk_model::plan::{DialScope, ServiceTarget, UrlTarget};

    use super::*;

    fn service() -> TargetKind {
        TargetKind::Service(ServiceTarget {
            hostname: "catalog.shop.svc".into(),
            port: 80,
            addresses: vec!["10.96.0.10".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            endpoints: vec!["10.244.0.11:8080".parse().unwrap()],
        })
    }

    fn url(networks: &[&str], any_address: bool) -> TargetKind {
        let networks = networks.iter().map(|n| n.parse().unwrap()).collect();
        let scope = DialScope { networks, any_address };
        TargetKind::Url(UrlTarget { url: "https://example.com/".into(), roots_pem: None, scope })
    }

    #[test]
    fn a_service_is_its_addresses_and_endpoints_only() {
        for (remote, expected) in [
            ("10.96.0.10:80", true),
            ("10.96.0.10:81", false),
            ("[::ffff:10.96.0.10]:80", true),
            ("10.244.0.11:8080", true),
            ("10.244.0.11:80", false),
            ("10.244.0.12:8080", false),
            ("127.0.0.1:80", false),
        ] {
            let permitted = DialRules::Plan.permitted(remote.parse().unwrap(), &service());
            assert_eq!(permitted, expected, "{remote} for a Service");
        }
    }

    #[test]
    fn some_addresses_are_never_dialled() {
        for remote in [
            "127.0.0.1:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "169.254.169.254:80",
            "[fd00:ec2::254]:80",
            "[fe80::1]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "0.1.2.3:80",
            "255.255.255.255:80",
            "100.100.100.200:80",
        ] {
            let remote = remote.parse().unwrap();
            assert!(
                !DialRules::Plan.permitted(remote, &url(&["0.0.0.0/0", "::/0"], true)),
                "{remote} is never dialled"
            );
            assert!(DialRules::Anything.permitted(remote, &url(&[], false)), "a person may dial {remote}");
        }
    }

    #[test]
    fn a_url_stays_in_its_scope() {
        let remote = "192.0.2.7:443".parse().unwrap();
        assert!(DialRules::Plan.permitted(remote, &url(&["192.0.2.0/24"], false)), "inside the network");
        assert!(!DialRules::Plan.permitted(remote, &url(&["198.51.100.0/24"], false)), "outside the network");
        assert!(DialRules::Plan.permitted(remote, &url(&[], true)), "the host is allowed by name");
    }
}
