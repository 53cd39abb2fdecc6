//! One socket, TCP or UDP, from `connect()` to its outcome, with everything the kernel tells about it.
//!
//! Sockets are closed plainly: FIN when they connected, nothing when they did not. A reset on close would
//! leave conntrack sooner (10 s instead of 120 s) but servers count it as an interrupted handshake (MySQL
//! blocks a host after 100 of them), and the budget keeps TIME_WAIT far below where it hurts.

mod connection;
pub(crate) mod diag;
mod hop_limit;
mod local_peer;
pub(crate) mod mark;
mod neighbour;
mod ports;
mod queue;
mod sys;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, LocalTrouble};
use peerwalk_model::{Protocol as Transport, Timestamp};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::budget::{Census, Held};
pub(crate) use connection::{Kept, connect_with_mss};
pub(crate) use hop_limit::own as own_hop_limit;
pub(crate) use local_peer::{Locals, Namespace};
pub(crate) use neighbour::neighbour;
pub(crate) use ports::{Parity, range as port_range};
pub(crate) use queue::read as read_queue;
pub(crate) use sys::watch;

/// States of `include/net/tcp_states.h` that only a completed handshake leads to. We never close first, so of
/// those after `ESTABLISHED` there is only the one in which the peer has closed.
const TCP_ESTABLISHED: u8 = 1;
const TCP_CLOSE_WAIT: u8 = 8;

/// The largest datagram that is counted in full.
const DATAGRAM: usize = 4096;

/// How often a random source port is tried before the kernel may choose.
const PORT_TRIES: u32 = 16;

/// What a dial is made of.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A connection.
    Plain,
    /// One with an MSS (bytes) that the peer's pod may know it by, whatever translates its addresses.
    Marked(u16),
    /// A datagram.
    Datagram(Arc<[u8]>),
    /// A connection whose packets may only go so many hops.
    Limited(u8),
}

/// A socket and, once it is known, what became of it.
#[derive(Debug)]
pub(crate) struct Attempt {
    fd: Option<AsyncFd<Socket>>,
    purpose: DialPurpose,
    remote: SocketAddr,
    /// What a UDP socket sends; none for TCP.
    datagram: Option<Arc<[u8]>>,
    /// How often it was sent again.
    resent: u32,
    local: Option<SocketAddr>,
    started: Timestamp,
    begun: Instant,
    /// Announced in place of the usual one, to know the connection by.
    mss: Option<u16>,
    /// Outcome, time it took, retransmissions.
    known: Option<(DialOutcome, Duration, u32)>,
    held: Option<Held>,
}

impl Attempt {
    /// Opens a new socket and calls `connect()`. With a parity, from a source port of that parity.
    ///
    /// The error is trouble of our own; whatever the network or a filter said is in the attempt.
    pub(crate) fn begin(
        purpose: DialPurpose,
        remote: SocketAddr,
        parity: Option<Parity>,
    ) -> Result<Self, LocalTrouble> {
        Self::begin_with(purpose, remote, parity, Shape::Plain)
    }

    /// The same as a connection with a mark, or over UDP: such a socket is connected, which tells it of ICMP errors, and
    /// sends its datagram.
    pub(crate) fn begin_with(
        purpose: DialPurpose,
        remote: SocketAddr,
        parity: Option<Parity>,
        shape: Shape,
    ) -> Result<Self, LocalTrouble> {
        let (mss, datagram, hops) = match shape {
            Shape::Plain => (None, None, None),
            Shape::Marked(mss) => (Some(mss), None, None),
            Shape::Datagram(datagram) => (None, Some(datagram), None),
            Shape::Limited(hops) => (None, None, Some(hops)),
        };
        let opened = match (&datagram, hops) {
            (Some(_), _) => open(remote, Type::DGRAM, Protocol::UDP),
            (None, None) => open(remote, Type::STREAM, Protocol::TCP),
            (None, Some(hops)) => open(remote, Type::STREAM, Protocol::TCP).and_then(|socket| {
                // Without its limit it would be another dial than was asked for.
                hop_limit::set(&socket, remote, hops).map_err(|error| trouble("IP_TTL", &error))?;
                Ok(socket)
            }),
        };
        let mut attempt = Self {
            fd: None,
            purpose,
            remote,
            datagram,
            resent: 0,
            local: None,
            started: crate::clock::now(),
            begun: Instant::now(),
            mss,
            known: None,
            held: None,
        };
        attempt.connect(opened, parity)?;
        Ok(attempt)
    }

