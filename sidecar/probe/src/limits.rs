//! How much evidence holds at most, so that every walk fits into one message to the hub. The probe knows no
//! wire format; `sidecar/tests/limits.rs` holds the two against each other.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Addresses of one DNS answer, and of both types that a name leads to together.
pub(crate) const ADDRESSES: usize = 256;
/// Addresses of an answer beside those that count: one that came late, and those of a pair.
pub(crate) const SAMPLE: usize = 4;
/// DNS queries.
pub(crate) const QUERIES: usize = 64;
/// Proxies that the variables of all containers together lead to.
pub(crate) const PROXIES: usize = 64;
/// Bytes of a DNS name. Longer ones cannot be asked for (RFC 1035, section 2.3.4).
pub(crate) const NAME: usize = 255;
/// Bytes of a URL.
pub(crate) const URL: usize = 2048;
/// Bytes of a URL that is no target: what it repeats is in an error message.
pub(crate) const WRONG_URL: usize = 120;
/// Bytes of a datagram: what fits into any packet of either family.
pub(crate) const DATAGRAM: usize = 512;
/// Bytes of a library's own words.
pub(crate) const WORDS: usize = 200;

/// At most so many bytes of a text, cut between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// At most so many different addresses, in their order, and no family crowded out by the other. Servers turn
/// the order from answer to answer; which are kept does not depend on it, so that a name that stays the same
/// is found to be the same.
pub(crate) fn kept(mut addresses: Vec<IpAddr>, most: usize) -> Vec<IpAddr> {
    let mut all = BTreeSet::new();
    addresses.retain(|address| all.insert(*address));
    if addresses.len() <= most {
        return addresses;
    }
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.into_iter().partition(IpAddr::is_ipv4);
    let fewer = v4.len().min(v6.len()).min(most / 2);
    let share = |family: Vec<IpAddr>| {
        let share = if family.len() > most / 2 { most - fewer } else { fewer };
        family.into_iter().take(share)
    };
    let chosen: BTreeSet<IpAddr> = share(v4).chain(share(v6)).collect();
    addresses.retain(|address| chosen.contains(address));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut(&"ü".repeat(150), 199).len(), 198);
        assert_eq!(cut("short", 200), "short");
    }

    fn many(first: [u8; 3], count: u8) -> Vec<IpAddr> {
        (0..count).map(|last| IpAddr::from([first[0], first[1], first[2], last])).collect()
    }

    fn many_v6(count: u8) -> Vec<IpAddr> {
        (0..count).map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.into()])).collect()
    }

    #[test]
    fn the_same_addresses_are_kept_in_whatever_order() {
        let all = many([10, 0, 0], 200);
        assert_eq!(kept(all.clone(), 200), all, "what fits is kept");
        let mut turned = all.clone();
        turned.rotate_left(150);
        let expected = [&turned[50..], &[]].concat();
        assert_eq!(kept(turned, 150), expected, "in the order of the answer");
        assert_eq!(kept(many([10, 0, 0], 1).repeat(300), 256), many([10, 0, 0], 1), "each once");
    }

    #[test]
    fn both_families_are_kept() {
        for (v4, v6, expected) in [(200, 200, (128, 128)), (250, 50, (206, 50)), (3, 255, (3, 253))] {
            let found = kept([many([10, 0, 0], v4), many_v6(v6)].concat(), 256);
            let count = found.iter().filter(|address| address.is_ipv4()).count();
            assert_eq!((count, found.len() - count), expected, "of {v4} and {v6}");
        }
    }
}
