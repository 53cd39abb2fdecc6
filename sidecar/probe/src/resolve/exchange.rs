//! One question to one server: over a connected UDP socket, so that ICMP refusals are seen, or over TCP.

use std::future::poll_fn;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use peerwalk_model::evidence::{DialOutcome, DialPurpose, LocalTrouble, QueryOutcome};
use socket2::{Protocol, SockRef, Type};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::message::{Answer, Question};
use crate::budget::{Census, Held};
use crate::socket::{self, Attempt, is_without_family, own_trouble, read_queue, trouble};

/// The largest datagram that is read; without EDNS servers send at most 512 bytes (RFC 1035, 4.2.1).
const DATAGRAM: usize = 4096;

/// A question whose answer did not come in time, with the socket that it may still come to.
#[derive(Debug)]
pub(crate) struct Open {
    socket: Counted,
    question: Question,
    /// When it was sent.
    pub(crate) sent: Instant,
}

/// A socket, counted for as long as it is open.
#[derive(Debug)]
struct Counted {
    fd: AsyncFd<UdpSocket>,
    _held: Held,
}

impl Open {
    /// What comes after all, whenever that is.
    pub(crate) async fn late(&self) -> Result<Answer, LocalTrouble> {
        receive(&self.socket.fd, |bytes| self.question.read(bytes)).await.map(Received::answer)
    }
}

/// What came to a socket.
enum Received<T> {
    Read(T),
    /// An error of the network.
    Failed(Answer),
}

impl Received<Answer> {
    fn answer(self) -> Answer {
        match self {
            Self::Read(answer) | Self::Failed(answer) => answer,
        }
    }
}

/// Asks over UDP, with a new socket and source port. What is left open may be answered late.
pub(crate) async fn udp(
    server: SocketAddr,
    question: Question,
    deadline: Duration,
    census: &Census,
) -> Result<(Answer, Option<Open>), LocalTrouble> {
    let socket = match send(server, &[&question], census)? {
        Received::Read(socket) => socket,
        Received::Failed(answer) => return Ok((answer, None)),
    };
    let sent = Instant::now();
    match timeout(deadline, receive(&socket.fd, |bytes| question.read(bytes))).await {
        Ok(received) => Ok((received?.answer(), None)),
        Err(_) => Ok((once(QueryOutcome::Timeout), Some(Open { socket, question, sent }))),
    }
}

/// Asks two questions at once from one socket, with a new source port, as glibc and musl do.
pub(crate) async fn both(
    server: SocketAddr,
    questions: [&Question; 2],
    deadline: Duration,
    census: &Census,
) -> Result<[QueryOutcome; 2], LocalTrouble> {
    let socket = match send(server, &questions, census)? {
        Received::Read(socket) => socket,
        Received::Failed(Answer { outcome, .. }) => return Ok([outcome.clone(), outcome]),
    };
    let mut outcomes = [QueryOutcome::Timeout, QueryOutcome::Timeout];
    let exchange = async {
        while outcomes.contains(&QueryOutcome::Timeout) {
            let read = |bytes: &[u8]| {
                questions.iter().zip(0..).find_map(|(question, place)| Some((place, question.read(bytes)?)))
            };
            match receive(&socket.fd, read).await? {
                Received::Read((place, answer)) => {
                    let place: usize = place;
                    outcomes[place] = answer.sample();
                }
                Received::Failed(answer) => {
                    let open = outcomes.iter_mut().filter(|outcome| **outcome == QueryOutcome::Timeout);
                    open.for_each(|outcome| *outcome = answer.outcome.clone());
                }
            }
        }
        Ok(())
    };
    timeout(deadline, exchange).await.unwrap_or(Ok(()))?;
    Ok(outcomes)
}