    fn connect(
        &mut self,
        opened: Result<Socket, LocalTrouble>,
        parity: Option<Parity>,
    ) -> Result<(), LocalTrouble> {
        let socket = match opened {
            Ok(socket) => socket,
            Err(trouble) if is_without_family(&trouble) => {
                self.settle(WITHOUT_FAMILY, 0);
                return Ok(());
            }
            Err(trouble) => return Err(trouble),
        };
        if let Some(parity) = parity {
            bind(&socket, self.remote, || ports::random(parity))?;
        }
        // One that cannot be set is not there.
        self.mss = self.mss.filter(|mss| socket.set_tcp_mss((*mss).into()).is_ok());
        (self.started, self.begun) = (crate::clock::now(), Instant::now());
        let connected = socket.connect(&self.remote.into());
        self.local = local_address(&socket);
        match connected {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                if errno == libc::EADDRNOTAVAIL
                    && (self.datagram.is_some() || is_without_address(self.remote))
                {
                    self.settle(WITHOUT_FAMILY, 0);
                    return Ok(());
                }
                if let Some(what) = own_trouble(errno) {
                    return Err(LocalTrouble { what: what.to_owned(), errno });
                }
                // From connect() itself: a route of our own namespace, or a filter in connect4 (BPF).
                let queue = read_queue(&socket);
                self.settle(DialOutcome::Failed { errno, immediate: true, queue }, 0);
            }
            _ => return self.connected(socket),
        }
        Ok(())
    }

    /// Waits for what becomes of it; over UDP, sends the datagram first.
    fn connected(&mut self, socket: Socket) -> Result<(), LocalTrouble> {
        if let Some(datagram) = &self.datagram
            && let Err(error) = socket.send(datagram)
        {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            if let Some(what) = own_trouble(errno) {
                return Err(LocalTrouble { what: what.to_owned(), errno });
            }
            // EPERM is a filter in our own OUTPUT chain; one that rejects leaves its ICMP error too.
            let queue = read_queue(&socket);
            self.settle(DialOutcome::Failed { errno, immediate: true, queue }, 0);
            return Ok(());
        }
        self.fd = Some(register(socket, self.datagram.is_some())?);
        Ok(())
    }

    /// Sends the datagram again, where nothing came back: one may have been lost. TCP does so by itself.
    pub(crate) fn resend(&mut self) {
        if let (Some(fd), Some(datagram), None) = (&self.fd, &self.datagram, &self.known) {
            // An error is waiting on the socket then, and is read from there.
            let _ = fd.get_ref().send(datagram);
            self.resent += 1;
        }
    }

    /// Waits for the outcome; [`Attempt::dial`] has it afterwards. Without `locals` nobody asks whether the other
    /// end is in our own namespace.
    pub(crate) fn poll_known(&mut self, cx: &mut Context<'_>, locals: Option<&Locals>) -> Poll<()> {
        while self.known.is_none() {
            let Some(fd) = &self.fd else { return Poll::Ready(()) };
            let Ok(mut guard) = ready!(fd.poll_write_ready(cx)) else { return Poll::Ready(()) };
            // A kernel that wakes us for nothing must not spin us.
            guard.clear_ready();
            // The time that it takes to look around is not the network's.
            let elapsed = self.begun.elapsed();
            if let Some((outcome, retransmits)) = self.observe(locals) {
                self.known = Some((outcome, elapsed, retransmits));
            }
        }
        Poll::Ready(())
    }

    /// Reads the socket's state, in the only order that works: `SO_ERROR` first, the error queue second.
    /// Draining the queue resets the error, and a socket in `CLOSE` would look connected. For the same
    /// reason the absence of an error is not enough: the state must be one that a handshake leads to. A peer that
    /// closes at once wakes us only once, with its FIN already received.
    ///
    /// The outcome, and how often was sent again until then. Each system call here is a part of what every probe costs.
    fn observe(&mut self, locals: Option<&Locals>) -> Option<(DialOutcome, u32)> {
        let socket = self.fd.as_ref()?.get_ref();
        let error = match socket.take_error() {
            Ok(error) => error.and_then(|e| e.raw_os_error()),
            Err(error) => error.raw_os_error(),
        };
        if self.datagram.is_some() {
            return Some((answered(socket, error)?, self.resent));
        }
        let info = sys::tcp_info(socket).ok();
        let retransmits = info.map_or(0, |info| info.total_retrans);
        if let Some(errno) = error {
            let queue = read_queue(socket);
            return Some((DialOutcome::Failed { errno, immediate: false, queue }, retransmits));
        }
        if info.is_some_and(|info| matches!(info.state, TCP_ESTABLISHED | TCP_CLOSE_WAIT)) {
            // connect() has chosen it, also where a socket-level load balancer rewrites the other one.
            self.local = self.local.or_else(|| local_address(socket));
            // The port that the kernel chose is the one that was dialled, and the socket is connected to itself
            // (RFC 9293, section 3.5, case 2). No port on which somebody listens is ever chosen.
            if self.local == Some(self.remote) {
                let errno = libc::ECONNREFUSED;
                let refused = DialOutcome::Failed { errno, immediate: false, queue: Vec::new() };
                return Some((refused, retransmits));
            }
            let local_peer = locals.and_then(|locals| locals.peer(self.local, self.remote));
            return Some((DialOutcome::Connected { local_peer }, retransmits));
        }
        // A refusal that came while connect() held the socket is only in the queue.
        let (errno, queue) = queue::read_with_errno(socket)?;
        Some((DialOutcome::Failed { errno, immediate: false, queue }, retransmits))
    }

    fn settle(&mut self, outcome: DialOutcome, retransmits: u32) {
        self.known = Some((outcome, self.begun.elapsed(), retransmits));
    }

    /// What is known by now: an attempt without an outcome is silent so far.
    pub(crate) fn dial(&self) -> Dial {
        let (outcome, elapsed, retransmits) = self
            .known
            .clone()
            .unwrap_or_else(|| (DialOutcome::Silent, self.begun.elapsed(), self.retransmits()));
        Dial {
            protocol: if self.datagram.is_some() { Transport::Udp } else { Transport::Tcp },
            mss: self.mss,
            purpose: self.purpose,
            remote: self.remote,
            local: self.local,
            started: self.started,
            elapsed,
            retransmits,
            outcome,
        }
    }

    fn sent_again(&self, socket: &Socket) -> u32 {
        match self.datagram {
            Some(_) => self.resent,
            None => sys::tcp_info(socket).map_or(0, |info| info.total_retrans),
        }
    }

    /// SYNs or datagrams sent again so far.
    pub(crate) fn retransmits(&self) -> u32 {
        match (&self.known, &self.fd) {
            (Some((_, _, retransmits)), _) => *retransmits,
            (None, Some(fd)) => self.sent_again(fd.get_ref()),
            (None, None) => 0,
        }
    }

    pub(crate) fn outcome(&self) -> Option<&DialOutcome> {
        self.known.as_ref().map(|(outcome, ..)| outcome)
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn purpose(&self) -> DialPurpose {
        self.purpose
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Counts the socket for as long as it is open.
    pub(crate) fn counted(mut self, census: &Census) -> Self {
        self.held = self.fd.is_some().then(|| census.open());
        self
    }

    /// What counts the socket, to be kept for as long as the connection is.
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// The connection, to speak over it; `None` when there is none.
    pub(crate) fn into_stream(self) -> Option<TcpStream> {
        let Some((DialOutcome::Connected { .. }, ..)) = self.known else { return None };
        TcpStream::from_std(self.fd?.into_inner().into()).ok()
    }
}

/// A non-blocking socket whose error queue is on before anything is sent: without it a refusal by the
/// local node over IPv6 shows only after a second, and without its ICMP type.
pub(crate) fn open(remote: SocketAddr, kind: Type, protocol: Protocol) -> Result<Socket, LocalTrouble> {
    let socket = Socket::new(Domain::for_address(remote), kind.nonblocking(), Some(protocol))
        .map_err(|error| trouble("socket", &error))?;
    sys::set_recverr(&socket, remote.is_ipv6()).map_err(|error| trouble("IP_RECVERR", &error))?;
    Ok(socket)
}

/// Trouble with a step that asks nothing of the network.
pub(crate) fn trouble(step: &str, error: &io::Error) -> LocalTrouble {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    LocalTrouble { what: own_trouble(errno).unwrap_or(step).to_owned(), errno }
}

/// An address of a family that the pod does not have, which is the same for the application.
const WITHOUT_FAMILY: DialOutcome =
    DialOutcome::Failed { errno: libc::EAFNOSUPPORT, immediate: true, queue: Vec::new() };

/// Whether the kernel lacks the whole address family (`ipv6.disable=1`).
pub(crate) fn is_without_family(trouble: &LocalTrouble) -> bool {
    trouble.errno == libc::EAFNOSUPPORT
}

/// Whether the pod has no address of the family to send from (`disable_ipv6`), which TCP says in the words of a lack
/// of ports. A datagram socket says so too. It has ports of its own, and connecting it sends nothing.
fn is_without_address(remote: SocketAddr) -> bool {
    let connected = open(remote, Type::DGRAM, Protocol::UDP).map(|socket| socket.connect(&remote.into()));
    matches!(connected, Ok(Err(error)) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL))
}

