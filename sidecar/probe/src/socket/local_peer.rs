//! Finds out whether the other end of a connection lives in our own network namespace: a redirect to a
//! proxy in the pod (a service mesh, usually), which accepts everything.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use peerwalk_model::evidence::LocalPeer;

/// Listeners looked at; a pod has a handful.
const LISTENERS: usize = 64;
/// Any cookie (`INET_DIAG_NOCOOKIE`, `include/uapi/linux/inet_diag.h`).
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// What is ours by right: connections that end there are no interception.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locals {
    /// The pod's own addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// The target's endpoints: a Service may lead back to ourselves.
    pub(crate) endpoints: Vec<SocketAddr>,
}

impl Locals {
    /// The socket in our own namespace that holds the other end of `local` → `remote`.
    ///
    /// `None` also where the kernel cannot be asked (no `tcp_diag`): absence of proof, not proof of absence.
    pub(crate) fn peer(&self, local: SocketAddr, remote: SocketAddr) -> Option<LocalPeer> {
        let own = |ip: IpAddr| ip.is_loopback() || ip == local.ip() || self.addresses.contains(&ip);
        if own(remote.ip()) {
            return None;
        }
        let found = find(local, remote)
            .inspect_err(|error| tracing::debug!(%error, "cannot look up sockets of the own namespace"))
            .ok()??;
        let expected = own(found.address.ip()) && self.endpoints.contains(&found.address);
        (!expected).then_some(found)
    }
}

/// Exact lookups of the reversed connection: at each listener a redirect could lead to, and at the dialled
/// address itself (TPROXY keeps it). An exact lookup costs about 5 µs however many sockets there are; a
/// dump of connections grows with the sockets of the whole node, a dump of listeners does not.
fn find(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<LocalPeer>> {
    let mut diag = Diag::open()?;
    let mut candidates = vec![remote];
    for listener in diag.listeners()? {
        let ip = canonical(listener.ip());
        if !ip.is_unspecified() {
            candidates.push(SocketAddr::new(ip, listener.port()));
            continue;
        }
        let loopback: IpAddr =
            if local.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        candidates.extend([loopback, local.ip()].map(|ip| SocketAddr::new(ip, listener.port())));
    }
    candidates.retain(|candidate| candidate.is_ipv4() == local.is_ipv4() && *candidate != local);
    for candidate in candidates {
        if let Some(peer) = diag.exact(candidate, local)? {
            return Ok(Some(peer));
        }
    }
    Ok(None)
}

struct Diag {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Diag {
    fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
        // Requests are answered within the system call; nothing is ever waited for.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, buffer: vec![0; 32 * 1024] })
    }

    /// Where the namespace listens, at most [`LISTENERS`] of each family's sockets.
    fn listeners(&mut self) -> io::Result<Vec<SocketAddr>> {
        let mut found = Vec::new();
        for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            self.request(family, StateFlags::LISTEN, id, NLM_F_DUMP)?;
            self.responses(|header| {
                let id = header.socket_id;
                if found.len() < LISTENERS {
                    found.push(SocketAddr::new(id.source_address, id.source_port));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(found)
    }

    /// The socket with exactly these ends.
    ///
    /// Without one, the kernel answers with the listener: state and tuple are compared, not only "found".
    fn exact(&mut self, source: SocketAddr, destination: SocketAddr) -> io::Result<Option<LocalPeer>> {
        let family = if source.is_ipv4() { AF_INET } else { AF_INET6 };
        let id = SocketId {
            source_port: source.port(),
            destination_port: destination.port(),
            source_address: source.ip(),
            destination_address: destination.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        };
        self.request(family, StateFlags::all(), id, 0)?;
        let mut found = None;
        self.responses(|header| {
            let id = &header.socket_id;
            let end = SocketAddr::new(canonical(id.destination_address), id.destination_port);
            let address = SocketAddr::new(canonical(id.source_address), id.source_port);
            if header.state != TCP_LISTEN && end == destination && address == source {
                found = Some(LocalPeer { address, uid: header.uid });
            }
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn request(&mut self, family: u8, states: StateFlags, socket_id: SocketId, flags: u16) -> io::Result<()> {
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states,
            socket_id,
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Hands each answer to `each`, to the end of the dump or until it breaks.
    fn responses(&mut self, mut each: impl FnMut(InetResponseHeader) -> ControlFlow<()>) -> io::Result<()> {
        loop {
            let size = self.socket.recv(&mut &mut self.buffer[..], 0)?;
            let mut offset = 0;
            while offset < size {
                let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(&self.buffer[offset..size])
                else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let length = usize::try_from(message.header.length).unwrap_or(0);
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))
                        if each(response.header.clone()).is_break() =>
                    {
                        return Ok(());
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) if error.raw_code() == -libc::ENOENT => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
                if length == 0 {
                    break;
                }
                // Messages are aligned to four bytes (`NLMSG_ALIGN`).
                offset += length.next_multiple_of(4);
            }
        }
    }
}

/// Dual-stack listeners hold IPv4 connections as mapped addresses.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_other_end_is_found_and_the_listener_is_not_taken_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let mut diag = Diag::open().unwrap();
        let peer = diag.exact(remote, local).unwrap().expect("the accepted end is in this namespace");
        assert_eq!(peer.address, remote);
        let stranger = SocketAddr::new(local.ip(), 1);
        assert_eq!(diag.exact(remote, stranger).unwrap(), None, "only the listener is there");
        let listeners = diag.listeners().unwrap();
        assert!(listeners.contains(&remote), "{remote} listens: {listeners:?}");
    }

    #[test]
    fn a_connection_to_ourselves_is_no_interception() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = Locals::default().peer(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        assert_eq!(peer, None, "loopback was dialled, loopback answered");
    }
}
