//! Reads a socket's error queue: who refused, and in which words.

use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use peerwalk_model::evidence::IcmpError;
use socket2::{MaybeUninitSlice, MsgHdrMut, Socket};

use super::sys;

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` (`include/uapi/linux/errqueue.h`).
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;
/// `struct cmsghdr` and `struct sock_extended_err`, in bytes.
const CMSG_HEADER: usize = 16;
const EXTENDED_ERR: usize = 16;
/// Room for one entry's control messages.
const CONTROL: usize = 512;
/// Entries read at most; a probe socket has one or two.
const ENTRIES: usize = 8;

/// The ICMP entries of the queue, in order. The queue is empty afterwards.
pub(crate) fn read(socket: &Socket) -> Vec<IcmpError> {
    drain(socket).into_iter().map(|(_, error)| error).collect()
}

/// The same, with the error number of the last entry; `None` when there is no ICMP entry.
pub(crate) fn read_with_errno(socket: &Socket) -> Option<(i32, Vec<IcmpError>)> {
    let entries = drain(socket);
    let errno = entries.last()?.0;
    Some((errno, entries.into_iter().map(|(_, error)| error).collect()))
}

fn drain(socket: &Socket) -> Vec<(i32, IcmpError)> {
    let mut entries = Vec::new();
    for _ in 0..ENTRIES {
        let mut control = [MaybeUninit::new(0_u8); CONTROL];
        let mut payload = [MaybeUninit::new(0_u8); 64];
        let mut buffers = [MaybeUninitSlice::new(&mut payload)];
        let mut message = MsgHdrMut::new().with_buffers(&mut buffers).with_control(&mut control);
        if socket.recvmsg(&mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT).is_err() {
            break;
        }
        let length = message.control_len().min(CONTROL);
        entries.extend(parse(&sys::initialised(control)[..length]));
    }
    entries
}

/// The extended error among the control messages, if it came from ICMP.
fn parse(mut control: &[u8]) -> Option<(i32, IcmpError)> {
    while control.len() >= CMSG_HEADER {
        let length = usize::from_ne_bytes(control.get(..8)?.try_into().ok()?);
        let level = i32::from_ne_bytes(control.get(8..12)?.try_into().ok()?);
        let kind = i32::from_ne_bytes(control.get(12..16)?.try_into().ok()?);
        let data = control.get(CMSG_HEADER..length)?;
        if matches!(
            (level, kind),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        ) {
            return extended(data);
        }
        control = control.get(length.next_multiple_of(8)..)?;
    }
    None
}

/// `struct sock_extended_err` and the offender's address behind it.
fn extended(data: &[u8]) -> Option<(i32, IcmpError)> {
    let head = data.get(..EXTENDED_ERR)?;
    let errno = i32::from_ne_bytes(head.get(..4)?.try_into().ok()?);
    let origin = head[4];
    if origin != ORIGIN_ICMP && origin != ORIGIN_ICMP6 {
        return None;
    }
    let offender = data.get(EXTENDED_ERR..).and_then(sockaddr);
    Some((errno, IcmpError { v6: origin == ORIGIN_ICMP6, kind: head[5], code: head[6], offender }))
}

fn sockaddr(bytes: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(origin: u8, offender: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((CMSG_HEADER + EXTENDED_ERR + offender.len()).to_ne_bytes());
        bytes.extend(libc::IPPROTO_IP.to_ne_bytes());
        bytes.extend(libc::IP_RECVERR.to_ne_bytes());
        bytes.extend(113_i32.to_ne_bytes());
        bytes.extend([origin, 3, 13, 0]);
        bytes.extend([0; 8]);
        bytes.extend(offender);
        bytes
    }

    fn v4(address: [u8; 4]) -> Vec<u8> {
        let mut bytes = u16::try_from(libc::AF_INET).unwrap().to_ne_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(address);
        bytes.extend([0; 8]);
        bytes
    }

    #[test]
    fn an_admin_prohibited_names_its_sender() {
        let expected =
            IcmpError { v6: false, kind: 3, code: 13, offender: Some("10.244.0.1".parse().unwrap()) };
        assert_eq!(parse(&control(ORIGIN_ICMP, &v4([10, 244, 0, 1]))), Some((113, expected)));
    }

    #[test]
    fn a_local_entry_is_not_icmp() {
        assert_eq!(
            parse(&control(1, &v4([10, 0, 0, 1]))),
            None,
            "SO_EE_ORIGIN_LOCAL says nothing of the net"
        );
    }

    #[test]
    fn cut_off_bytes_are_no_entry() {
        let whole = control(ORIGIN_ICMP, &v4([10, 0, 0, 1]));
        for length in 0..whole.len() - 16 {
            assert_eq!(parse(&whole[..length]), None, "{length} of {} bytes", whole.len());
        }
    }
}
