//! Source ports of a chosen parity.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

/// The low bit of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    Even,
    Odd,
}

impl Parity {
    pub(crate) fn of(port: u16) -> Self {
        if port & 1 == 0 { Self::Even } else { Self::Odd }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// A random port of the namespace's ephemeral range.
pub(crate) fn random(parity: Parity) -> io::Result<u16> {
    let (low, high) = range();
    let random = crate::random::u16().map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))?;
    let port = low + random % (high - low);
    Ok(if Parity::of(port) == parity { port } else { port ^ 1 }.clamp(low, high))
}

/// The unspecified address of the same family.
pub(crate) fn unspecified(remote: SocketAddr) -> IpAddr {
    match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// `ip_local_port_range` of our own network namespace, or Linux' default; read once.
pub(crate) fn range() -> (u16, u16) {
    static RANGE: OnceLock<(u16, u16)> = OnceLock::new();
    *RANGE.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| parse(&text))
            .unwrap_or((32768, 60999))
    })
}

fn parse(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_whitespace().map(str::parse::<u16>);
    let (low, high) = (words.next()?.ok()?, words.next()?.ok()?);
    // Both parities must be there.
    (low >= 1 && high > low.saturating_add(1)).then_some((low & !1, high | 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parities_come_and_stay_in_the_range() {
        let (low, high) = range();
        for parity in [Parity::Even, Parity::Odd].repeat(500) {
            let port = random(parity).unwrap();
            assert_eq!(Parity::of(port), parity, "port {port}");
            assert!((low..=high).contains(&port), "port {port} in {low}..={high}");
        }
    }

    #[test]
    fn a_range_that_cannot_be_used_is_not() {
        assert_eq!(parse("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!(parse("40000 40000"), None, "one port has one parity");
        assert_eq!(parse("x"), None);
    }
}
