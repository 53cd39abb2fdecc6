//! What the network namespace counts, and how it answers SYNs when it is hard pressed.

use std::fs;

use peerwalk_model::peer::Saw;

/// Of the thread's own namespace: `/proc/net` is that of the process.
const NETSTAT: &str = "/proc/thread-self/net/netstat";
const SYN_COOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";

/// Connections that the namespace tracks.
const TRACKED: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

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

/// Whether the namespace tracks connections, as it does where rules of its own translate addresses (a service mesh): a
/// SYN is led elsewhere then than to who listens for the address that was dialled. Without such rules nothing is tracked.
pub(super) fn tracks_connections() -> bool {
    let count = fs::read_to_string(TRACKED).unwrap_or_default();
    count.trim().parse::<u64>().is_ok_and(|count| count > 0)
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
    fn the_kernel_has_them_where_they_are_looked_for() {
        let text = fs::read_to_string(NETSTAT).unwrap();
        assert!(text.contains("ListenOverflows") && text.contains("SyncookiesSent"), "{text}");
        assert!(fs::read_to_string(SYN_COOKIES).unwrap().trim().parse::<u8>().is_ok());
    }
}
