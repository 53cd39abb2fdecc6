//! Sets of ports as people read them.

use super::*;

fn set(ranges: &[(Protocol, RangeInclusive<u16>)]) -> PortSet {
    ranges.iter().cloned().collect()
}

#[test]
fn they_read_as_np_guard_writes_them() {
    use Protocol::{Sctp, Tcp, Udp};
    let table = [
        (set(&[]), "No Connections"),
        (PortSet::all(), "All Connections"),
        (set(&[(Tcp, 80..=80)]), "TCP 80"),
        (set(&[(Udp, 53..=53), (Tcp, 8080..=8090), (Tcp, 80..=80)]), "TCP 80,8080-8090,UDP 53"),
        (set(&[(Tcp, 1..=65535), (Sctp, 7..=7)]), "TCP 1-65535,SCTP 7"),
        (set(&[(Tcp, 1..=79), (Tcp, 80..=80), (Tcp, 60..=70)]), "TCP 1-80"),
        (set(&[(Udp, 0..=1), (Udp, 0..=0)]), "UDP 1"),
    ];
    for (set, text) in table {
        assert_eq!(set.to_string(), text);
    }
}

#[test]
fn all_is_all_and_nothing_less() {
    let without = PortSet::all().difference(&PortSet::of(Protocol::Sctp, 65535..=65535));
    assert!(PortSet::all().is_all());
    assert!(!without.is_all(), "{without}");
    assert!(without.union(&PortSet::of(Protocol::Sctp, 60000..=65535)).is_all());
    assert!(!PortSet::all().contains(Protocol::Tcp, 0), "0 is no port");
}

#[test]
fn protocols_are_apart() {
    let (tcp, udp) = (PortSet::of(Protocol::Tcp, 65535..=65535), PortSet::of(Protocol::Udp, 1..=1));
    let both = tcp.union(&udp);
    assert_eq!(both.iter().count(), 2, "the last port of one does not meet the first of the next");
    assert!(both.contains(Protocol::Tcp, 65535) && !both.contains(Protocol::Udp, 65535));
    assert!(tcp.intersection(&udp).is_empty());
}
