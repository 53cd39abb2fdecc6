//! The servers of a case: threads inside a namespace that end with their handle.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::case::{Does, Listening};
use crate::lab::{At, Lab};

pub(crate) mod dns;

/// How often a server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// More connections than this keep an accept queue of one full, whatever the kernel adds to it.
const FILLING: usize = 4;

/// A server; its sockets close when this goes.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Sockets that nobody reads.
    idle: Vec<Socket>,
    filling: Vec<TcpStream>,
}

impl Server {
    /// Begins to listen; it does so when this returns.
    pub(crate) fn start(lab: &Lab, listening: &Listening, address: Option<SocketAddr>) -> Result<Self> {
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, listening.port, 0, 0);
        let address = address.unwrap_or_else(|| any.into());
        let mut server =
            Self { stop: Arc::default(), threads: Vec::new(), idle: Vec::new(), filling: Vec::new() };
        let begun = lab.within(listening.at, || server.begin(listening, address))?;
        begun.with_context(|| format!("cannot listen on {address} at {:?}", listening.at))?;
        Ok(server)
    }

    fn begin(&mut self, listening: &Listening, address: SocketAddr) -> Result<()> {
        match &listening.does {
            Does::Accept => self.idle.push(listener(address, 128)?),
            Does::Full => {
                self.idle.push(listener(address, 0)?);
                let own = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listening.port);
                for _ in 0..FILLING {
                    // Those that find it full stay in SYN_SENT, and their time-out ends the wait.
                    if let Ok(stream) = TcpStream::connect_timeout(&own, LOOK) {
                        self.filling.push(stream);
                    }
                }
            }
            Does::Close => self.serve(listener(address, 128)?, drop),
            Does::Reset => self.serve(listener(address, 128)?, |stream| {
                // The client sees the RST whatever comes of this.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }),
            Does::Http(status) => self.http(address, &format!("HTTP/1.1 {status} Lab\r\n"))?,
            Does::HeadOf(bytes) => {
                let line = "X-Lab: 0123456789abcdef0123456789abcdef\r\n";
                self.http(address, &format!("HTTP/1.1 200 Lab\r\n{}", line.repeat(bytes / line.len())))?;
            }
            Does::NeverReads => {
                let socket = socket(address, Type::STREAM, Protocol::TCP)?;
                // Before it listens: connections have the buffer of their listener. The kernel raises it to its least.
                socket.set_recv_buffer_size(1)?;
                socket.listen(128)?;
                self.idle.push(socket);
            }
            Does::Echo => self.datagrams(address, true)?,
            Does::Mute => self.datagrams(address, false)?,
            Does::ReadThenReset => self.serve(listener(address, 128)?, |mut stream| {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                // What is read is all the same, as is what comes of the option.
                let _ = stream.read(&mut [0; 4096]);
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }),
            Does::Says(line) => {
                let line = format!("{line}\r\n");
                self.serve(listener(address, 128)?, move |mut stream| {
                    drop(stream.write_all(line.as_bytes()));
                });
            }
            Does::Dns(zone) => {
                let (over_udp, over_tcp) = (dns::OverUdp::new(zone.clone()), zone.clone());
                self.answer(address, over_udp)?;
                self.serve(listener(address, 128)?, move |stream| dns::over_tcp(&over_tcp, stream));
            }
        }
        Ok(())
    }

    /// Answers each request with what begins like this.
    fn http(&mut self, address: SocketAddr, begins: &str) -> Result<()> {
        let answer = format!("{begins}Content-Length: 0\r\nConnection: close\r\n\r\n");
        let stop = Arc::clone(&self.stop);
        self.serve(listener(address, 128)?, move |mut stream| {
            let (stop, answer) = (Arc::clone(&stop), answer.clone());
            // For as long as the case lasts: what was sent may be lost on the way, and others come meanwhile.
            thread::spawn(move || {
                let (mut request, mut read) = ([0; 4096], 0);
                while !stop.load(Ordering::Relaxed) {
                    match stream.read(&mut request[read..]) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Ok(0) | Err(_) => return,
                        Ok(more) => read += more,
                    }
                    if !begins_a_request(&request[..read]) || request[..read].ends_with(b"\r\n\r\n") {
                        return drop(stream.write_all(answer.as_bytes()));
                    }
                }
            });
        });
        Ok(())
    }

    /// Does something with each connection, one after the other.
    fn serve(&mut self, listener: Socket, with: impl Fn(TcpStream) + Send + 'static) {
        let (stop, listener) = (Arc::clone(&self.stop), TcpListener::from(listener));
        self.threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let _ = stream.set_nonblocking(false);
                        let _ = stream.set_read_timeout(Some(LOOK));
                        with(stream);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(1));
                    }
                    Err(_) => return,
                }
            }
        }));
    }

    /// Asks a name server as others would, so many times a second.
    pub(crate) fn load(lab: &Lab, at: At, server: SocketAddr, per_second: u32) -> Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let threads = lab.within(at, || {
            let stop = Arc::clone(&stop);
            vec![thread::spawn(move || dns::load(server, per_second, &stop))]
        })?;
        Ok(Self { stop, threads, idle: Vec::new(), filling: Vec::new() })
    }

    /// Sends each datagram back, or reads it and says nothing.
    fn datagrams(&mut self, address: SocketAddr, echo: bool) -> Result<()> {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.set_read_timeout(Some(LOOK))?;
        let (stop, socket) = (Arc::clone(&self.stop), UdpSocket::from(socket));
        self.threads.push(thread::spawn(move || {
            let mut datagram = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut datagram)
                    && echo
                {
                    // A client that has gone is no failure of the case.
                    let _ = socket.send_to(&datagram[..length], from);
                }
            }
        }));
        Ok(())
    }

    /// Answers each datagram, or not.
    fn answer(&mut self, address: SocketAddr, mut with: dns::OverUdp) -> Result<()> {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.set_read_timeout(Some(LOOK / 10))?;
        let (stop, socket) = (Arc::clone(&self.stop), UdpSocket::from(socket));
        self.threads.push(thread::spawn(move || {
            let mut datagram = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    with.ask(&datagram[..length], from);
                }
                while let Some((to, answer)) = with.next() {
                    // A client that has gone is no failure of the case.
                    let _ = socket.send_to(&answer, to);
                }
            }
        }));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

/// Whether it may be the beginning of a request, rather than another protocol's, which is answered at once.
fn begins_a_request(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(u8::is_ascii_uppercase)
}

fn listener(address: SocketAddr, backlog: i32) -> Result<Socket> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A bound socket; of both families on the unspecified address, as servers in Go and Rust open it.
fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_reuse_address(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
