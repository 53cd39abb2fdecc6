//! The kernel's word on the TCP sockets of our own network namespace (`NETLINK_SOCK_DIAG`). Needs no privileges.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, Timer,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

/// Any cookie (`INET_DIAG_NOCOOKIE`, `include/uapi/linux/inet_diag.h`).
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// Where `idiag_expires` of `struct inet_diag_msg` is, behind `struct nlmsghdr`.
const EXPIRES: usize = 16 + 52;
/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY` (`include/uapi/linux/sock_diag.h`).
const DESTROYED: [u32; 2] = [1, 3];

/// Room that TCP timestamps take of each segment (RFC 7323), bytes.
const TIMESTAMPS: u32 = 12;

/// One socket, as the kernel tells of it. IPv4 of a dual-stack socket is IPv4 here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its own end.
    pub(crate) local: SocketAddr,
    /// The other end; without meaning in `LISTEN`.
    pub(crate) remote: SocketAddr,
    /// `include/net/tcp_states.h`.
    pub(crate) state: u8,
    pub(crate) uid: u32,
    /// The only interface it takes packets of; 0 for any.
    pub(crate) interface: u32,
    /// Bytes not read; in `LISTEN` connections not accepted.
    pub(crate) received: u32,
    /// Bytes not acknowledged; in `LISTEN` how many connections may wait.
    pub(crate) sent: u32,
    /// Retransmissions in a row.
    pub(crate) retransmits: u32,
    /// Until its timer runs off.
    pub(crate) expires: Duration,
    /// `TCP_INFO`, where it was asked for and the socket is a whole one.
    pub(crate) info: Option<Info>,
}

/// The part of `struct tcp_info` (`include/uapi/linux/tcp.h`) that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// What it may send in a segment, bytes: the MSS that the other end announced, less the room for timestamps.
    pub(crate) snd_mss: u32,
    /// Since data was last received, and since an acknowledgement was.
    pub(crate) data_received: Duration,
    pub(crate) ack_received: Duration,
}

/// Where the namespace listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) found: Vec<Held>,
    /// There are more of a family than were looked at.
    pub(crate) more: bool,
}

/// A socket to ask.
#[derive(Debug)]
pub(crate) struct Diag {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Diag {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
        // Requests are answered within the system call; nothing is ever waited for.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, buffer: vec![0; 32 * 1024] })
    }

    /// Where the namespace listens, at most `most` of each family's sockets.
    pub(crate) fn listeners(&mut self, most: usize) -> io::Result<Listeners> {
        let mut listeners = Listeners::default();
        for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let mut left = most;
            self.request(family, StateFlags::LISTEN, id, NLM_F_DUMP)?;
            self.responses(|held| {
                if left > 0 {
                    left -= 1;
                    listeners.found.push(held);
                } else {
                    listeners.more = true;
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(listeners)
    }

    /// What the kernel finds for a packet from `remote` to `local`: the connection, or, without one, the listener
    /// that such a SYN is led to. About 5 µs, however many sockets there are. A caller that wants the connection
    /// uses [`Held::is_between`].
    pub(crate) fn lookup(&mut self, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Held>> {
        let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
        let id = SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        };
        self.request(family, StateFlags::all(), id, 0)?;
        let mut found = None;
        let answered = self.responses(|held| {
            found = Some(held);
            ControlFlow::Break(())
        });
        match answered {
            // No such socket. For a dump the same code means that nobody answers for TCP here.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            answered => answered.map(|()| found),
        }
    }

    /// The socket with exactly these ends.
    pub(crate) fn exact(&mut self, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Held>> {
        Ok(self.lookup(local, remote)?.filter(|held| held.is_between(local, remote)))
    }

    fn request(&mut self, family: u8, states: StateFlags, socket_id: SocketId, flags: u16) -> io::Result<()> {
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
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
    fn responses(&mut self, mut each: impl FnMut(Held) -> ControlFlow<()>) -> io::Result<()> {
        loop {
            let size = self.socket.recv(&mut &mut self.buffer[..], 0)?;
            if read(&self.buffer[..size.min(self.buffer.len())], &mut each)?.is_break() {
                return Ok(());
            }
        }
    }
}

/// A socket that is told of each TCP connection of the namespace when its socket is gone.
#[derive(Debug)]
pub(crate) struct Destroyed {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Destroyed {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        for group in DESTROYED {
            socket.add_membership(group)?;
        }
        Ok(Self { socket, buffer: vec![0; 4096] })
    }

    /// The next of those that have been told; `None` when there is none yet. Some may have been `lost`.
    pub(crate) fn next(&mut self, lost: &mut bool) -> io::Result<Option<Held>> {
        loop {
            let size = match self.socket.recv(&mut &mut self.buffer[..], 0) {
                Ok(size) => size,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    *lost = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut found = None;
            let _ = read(&self.buffer[..size.min(self.buffer.len())], &mut |held| {
                found = Some(held);
                ControlFlow::Break(())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

impl AsRawFd for Destroyed {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Reads the messages of one datagram. Breaks where `each` does, and at the end of a dump.
fn read(mut datagram: &[u8], each: &mut impl FnMut(Held) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
    while !datagram.is_empty() {
        let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(datagram) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))
                if each(Held::new(&response, datagram)).is_break() =>
            {
                return Ok(ControlFlow::Break(()));
            }
            // A dump that failed ends with its error.
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(io::Error::from_raw_os_error(-done.code));
            }
            NetlinkPayload::Done(_) => return Ok(ControlFlow::Break(())),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        let length = usize::try_from(message.header.length).unwrap_or(0);
        // Messages are aligned to four bytes (`NLMSG_ALIGN`).
        let Some(rest) = datagram.get(length.next_multiple_of(4)..).filter(|_| length > 0) else { break };
        datagram = rest;
    }
    Ok(ControlFlow::Continue(()))
}

impl Held {
    /// `message` has what the parser leaves out.
    fn new(response: &InetResponse, message: &[u8]) -> Self {
        let (header, id) = (&response.header, &response.header.socket_id);
        let info = response.nlas.iter().find_map(|nla| match nla {
            Nla::TcpInfo(bytes) => Info::new(bytes),
            _ => None,
        });
        // The same field counts probes where another timer runs.
        let retransmits = match header.timer {
            Some(Timer::Retransmit(_, times)) => times.into(),
            _ => 0,
        };
        let expires = word(message, EXPIRES).unwrap_or_default();
        Self {
            local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
            remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
            state: header.state,
            uid: header.uid,
            interface: id.interface_id,
            received: header.recv_queue,
            sent: header.send_queue,
            retransmits,
            expires: Duration::from_millis(expires.into()),
            info,
        }
    }

    /// Whether it is the connection between these, and not the listener that the kernel falls back to.
    pub(crate) fn is_between(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        !self.listens() && self.local == local && self.remote == remote
    }

    /// Whether it sends larger segments than a dial announced that it takes: then it is another connection of the same
    /// ends, such as one of the application that dials here.
    pub(crate) fn is_of_another(&self, mss: Option<u16>) -> bool {
        mss.zip(self.info).is_some_and(|(mss, info)| info.snd_mss > mss.into())
    }

    /// Whether it sends segments of just the size that a dial announced that it takes.
    pub(crate) fn is_marked(&self, mss: Option<u16>) -> bool {
        mss.zip(self.info).is_some_and(|(mss, info)| {
            let mss = u32::from(mss);
            info.snd_mss == mss || info.snd_mss + TIMESTAMPS == mss
        })
    }

    pub(crate) fn listens(&self) -> bool {
        self.state == TCP_LISTEN
    }
}

impl Info {
    /// Kernels differ in how much there is; these fields are among the oldest.
    fn new(bytes: &[u8]) -> Option<Self> {
        let ms = |at| Some(Duration::from_millis(word(bytes, at)?.into()));
        Some(Self { snd_mss: word(bytes, 16)?, data_received: ms(52)?, ack_received: ms(56)? })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Dual-stack listeners hold IPv4 connections as mapped addresses.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The unspecified address of the same family: of a remote end, one that no connection has.
pub(crate) fn nobody(like: IpAddr) -> SocketAddr {
    let ip: IpAddr = match like {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_that_nobody_answers_is_an_error_and_a_socket_that_is_not_there_is_none() {
        let mut diag = Diag::open().unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(diag.exact(address(1), address(2)).unwrap(), None);
        // No protocol has the family 255.
        diag.request(255, StateFlags::LISTEN, SocketId::new_v4(), NLM_F_DUMP).unwrap();
        assert!(diag.responses(|_| ControlFlow::Continue(())).is_err(), "the kernel says ENOENT");
    }
}
