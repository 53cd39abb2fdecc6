//! One question's look at the sockets of the pod's network namespace.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use netlink_packet_sock_diag::constants::TCP_SYN_RECV;
use peerwalk_model::peer::{Listener, PeerSocket};

use super::counters::may_redirect;
use super::{End, told};
use crate::socket::diag::{Diag, Held, Listeners, nobody};

/// Listeners of each family that are looked at; a pod has a handful.
const LISTENERS: usize = 64;
/// Exact lookups of one question, about 5 µs each.
const LOOKUPS: u32 = 1024;
/// `TCP_TIMEWAIT_LEN` (`include/net/tcp.h`): how long the end that closed first keeps a connection.
const TIME_WAIT: Duration = Duration::from_mins(1);
/// The first of the times after which a SYN-ACK is sent again; each is twice the one before.
const SYN_ACK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Namespace<'a> {
    diag: Diag,
    /// What the pod is known to have.
    addresses: &'a [IpAddr],
    /// What it turned out to have, or not.
    asked: Vec<(IpAddr, bool)>,
    /// Read once, when it is needed.
    listeners: Option<Listeners>,
    /// Asked once, when it matters.
    redirects: Option<bool>,
    lookups: u32,
}

impl<'a> Namespace<'a> {
    pub(super) fn open(addresses: &'a [IpAddr]) -> io::Result<Self> {
        let diag = Diag::open()?;
        Ok(Self { diag, addresses, asked: Vec::new(), listeners: None, redirects: None, lookups: LOOKUPS })
    }

    /// Whether it is an address of the pod, and not its loopback, which nobody else can dial.
    pub(super) fn is_own(&mut self, ip: IpAddr) -> bool {
        if self.addresses.contains(&ip) {
            return true;
        }
        if let Some((_, own)) = self.asked.iter().find(|(known, _)| *known == ip) {
            return *own;
        }
        let own = !ip.is_loopback() && !ip.is_multicast() && address_towards(ip) == Some(ip);
        self.asked.push((ip, own));
        own
    }

    /// The socket with these ends, and where a SYN for the one at this pod would be led. The dial announced `mss`.
    pub(super) fn look(
        &mut self,
        source: SocketAddr,
        end: End,
        mss: Option<u16>,
    ) -> io::Result<(Option<PeerSocket>, Listener)> {
        if !end.is_one() {
            // Nobody knows which end it would be, so nobody listens there or does not.
            return Ok((self.any_end(source, end, mss)?, Listener::Unknown));
        }
        let found = self.lookup(end.0, source)?;
        if let Some(found) = found.filter(|found| found.is_between(end.0, source)) {
            let listener = self.lookup(end.0, nobody(end.0.ip()))?.filter(Held::listens);
            let listener = listener.map_or_else(|| self.absent(end), |found| Ok(listens(&found)))?;
            let socket = (!found.is_of_another(mss)).then(|| live(&found));
            return Ok((socket, listener));
        }
        match self.redirected(source, end, mss)? {
            Redirected::To(found) => return Ok((Some(live(&found)), Listener::Unknown)),
            Redirected::Perhaps => return Ok((None, Listener::Unknown)),
            Redirected::Nowhere => {}
        }
        // Of sockets that share a port the kernel has chosen the one that this source is led to.
        let listener = match found {
            None => self.absent(end)?,
            Some(found) if found.listens() => listens(&found),
            Some(_) => Listener::Unknown,
        };
        // Who listens at a port says nothing where what comes for it may be led to another one.
        let led = listener != Listener::Unknown && *self.redirects.get_or_insert_with(may_redirect);
        Ok((None, if led { Listener::Unknown } else { listener }))
    }

