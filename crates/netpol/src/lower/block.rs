//! Networks as the API server reads them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

/// Reads a CIDR as Go's `netutils.ParseCIDRSloppy`, which validates `ipBlock`: host bits may be set, numbers
/// of an IPv4 address may have leading zeros (they are decimal), and IPv6 networks within `::ffff:0:0/96`
/// are the IPv4 networks they map.
pub(super) fn parse(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let address = if address.contains(':') { address.parse().ok()? } else { IpAddr::V4(ipv4(address)?) };
    // Signs are no part of a prefix length, though Rust's integers take them.
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let network = IpNet::new(address, length.parse().ok()?).ok()?.trunc();
    Some(match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(mapped), Some(length)) if network.addr().is_ipv6() => {
            IpNet::V4(Ipv4Net::new(mapped, length).ok()?)
        }
        _ => network,
    })
}

/// Reads a CIDR as `isCIDR` of Kubernetes' CEL (`netip.ParsePrefix`), which validates `networks`: host bits may be set,
/// but no number has leading zeros, and networks of IPv4 in IPv6 are none.
pub(super) fn parse_strictly(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let mapped = address.to_canonical() != address;
    let digits =
        length == "0" || (!length.starts_with('0') && length.bytes().all(|byte| byte.is_ascii_digit()));
    if mapped || !digits {
        return None;
    }
    Some(IpNet::new(address, length.parse().ok()?).ok()?.trunc())
}

fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}
