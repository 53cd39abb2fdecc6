//! Whom the packets for an address are sent to, and what the kernel knows of them: routes and neighbours, read over
//! netlink (`NETLINK_ROUTE`), which everybody may.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use peerwalk_model::evidence::{Neighbour, NeighbourState};

// `include/uapi/linux/rtnetlink.h`, `include/uapi/linux/neighbour.h`.
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_VIA: u16 = 18;
const NDA_DST: u16 = 1;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
/// `struct nlmsghdr`, `struct rtmsg`, `struct ndmsg`, and the head of an attribute, in bytes.
const HEADER: usize = 16;
const BODY: usize = 12;
const ATTRIBUTE: usize = 4;

/// Whom the packets for an address are sent to, with the state of the neighbour; `None` where they are sent to nobody
/// (no route, the pod itself), or the kernel does not tell.
pub(crate) fn neighbour(address: IpAddr) -> Option<Neighbour> {
    let mut netlink = Netlink::open().ok()?;
    let address = address.to_canonical();
    let route = netlink.ask(RTM_GETROUTE, RTM_NEWROUTE, &route_request(address)).ok()??;
    let (next, link) = next_hop(&route, address)?;
    let state = match netlink.ask(RTM_GETNEIGH, RTM_NEWNEIGH, &neighbour_request(next, link)) {
        Ok(entry) => state(&entry?)?,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => NeighbourState::Absent,
        // Before Linux 5.0 a single entry cannot be asked for.
        Err(_) => return None,
    };
    Some(Neighbour { address: next, state })
}

struct Netlink(Socket);

impl Netlink {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Requests are answered within the system call; nothing is ever waited for.
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// The body of the answer, where it is of the kind that is expected.
    fn ask(&mut self, kind: u16, answer: u16, body: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let length = u32::try_from(HEADER + body.len()).unwrap_or(0);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(NLM_F_REQUEST.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        self.0.send(&message, 0)?;
        let mut buffer = vec![0; 4096];
        let size = self.0.recv(&mut &mut buffer[..], 0)?;
        read(&buffer[..size], answer)
    }
}

/// The body of a message of a kind, or the error in it.
fn read(message: &[u8], kind: u16) -> io::Result<Option<Vec<u8>>> {
    let found = message.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let body = message.get(HEADER..).unwrap_or_default();
    match found {
        Some(NLMSG_ERROR) => {
            let errno =
                body.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(libc::EIO, i32::from_ne_bytes);
            Err(io::Error::from_raw_os_error(errno.wrapping_neg()))
        }
        Some(found) if found == kind => Ok(Some(body.to_vec())),
        _ => Ok(None),
    }
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or(0)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(0);
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes()[..], value].concat()
}

/// `struct rtmsg` and the destination.
fn route_request(address: IpAddr) -> Vec<u8> {
    let octets = octets(address);
    let mut body = vec![0; BODY];
    (body[0], body[1]) = (family(address), u8::try_from(octets.len() * 8).unwrap_or(0));
    body.extend(attribute(RTA_DST, &octets));
    body
}

/// `struct ndmsg` and the address.
fn neighbour_request(address: IpAddr, link: u32) -> Vec<u8> {
    let mut body = vec![0; BODY];
    body[0] = family(address);
    body[4..8].copy_from_slice(&link.to_ne_bytes());
    body.extend(attribute(NDA_DST, &octets(address)));
    body
}

/// The attributes behind a `struct rtmsg`.
fn attributes(body: &[u8]) -> Vec<(u16, &[u8])> {
    let (mut found, mut rest) = (Vec::new(), body.get(BODY..).unwrap_or_default());
    while let Some(head) = rest.get(..ATTRIBUTE) {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let Some(value) = rest.get(ATTRIBUTE..length) else { break };
        found.push((u16::from_ne_bytes([head[2], head[3]]), value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The gateway of a route, or the address itself on the pod's own link, and the link.
fn next_hop(route: &[u8], address: IpAddr) -> Option<(IpAddr, u32)> {
    // `rtm_type`: packets to the pod itself, or to nobody, go to no neighbour.
    if *route.get(7)? != RTN_UNICAST {
        return None;
    }
    let attributes = attributes(route);
    let of = |kind| attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
    let link = u32::from_ne_bytes(of(RTA_OIF)?.try_into().ok()?);
    // `struct rtvia` begins with a family.
    let gateway = of(RTA_GATEWAY).or_else(|| of(RTA_VIA)?.get(2..));
    let next = gateway.map_or(Some(address), ip)?;
    Some((next, link))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// `ndm_state` of a `struct ndmsg` (`NUD_*`).
fn state(entry: &[u8]) -> Option<NeighbourState> {
    let state = u16::from_ne_bytes(entry.get(8..10)?.try_into().ok()?);
    Some(match state {
        0x01 => NeighbourState::Incomplete,
        0x02 => NeighbourState::Reachable,
        0x04 => NeighbourState::Stale,
        0x08 => NeighbourState::Delay,
        0x10 => NeighbourState::Probe,
        0x20 => NeighbourState::Failed,
        0x40 | 0x80 => NeighbourState::Fixed,
        0 => NeighbourState::Absent,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_names_its_gateway_or_leads_to_the_address_itself() {
        let address: IpAddr = "10.244.0.9".parse().unwrap();
        let route = |kind: u8, more: Vec<u8>| {
            let mut body = vec![0; BODY];
            body[7] = kind;
            [body, attribute(RTA_OIF, &7_u32.to_ne_bytes()), more].concat()
        };
        let gateway = attribute(RTA_GATEWAY, &[10, 244, 0, 1]);
        let via = attribute(RTA_VIA, &[&[10, 0][..], &octets("fe80::1".parse().unwrap())].concat());
        for (route, next) in [
            (route(RTN_UNICAST, vec![]), Some("10.244.0.9")),
            (route(RTN_UNICAST, gateway.clone()), Some("10.244.0.1")),
            (route(RTN_UNICAST, via), Some("fe80::1")),
            (route(2, gateway), None),
        ] {
            let expected = next.map(|next| (next.parse().unwrap(), 7));
            assert_eq!(next_hop(&route, address), expected, "{route:?}");
            for length in 0..BODY + 8 {
                assert_eq!(next_hop(&route[..length], address), None, "cut off after {length} bytes");
            }
        }
    }

    #[test]
    fn nobody_stands_between_the_pod_and_itself() {
        for own in ["127.0.0.1", "::1"] {
            assert_eq!(neighbour(own.parse().unwrap()), None, "{own}");
        }
    }
}