/// What we ran out of, for the error numbers that are never the network's word.
pub(crate) fn own_trouble(errno: i32) -> Option<&'static str> {
    match errno {
        libc::EMFILE | libc::ENFILE => Some("file descriptors"),
        libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN => Some("ephemeral ports"),
        libc::ENOBUFS | libc::ENOMEM => Some("memory for sockets"),
        _ => None,
    }
}

/// Binds a port of the parity. A plain `connect()` takes even ports only (`__inet_hash_connect` in Linux),
/// so a fault keyed on the low bit of the port would be always seen or never.
///
/// Where most ports are held by others it stays unbound: `connect()` shares a port with connections to other
/// destinations, which `bind()` does not, and whether there is one for this destination is for it to say.
fn bind(
    socket: &Socket,
    remote: SocketAddr,
    mut pick: impl FnMut() -> io::Result<u16>,
) -> Result<(), LocalTrouble> {
    let any = ports::unspecified(remote);
    for _ in 0..PORT_TRIES {
        let port = pick().map_err(|error| trouble("random numbers", &error))?;
        match socket.bind(&SocketAddr::new(any, port).into()) {
            Ok(()) => break,
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => {}
            Err(error) => return Err(trouble("bind", &error)),
        }
    }
    Ok(())
}

/// What came back over UDP; `error` is what was on the socket.
fn answered(socket: &Socket, error: Option<i32>) -> Option<DialOutcome> {
    if let Some(errno) = error {
        return Some(DialOutcome::Failed { errno, immediate: false, queue: read_queue(socket) });
    }
    let mut buffer = [MaybeUninit::uninit(); DATAGRAM];
    match socket.recv(&mut buffer) {
        Ok(bytes) => Some(DialOutcome::Answered { bytes: u32::try_from(bytes).unwrap_or(u32::MAX) }),
        // An error that came in between.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            Some(DialOutcome::Failed { errno, immediate: false, queue: read_queue(socket) })
        }
        Err(_) => {
            let (errno, queue) = queue::read_with_errno(socket)?;
            Some(DialOutcome::Failed { errno, immediate: false, queue })
        }
    }
}

/// A UDP socket is always writable: whatever else happens to it, such as an error, wakes those who wait for that too.
fn register(socket: Socket, udp: bool) -> Result<AsyncFd<Socket>, LocalTrouble> {
    let interest = if udp { Interest::READABLE | Interest::WRITABLE } else { Interest::WRITABLE };
    sys::watch(socket, interest).map_err(|error| trouble("epoll", &error))
}

fn local_address(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok()?.as_socket().filter(|address| !address.ip().is_unspecified())
}

#[cfg(test)]
mod tests;