    /// What the same source has at other ports where the pod listens: rules of the namespace may lead it there, as they
    /// do to a mesh's proxy.
    fn redirected(&mut self, source: SocketAddr, end: End, mss: Option<u16>) -> io::Result<Redirected> {
        let Listeners { found, more } = self.listeners()?;
        let more = *more;
        let for_it = |held: &&Held| {
            let ip = held.local.ip();
            held.local.port() != end.0.port() && (ip.is_unspecified() || ip == end.0.ip())
        };
        let ports: BTreeSet<u16> = found.iter().filter(for_it).map(|held| held.local.port()).collect();
        for port in ports {
            let local = SocketAddr::new(end.0.ip(), port);
            let Some(found) = self.lookup(local, source)?.filter(|found| found.is_between(local, source))
            else {
                continue;
            };
            // A client may use one port towards two of ours at once: only its mark tells whose a connection is.
            let is_it = found.state == TCP_SYN_RECV || found.is_marked(mss);
            return Ok(if is_it { Redirected::To(found) } else { Redirected::Perhaps });
        }
        Ok(if more { Redirected::Perhaps } else { Redirected::Nowhere })
    }

    /// A socket with that other end, at any of the places where the pod listens for others.
    fn any_end(&mut self, source: SocketAddr, end: End, mss: Option<u16>) -> io::Result<Option<PeerSocket>> {
        let mut own = self.addresses.to_vec();
        own.extend(address_towards(source.ip()));
        let mut candidates: Vec<SocketAddr> = Vec::new();
        let Listeners { found, more } = self.listeners()?;
        let more = *more;
        for listener in found.iter().filter(|listener| !listener.local.ip().is_loopback()) {
            let (ip, port) = (listener.local.ip(), listener.local.port());
            let ips = if ip.is_unspecified() { own.clone() } else { vec![ip] };
            candidates.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).filter(|one| end.is(*one)));
        }
        candidates.sort_unstable();
        candidates.dedup();
        for candidate in candidates {
            let found = self.lookup(candidate, source)?;
            let is_it = |found: &Held| found.is_between(candidate, source) && !found.is_of_another(mss);
            if let Some(found) = found.filter(is_it) {
                return Ok(Some(live(&found)));
            }
        }
        if more {
            tracing::debug!("there are more listeners than can be looked at");
        }
        Ok(None)
    }

    /// Nobody listens for the address; the port may be taken all the same.
    fn absent(&mut self, end: End) -> io::Result<Listener> {
        let Listeners { found, more } = self.listeners()?;
        if *more {
            return Ok(Listener::Unknown);
        }
        let same = found.iter().filter(|listener| listener.local.port() == end.0.port());
        let mut elsewhere = None;
        for listener in same {
            let fits = listener.local.ip().is_unspecified() || listener.local.ip() == end.0.ip();
            // A socket of one interface is not found without it, and takes the SYN if it comes by that. One that
            // fits and was not found has come in between.
            if listener.interface != 0 || (fits && listener.local.is_ipv4() == end.0.is_ipv4()) {
                return Ok(Listener::Unknown);
            }
            elsewhere = elsewhere.or(Some(listener.local));
        }
        Ok(Listener::Absent { elsewhere })
    }

    fn listeners(&mut self) -> io::Result<&Listeners> {
        let known = match self.listeners.take() {
            Some(known) => known,
            None => self.diag.listeners(LISTENERS)?,
        };
        Ok(self.listeners.insert(known))
    }

    fn lookup(&mut self, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Held>> {
        self.lookups = self.lookups.checked_sub(1).ok_or_else(|| io::Error::other("too many lookups"))?;
        self.diag.lookup(local, remote)
    }
}

/// Where else a source that has nothing at an end has something.
enum Redirected {
    To(Held),
    /// It cannot be told.
    Perhaps,
    Nowhere,
}

fn listens(held: &Held) -> Listener {
    Listener::Listens { queue: held.received, backlog: held.sent }
}

fn live(held: &Held) -> PeerSocket {
    let quiet = match held.info {
        Some(info) => info.data_received.min(info.ack_received),
        // It keeps no time but that of its timer, which begins anew with each SYN: so long at least.
        None if held.state == TCP_SYN_RECV => {
            let mut again = SYN_ACK_AGAIN;
            while again < held.expires {
                again *= 2;
            }
            again.saturating_sub(held.expires)
        }
        None => TIME_WAIT.saturating_sub(held.expires),
    };
    told(held, quiet, false)
}

/// Our own address for packets to another; to one of our own it is that one. Connecting a datagram socket sends
/// nothing.
fn address_towards(ip: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(nobody(ip)).ok()?;
    socket.connect((ip, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
