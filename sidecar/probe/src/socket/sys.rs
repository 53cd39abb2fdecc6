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

/// What `TCP_INFO` tells of a connection. `struct tcp_info` grows at its end from kernel to kernel, and is longer than
/// the one of `libc`: it is read as bytes, each field at its place in `include/uapi/linux/tcp.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionInfo {
    pub(crate) retransmits: u8,
    pub(crate) unacked: u32,
    pub(crate) total_retrans: u32,
    /// With the SYN, which takes one.
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
    pub(crate) notsent_bytes: u32,
    /// `None` before Linux 5.4.
    pub(crate) snd_wnd: Option<u32>,
}

/// The part of `struct tcp_info` that is read, in bytes: to the end of `tcpi_snd_wnd`.
const INFO: usize = 232;

/// Reads `TCP_INFO` of a connection.
pub(crate) fn connection_info(socket: &Socket) -> io::Result<ConnectionInfo> {
    let mut bytes = [0_u8; INFO];
    let mut length = libc::socklen_t::try_from(INFO).unwrap_or(0);
    // SAFETY: the descriptor is open for the whole call, and the kernel writes at most `length` bytes to `bytes`, which
    // is that large.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(read_info(&bytes[..usize::try_from(length).unwrap_or(0).min(INFO)]))
}

/// The fields of a `struct tcp_info`, zero where it is too short for them.
fn read_info(bytes: &[u8]) -> ConnectionInfo {
    let u32_at = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    ConnectionInfo {
        retransmits: bytes.get(2).copied().unwrap_or(0),
        unacked: u32_at(24).unwrap_or(0),
        total_retrans: u32_at(100).unwrap_or(0),
        bytes_acked: u64_at(120).unwrap_or(0),
        bytes_received: u64_at(128).unwrap_or(0),
        notsent_bytes: u32_at(144).unwrap_or(0),
        snd_wnd: u32_at(228),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_struct_has_what_it_has() {
        let mut bytes = [0_u8; INFO];
        bytes[2] = 3;
        bytes[24..28].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[120..128].copy_from_slice(&90_u64.to_ne_bytes());
        bytes[228..232].copy_from_slice(&64_u32.to_ne_bytes());
        let old = ConnectionInfo { retransmits: 3, unacked: 7, ..ConnectionInfo::default() };
        assert_eq!(read_info(&bytes[..104]), old, "Linux 3.x ends with tcpi_total_retrans");
        let whole = ConnectionInfo { bytes_acked: 90, snd_wnd: Some(64), ..old };
        assert_eq!(read_info(&bytes), whole);
    }
}
