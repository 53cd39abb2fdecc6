//! What no safe wrapper in the tree offers: two socket options, and the readiness of a socket.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::diag::Destroyed;

/// The part of `struct tcp_info` (`include/uapi/linux/tcp.h`) that is used. Readable in every state,
/// `SYN_SENT` included, without privileges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpInfo {
    pub(crate) state: u8,
    pub(crate) total_retrans: u32,
}

/// Turns the socket's error queue on (`IP_RECVERR`, `IPV6_RECVERR`).
pub(crate) fn set_recverr(socket: &Socket, v6: bool) -> io::Result<()> {
    let (level, name) =
        if v6 { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) } else { (libc::IPPROTO_IP, libc::IP_RECVERR) };
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(mem::size_of_val(&on)).unwrap_or(4);
    // SAFETY: the descriptor is open for the whole call, and the pointer and length describe `on`, which the
    // kernel only reads.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads `TCP_INFO`.
pub(crate) fn tcp_info(socket: &Socket) -> io::Result<TcpInfo> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(mem::size_of::<libc::tcp_info>()).unwrap_or(0);
    // SAFETY: the descriptor is open for the whole call, and the kernel writes at most `length` bytes to
    // `info`, which is that large.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every field is an integer, for which zeroes (and what the kernel wrote over them) are valid.
    let info = unsafe { info.assume_init() };
    Ok(TcpInfo { state: info.tcpi_state, total_retrans: info.tcpi_total_retrans })
}

/// The bytes of a buffer that was created with every byte initialised.
pub(crate) fn initialised<const N: usize>(buffer: [MaybeUninit<u8>; N]) -> [u8; N] {
    // SAFETY: callers create the buffer from `MaybeUninit::new(0)`, and the kernel only writes over it.
    buffer.map(|byte| unsafe { byte.assume_init() })
}

/// A type that owns one open socket and returns that descriptor, always the same.
pub(crate) trait OwnSocket: AsRawFd {}
impl OwnSocket for Socket {}
impl OwnSocket for UdpSocket {}
impl OwnSocket for Destroyed {}

/// Registers a socket with the runtime's reactor.
pub(crate) fn watch<S: OwnSocket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    // SAFETY: `OwnSocket` types own their descriptor: it is open, and stays the same for as long as the
    // registration, which owns the socket.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest)? })
}
