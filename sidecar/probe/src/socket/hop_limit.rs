//! How many hops packets may go (`IP_TTL`, `IPV6_UNICAST_HOPS`): settable for a socket without privileges.

use std::io;
use std::net::SocketAddr;

use socket2::{Protocol, Socket, Type};

/// Limits the packets of a socket to so many hops.
pub(super) fn set(socket: &Socket, remote: SocketAddr, hops: u8) -> io::Result<()> {
    if remote.is_ipv4() { socket.set_ttl_v4(hops.into()) } else { socket.set_unicast_hops_v6(hops.into()) }
}

/// How many hops the pod's packets to an address may go where no socket says otherwise: over IPv4 the default of the
/// network namespace, over IPv6 that of the route. A datagram socket tells it, and connecting one sends nothing.
pub(crate) fn own(remote: SocketAddr) -> Option<u8> {
    let socket = super::open(remote, Type::DGRAM, Protocol::UDP).ok()?;
    socket.connect(&remote.into()).ok()?;
    let hops = if remote.is_ipv4() { socket.ttl_v4() } else { socket.unicast_hops_v6() };
    u8::try_from(hops.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_socket_has_the_default_and_a_limited_one_has_not() {
        let default = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(own(remote), default.trim().parse().ok(), "net.ipv4.ip_default_ttl");
        let socket = crate::socket::open(remote, Type::STREAM, Protocol::TCP).unwrap();
        set(&socket, remote, 3).unwrap();
        assert_eq!(socket.ttl_v4().unwrap(), 3);
    }
}
