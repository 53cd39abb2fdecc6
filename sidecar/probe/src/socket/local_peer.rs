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

/// Listeners of each family that are looked at; a pod has a handful.
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
    /// What our own namespace holds of the other end of `local` → `remote`.
    ///
    /// `None` is proof of absence, [`LocalPeer::Unknown`] its absence: the kernel cannot be asked (no
    /// `tcp_diag`, gVisor), or did not answer in full.
    pub(crate) fn peer(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Option<LocalPeer> {
        let Some(local) = local else { return Some(LocalPeer::Unknown) };
        let own = |ip: IpAddr| ip.is_loopback() || ip == local.ip() || self.addresses.contains(&ip);
        if own(remote.ip()) {
            return None;
        }
        match find(local, remote, LISTENERS) {
            Ok(found) => {
                let Holder { address, uid } = found?;
                let expected = own(address.ip()) && self.endpoints.contains(&address);
                (!expected).then_some(LocalPeer::Socket { address, uid })
            }
            Err(error) => {
                tracing::debug!(%error, "cannot look up sockets of the own namespace");
                Some(LocalPeer::Unknown)
            }
        }
    }
}

/// Exact lookups of the reversed connection: at each listener a redirect could lead to, and at the dialled
/// address itself (TPROXY keeps it). An exact lookup costs about 5 µs however many sockets there are; a
/// dump of connections grows with the sockets of the whole node, a dump of listeners does not.
///
/// An error where a socket may have been overlooked, because there are more than `most` listeners of a family.
fn find(local: SocketAddr, remote: SocketAddr, most: usize) -> io::Result<Option<Holder>> {
    let mut diag = Diag::open()?;
    let mut candidates = vec![remote];
    let listeners = diag.listeners(most)?;
    for listener in listeners.found {
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
        if let Some(holder) = diag.exact(candidate, local)? {
            return Ok(Some(holder));
        }
    }
    if listeners.more {
        return Err(io::Error::other(format!(
            "more than {most} listeners of a family, so that not all could be looked at"
        )));
    }
    Ok(None)
}

/// The socket that holds the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    address: SocketAddr,
    uid: u32,
}

/// Where the namespace listens.
#[derive(Debug, Default)]
struct Listeners {
    found: Vec<SocketAddr>,
    /// There are more of a family than were looked at.
    more: bool,
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

    /// Where the namespace listens, at most `most` of each family's sockets.
    fn listeners(&mut self, most: usize) -> io::Result<Listeners> {
        let mut listeners = Listeners::default();
        for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let mut left = most;
            self.request(family, StateFlags::LISTEN, id, NLM_F_DUMP)?;
            self.responses(|header| {
                let id = header.socket_id;
                if left > 0 {
                    left -= 1;
                    listeners.found.push(SocketAddr::new(id.source_address, id.source_port));
                } else {
                    listeners.more = true;
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(listeners)
    }

    /// The socket with exactly these ends.
    ///
    /// Without one, the kernel answers with the listener: state and tuple are compared, not only "found".
    fn exact(&mut self, source: SocketAddr, destination: SocketAddr) -> io::Result<Option<Holder>> {
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
        let answered = self.responses(|header| {
            let id = &header.socket_id;
            let end = SocketAddr::new(canonical(id.destination_address), id.destination_port);
            let address = SocketAddr::new(canonical(id.source_address), id.source_port);
            if header.state != TCP_LISTEN && end == destination && address == source {
                found = Some(Holder { address, uid: header.uid });
            }
            ControlFlow::Break(())
        });
        match answered {
            // No such socket. For a dump the same code means that nobody answers for TCP here.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            answered => answered.map(|()| found),
        }
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
                    // A dump that failed ends with its error.
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
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
        let holder = diag.exact(remote, local).unwrap().expect("the accepted end is in this namespace");
        assert_eq!(holder.address, remote);
        let stranger = SocketAddr::new(local.ip(), 1);
        assert_eq!(diag.exact(remote, stranger).unwrap(), None, "only the listener is there");
        let listeners = diag.listeners(usize::MAX).unwrap();
        assert!(listeners.found.contains(&remote), "{remote} listens: {listeners:?}");
        assert!(!listeners.more, "all of them were looked at");
    }

    #[test]
    fn listeners_that_were_not_looked_at_leave_it_open() {
        let _held =
            ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0", "[::1]:0"].map(|any| TcpListener::bind(any).unwrap());
        let listeners = Diag::open().unwrap().listeners(1).unwrap();
        let families: Vec<bool> = listeners.found.iter().map(SocketAddr::is_ipv4).collect();
        assert_eq!(families, [true, false], "one of each family");
        assert!(listeners.more, "there are more");
        let (local, remote) = ("10.244.0.5:40000".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
        assert!(find(local, remote, 1).is_err(), "the other end may be behind one of the others");
        assert_eq!(find(local, remote, usize::MAX).unwrap(), None, "nobody holds it");
    }

    #[test]
    fn a_dump_that_nobody_answers_is_an_error_and_a_socket_that_is_not_there_is_none() {
        let mut diag = Diag::open().unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(diag.exact(address(1), address(2)).unwrap(), None);
        // No protocol has the family 255.
        diag.request(255, StateFlags::LISTEN, SocketId::new_v4(), NLM_F_DUMP).unwrap();
        assert!(diag.responses(|_| ControlFlow::Continue(())).is_err(), "the kernel says ENOENT");
    }

    #[test]
    fn a_connection_to_ourselves_is_no_interception() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let local = stream.local_addr().unwrap();
        let peer = Locals::default().peer(Some(local), stream.peer_addr().unwrap());
        assert_eq!(peer, None, "loopback was dialled, loopback answered");
        let unknown = Locals::default().peer(None, stream.peer_addr().unwrap());
        assert_eq!(unknown, Some(LocalPeer::Unknown), "a socket without an address cannot be looked up");
    }
}