/// Sends questions from a new connected socket, one right after the other.
fn send(
    server: SocketAddr,
    questions: &[&Question],
    census: &Census,
) -> Result<Received<Counted>, LocalTrouble> {
    let socket = match socket::open(server, Type::DGRAM, Protocol::UDP) {
        Err(trouble) if is_without_family(&trouble) => return Ok(Received::Failed(without_family())),
        opened => opened?,
    };
    if let Err(error) = socket.connect(&server.into()) {
        // No address of the family to send from; a lack of ports is another error here.
        let without_address = error.raw_os_error() == Some(libc::EADDRNOTAVAIL);
        let answer = if without_address { without_family() } else { failed(&error, &socket)? };
        return Ok(Received::Failed(answer));
    }
    let interest = Interest::READABLE | Interest::ERROR;
    let fd = socket::watch(UdpSocket::from(socket), interest).map_err(|e| trouble("epoll", &e))?;
    for question in questions {
        // EPERM here is a filter in our own OUTPUT chain; TCP would only see silence.
        if let Err(error) = fd.get_ref().send(&question.bytes) {
            return failed(&error, &SockRef::from(fd.get_ref())).map(Received::Failed);
        }
    }
    Ok(Received::Read(Counted { fd, _held: census.open() }))
}

/// The first datagram that can be read as what is wanted, or an error.
async fn receive<T>(
    fd: &AsyncFd<UdpSocket>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Received<T>, LocalTrouble> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let mut guard =
            fd.ready(Interest::READABLE | Interest::ERROR).await.map_err(|e| trouble("epoll", &e))?;
        // The error first: reading the queue would reset it.
        if let Ok(Some(error)) = fd.get_ref().take_error() {
            return failed(&error, &SockRef::from(fd.get_ref())).map(Received::Failed);
        }
        match fd.get_ref().recv(&mut buffer) {
            Ok(length) => {
                if let Some(read) = read(&buffer[..length]) {
                    return Ok(Received::Read(read));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => guard.clear_ready(),
            Err(error) => return failed(&error, &SockRef::from(fd.get_ref())).map(Received::Failed),
        }
    }
}

/// Asks over TCP (RFC 7766: two bytes of length before each message).
pub(crate) async fn tcp(
    server: SocketAddr,
    question: &Question,
    deadline: Duration,
    census: &Census,
) -> Result<Answer, LocalTrouble> {
    let exchange = async {
        let mut attempt = Attempt::begin(DialPurpose::Address, server, None)?.counted(census);
        poll_fn(|cx| attempt.poll_known(cx, None)).await;
        if let Some(DialOutcome::Failed { errno, queue, .. }) = attempt.outcome() {
            return Ok(once(QueryOutcome::Unreachable { errno: *errno, icmp: queue.last().cloned() }));
        }
        let _held = attempt.take_held();
        let Some(stream) = attempt.into_stream() else { return Ok(once(QueryOutcome::Timeout)) };
        Ok(converse(stream, question).await.unwrap_or_else(|error| {
            let errno = error.raw_os_error();
            once(
                errno
                    .map_or(QueryOutcome::Malformed, |errno| QueryOutcome::Unreachable { errno, icmp: None }),
            )
        }))
    };
    timeout(deadline, exchange).await.unwrap_or_else(|_| Ok(once(QueryOutcome::Timeout)))
}

async fn converse(mut stream: TcpStream, question: &Question) -> std::io::Result<Answer> {
    let mut message = u16::try_from(question.bytes.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    message.extend(&question.bytes);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    let answer = question.read(&bytes).unwrap_or_else(|| once(QueryOutcome::Malformed));
    // Nothing is larger than TCP carries: a truncated answer here is a broken one.
    Ok(if answer.outcome == QueryOutcome::Truncated { once(QueryOutcome::Malformed) } else { answer })
}

/// An error of the kernel: our own trouble, or the network's word.
fn failed(error: &std::io::Error, socket: &socket2::Socket) -> Result<Answer, LocalTrouble> {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    if let Some(what) = own_trouble(errno) {
        return Err(LocalTrouble { what: what.to_owned(), errno });
    }
    let icmp = read_queue(socket).pop();
    Ok(once(QueryOutcome::Unreachable { errno, icmp }))
}

/// A server whose address is of a family that the pod does not have.
fn without_family() -> Answer {
    once(QueryOutcome::Unreachable { errno: libc::EAFNOSUPPORT, icmp: None })
}

fn once(outcome: QueryOutcome) -> Answer {
    Answer { outcome, reuse: Duration::ZERO }
}
