//! The mark that a dial is known by at its peer.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// What is announced, bytes: below what any path carries, so that the peer uses it as it is. IPv6 packets have 1280
/// bytes at least (RFC 8200, section 5).
const V4: RangeInclusive<u16> = 1000..=1400;
const V6: RangeInclusive<u16> = 1000..=1200;

/// A random MSS; none without randomness. Not for a connection over which something is said: the peer sends smaller
/// segments than it would.
pub(crate) fn random(remote: SocketAddr) -> Option<u16> {
    let range = if remote.ip().to_canonical().is_ipv4() { V4 } else { V6 };
    let random = crate::random::u16().ok()?;
    Some(range.start() + random % (range.end() - range.start() + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn marks_are_of_their_family_and_differ() {
        for (remote, range) in [("10.0.0.1:80", V4), ("[::ffff:10.0.0.1]:80", V4), ("[fd00::1]:80", V6)] {
            let marks: BTreeSet<u16> = (0..1000).filter_map(|_| random(remote.parse().unwrap())).collect();
            assert!(marks.iter().all(|mark| range.contains(mark)), "{remote}: {marks:?}");
            assert!(marks.len() > 100, "{remote}: {marks:?}");
        }
    }
}
