//! A connection that is spoken over: what the kernel tells of it when the exchange is over, and how one with small
//! segments is made.

use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::fd::AsFd;

use peerwalk_model::evidence::{Connection, LocalTrouble};
use socket2::{Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::budget::{Census, Held};

use super::{open, read_queue, sys, trouble};

/// A second handle of a connection, which outlives the exchange. The connection is closed when both are gone.
#[derive(Debug)]
pub(crate) struct Kept(Socket);

impl Kept {
    /// `None` where there is no descriptor left: then nothing is told of the connection.
    pub(crate) fn of(stream: &TcpStream) -> Option<Self> {
        stream.as_fd().try_clone_to_owned().ok().map(|fd| Self(fd.into()))
    }

    /// What the kernel tells by now.
    pub(crate) fn told(self) -> Option<Connection> {
        let info = sys::connection_info(&self.0).ok()?;
        // Before the queue, whose draining resets it.
        let error = self.0.take_error().ok().flatten();
        Some(Connection {
            unacked: info.unacked,
            retransmits: info.retransmits.into(),
            total_retransmits: info.total_retrans,
            bytes_acked: info.bytes_acked.saturating_sub(1),
            bytes_received: info.bytes_received,
            not_sent: info.notsent_bytes,
            peer_window: info.snd_wnd,
            queue: read_queue(&self.0),
            errno: error.and_then(|error| error.raw_os_error()),
        })
    }
}

/// Makes a connection to speak over; with an MSS, one whose segments are no larger in either direction. The option
/// has to be set before `connect()`, which announces it to the peer. `None` when it does not come about.
pub(crate) async fn connect_with_mss(
    remote: SocketAddr,
    mss: Option<u16>,
    census: &Census,
) -> Result<Option<(TcpStream, Held)>, LocalTrouble> {
    let socket = open(remote, Type::STREAM, Protocol::TCP)?;
    let held = census.open();
    if let Some(mss) = mss {
        socket.set_tcp_mss(mss.into()).map_err(|error| trouble("TCP_MAXSEG", &error))?;
    }
    let connected = TcpSocket::from_std_stream(StdStream::from(socket)).connect(remote).await;
    Ok(connected.ok().map(|stream| (stream, held)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_tells_of_itself_after_the_stream_is_gone() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let remote = listener.local_addr().unwrap();
            let census = Census::default();
            let connected = connect_with_mss(remote, Some(536), &census).await.unwrap();
            let (stream, held) = connected.expect("it listens");
            assert_eq!(census.count().0, 1, "it is open");
            drop(held);
            assert_eq!(census.count().0, 0);
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"hello").unwrap();
            stream.readable().await.unwrap();
            stream.try_write(b"four").unwrap();
            let kept = Kept::of(&stream).unwrap();
            drop(stream);
            let told = kept.told().unwrap();
            let counted = (told.bytes_acked, told.bytes_received, told.unacked, told.queue.len());
            assert_eq!(counted, (4, 5, 0, 0), "{told:?}");
            assert!(told.peer_window.is_some_and(|window| window > 0), "{told:?}");
            let mss = Socket::from(peer).tcp_mss().unwrap();
            assert!((400..=536).contains(&mss), "the peer sends segments of {mss} bytes, less options");
        }
    }
}
