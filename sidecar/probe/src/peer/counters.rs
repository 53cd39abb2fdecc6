//! What the network namespace counts, how it answers SYNs when it is hard pressed, and whether it may lead them elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::{fs, io};

use peerwalk_model::peer::Saw;

/// Of the thread's own namespace: `/proc/net` is that of the process.
const NETSTAT: &str = "/proc/thread-self/net/netstat";
const SYN_COOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";
/// Connections that the namespace tracks: more than none if a rule in it translates addresses, as that of a mesh's proxy
/// does.
const TRACKED: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// There wherever connections can be tracked, unlike the count, which some kernels hide from user namespaces.
const TRACKING: &str = "/sys/module/nf_conntrack";

/// Whether rules of the namespace may lead what comes for one port to another. Which rules there are, nobody is told
/// without privileges.
pub(super) fn may_redirect() -> bool {
    for own in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        // A pod need not have both.
        let _: io::Result<()> = to_oneself(own);
    }
    redirects(fs::read_to_string(TRACKED), Path::new(TRACKING).exists())
}

/// One empty datagram within the pod, so that there is something to track.
fn to_oneself(own: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_nonblocking(true)?;
    socket.send_to(&[], socket.local_addr()?).map(drop)
}

fn redirects(tracked: io::Result<String>, tracking: bool) -> bool {
    match tracked {
        Ok(count) => count.trim() != "0",
        Err(error) if error.kind() == io::ErrorKind::NotFound => tracking,
        Err(_) => true,
    }
}

/// An answer with nothing but these; zero where they cannot be read.
pub(super) fn read() -> Saw {
    let netstat = fs::read_to_string(NETSTAT).unwrap_or_default();
    let mode = fs::read_to_string(SYN_COOKIES).unwrap_or_default();
    Saw {
        seen: Vec::new(),
        listen_overflows: counter(&netstat, "ListenOverflows"),
        syn_cookies: counter(&netstat, "SyncookiesSent"),
        always_cookies: mode.trim() == "2",
    }
}

/// A line of names, then one of values.
fn counter(netstat: &str, name: &str) -> u64 {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let place = names.split_whitespace().position(|other| other == name);
    let value = place.and_then(|place| values.split_whitespace().nth(place));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 17\nIpExt: ListenOverflows\nIpExt: 9\n";
        assert_eq!((counter(text, "ListenOverflows"), counter(text, "SyncookiesSent")), (17, 3));
        assert_eq!((counter(text, "ListenDrops"), counter("", "ListenDrops")), (0, 0));
    }

    #[test]
    fn ports_are_redirected_only_where_connections_are_tracked() {
        let error = |kind: io::ErrorKind| Err(kind.into());
        for (tracked, tracking, expected) in [
            (Ok("0\n"), true, false),
            (Ok("3\n"), true, true),
            (error(io::ErrorKind::NotFound), false, false),
            (error(io::ErrorKind::NotFound), true, true),
            (error(io::ErrorKind::PermissionDenied), true, true),
        ] {
            let told = format!("{tracked:?}, tracking {tracking}");
            assert_eq!(redirects(tracked.map(str::to_owned), tracking), expected, "{told}");
        }
    }

    #[test]
    fn the_kernel_has_them_where_they_are_looked_for() {
        let text = fs::read_to_string(NETSTAT).unwrap();
        assert!(text.contains("ListenOverflows") && text.contains("SyncookiesSent"), "{text}");
        assert!(fs::read_to_string(SYN_COOKIES).unwrap().trim().parse::<u8>().is_ok());
    }
}
