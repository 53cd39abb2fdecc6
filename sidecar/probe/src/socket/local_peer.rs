//! Finds out whether the other end of a connection lives in our own network namespace: a redirect to a
//! proxy in the pod (a service mesh, usually), which accepts everything.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use peerwalk_model::evidence::LocalPeer;

use super::diag::{Diag, Listeners};

/// Listeners of each family that are looked at; a pod has a handful.
const LISTENERS: usize = 64;
/// For so long it is known where the namespace listens: dials of one walk, and of walks at the same time, ask once.
/// Whoever begins to listen after that, and has connections redirected to it at once, is found by the next walk.
const KNOWN: Duration = Duration::from_secs(1);

/// What is ours by right: connections that end there are no interception.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locals {
    /// The pod's own addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// The target's endpoints: a Service may lead back to ourselves.
    pub(crate) endpoints: Vec<SocketAddr>,
    /// Where our network namespace listens.
    pub(crate) namespace: Namespace,
}

/// What is kept of our own network namespace between two looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespace(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    diag: Option<Diag>,
    listeners: Option<(Instant, Listeners)>,
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
        match self.namespace.find(local, remote, LISTENERS) {
            Ok(found) => {
                let Holder { address, uid, named } = found?;
                let endpoint = own(address.ip()) && self.endpoints.contains(&address);
                // A load balancer in connect() itself may choose this very pod, of whatever a name leads to. One that
                // leads to a proxy does so on the way, or to loopback.
                let pod = self.addresses.contains(&address.ip());
                let expected = endpoint || (pod && named);
                (!expected).then_some(LocalPeer::Socket { address, uid })
            }
            Err(error) => {
                tracing::debug!(%error, "cannot look up sockets of the own namespace");
                Some(LocalPeer::Unknown)
            }
        }
    }
}

impl Namespace {
    /// See [`find`]. After an error all is asked anew.
    fn find(&self, local: SocketAddr, remote: SocketAddr, most: usize) -> io::Result<Option<Holder>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = find(&mut asked, local, remote, most);
        if found.is_err() {
            *asked = Asked::default();
        }
        found
    }
}

impl Asked {
    /// A socket to ask, and where the namespace listens.
    fn of(&mut self, most: usize) -> io::Result<(&mut Diag, &Listeners)> {
        let diag = match &mut self.diag {
            Some(diag) => diag,
            none => none.insert(Diag::open()?),
        };
        if self.listeners.as_ref().is_none_or(|(at, _)| at.elapsed() >= KNOWN) {
            self.listeners = None;
        }
        let listeners = match &mut self.listeners {
            Some((_, listeners)) => listeners,
            none => &mut none.insert((Instant::now(), diag.listeners(most)?)).1,
        };
        Ok((diag, listeners))
    }
}

/// Exact lookups of the reversed connection: at each listener a redirect could lead to, and at the dialled
/// address itself (TPROXY keeps it). An exact lookup costs about 5 µs however many sockets there are; a
/// dump of connections grows with the sockets of the whole node, a dump of listeners does not.
///
/// An error where a socket may have been overlooked, because there are more than `most` listeners of a family.
fn find(asked: &mut Asked, local: SocketAddr, remote: SocketAddr, most: usize) -> io::Result<Option<Holder>> {
    let (diag, listeners) = asked.of(most)?;
    let mut candidates = vec![remote];
    for listener in &listeners.found {
        let (ip, port) = (listener.local.ip(), listener.local.port());
        if !ip.is_unspecified() {
            candidates.push(listener.local);
            continue;
        }
        let loopback: IpAddr =
            if local.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        candidates.extend([loopback, local.ip()].map(|ip| SocketAddr::new(ip, port)));
    }
    candidates.retain(|candidate| candidate.is_ipv4() == local.is_ipv4() && *candidate != local);
    for candidate in candidates {
        if let Some(held) = diag.exact(candidate, local)? {
            let named = candidate != remote && diag.exact(local, candidate)?.is_some();
            return Ok(Some(Holder { address: held.local, uid: held.uid, named }));
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
    /// Our own socket says that it is connected to this address, and not to the one that was dialled: nothing on the way
    /// led it here.
    named: bool,
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
        assert_eq!(holder.local, remote);
        let stranger = SocketAddr::new(local.ip(), 1);
        assert_eq!(diag.exact(remote, stranger).unwrap(), None, "only the listener is there");
        let listeners = diag.listeners(usize::MAX).unwrap();
        let listens = listeners.found.iter().any(|held| held.local == remote);
        assert!(listens, "{remote} listens: {listeners:?}");
        assert!(!listeners.more, "all of them were looked at");
    }

    #[test]
    fn listeners_that_were_not_looked_at_leave_it_open() {
        let _held =
            ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0", "[::1]:0"].map(|any| TcpListener::bind(any).unwrap());
        let listeners = Diag::open().unwrap().listeners(1).unwrap();
        let families: Vec<bool> = listeners.found.iter().map(|held| held.local.is_ipv4()).collect();
        assert_eq!(families, [true, false], "one of each family");
        assert!(listeners.more, "there are more");
        let (local, remote) = ("10.244.0.5:40000".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
        let namespace = Namespace::default();
        assert!(namespace.find(local, remote, 1).is_err(), "the other end may be behind one of the others");
        assert_eq!(namespace.find(local, remote, usize::MAX).unwrap(), None, "nobody holds it");
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

    #[test]
    fn a_connection_that_a_load_balancer_leads_to_ourselves_is_no_interception() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, address) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        // As if this had been dialled, and rewritten in connect().
        let dialled = "192.0.2.1:80".parse().unwrap();
        let stranger = Locals::default().peer(Some(local), dialled);
        assert!(
            matches!(stranger, Some(LocalPeer::Socket { address: found, .. }) if found == address),
            "no address of the pod's: {stranger:?}"
        );
        let pod = Locals { addresses: vec![address.ip()], ..Locals::default() };
        assert_eq!(pod.peer(Some(local), dialled), None, "the pod itself, as the socket says");
    }
}
