//! Addresses that nothing may lead a sidecar to, and the ways of IPv6 to write one of IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata and platform services that are not link-local: AWS and Google over IPv6, Alibaba, Azure, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Addresses that no plan can make a sidecar dial: loopback, link-local, multicast, broadcast, unspecified
/// and metadata addresses, also inside an IPv6 address that leads to an IPv4 one.
pub fn never_dialled(ip: IpAddr) -> bool {
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
                ip.is_unspecified()
                    || ip.is_loopback()
                    || ip.is_unicast_link_local()
                    || ip.is_multicast()
                    || embedded(ip).into_iter().any(|ip| never_dialled(ip.into()))
            }
        }
}

/// The IPv4 host that an IPv6 address stands for: IPv4-mapped and IPv4-compatible (RFC 4291, section 2.5.5),
/// IPv4-translated (RFC 2765, section 2.1) and NAT64's well-known prefix (RFC 6052, section 2.1).
pub fn same_host(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(octets(ip, [12, 13, 14, 15])),
        _ => None,
    }
}

/// Every IPv4 address that packets to an IPv6 address may be sent on to: [`same_host`], the router of 6to4
/// (RFC 3056, section 2), and NAT64's local-use prefix 64:ff9b:1::/48 (RFC 8215).
fn embedded(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    match ip.segments() {
        [0x2002, ..] => vec![octets(ip, [2, 3, 4, 5])],
        [0x64, 0xff9b, 1, ..] => {
            // How long the prefix is only the translator knows (RFC 6052, section 2.2): 48, 56, 64 or 96 bits,
            // and the eight bits from the 64th on are left out. Each may be meant that does not lead to
            // 0.0.0.0/8, where nothing is: most often those are zeros before or after the IPv4 address.
            let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
            let meant = places.map(|places| octets(ip, places)).into_iter().filter(|ip| ip.octets()[0] != 0);
            let meant: Vec<Ipv4Addr> = meant.collect();
            if meant.is_empty() { vec![Ipv4Addr::UNSPECIFIED] } else { meant }
        }
        _ => same_host(ip).into_iter().collect(),
    }
}

fn octets(ip: Ipv6Addr, places: [usize; 4]) -> Ipv4Addr {
    Ipv4Addr::from(places.map(|place| ip.octets()[place]))
}
