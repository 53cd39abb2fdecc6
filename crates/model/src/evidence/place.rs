//! Evidence of the way a packet takes: the pod's own neighbours, and the hops behind them.

use std::net::{IpAddr, SocketAddr};

/// An entry of the pod's own neighbour table (ARP, NDP), read over netlink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Neighbour {
    /// Whom the packets for a dialled address are sent to: the address itself on the pod's own link, or a gateway.
    pub address: IpAddr,
    /// What the kernel knows of it.
    pub state: NeighbourState,
}

/// The states of a neighbour (`NUD_*`, `include/uapi/linux/neighbour.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum NeighbourState {
    /// Asked for, no answer yet.
    Incomplete,
    /// It has answered a moment ago.
    Reachable,
    /// It has answered once; whether it still would is not known.
    Stale,
    /// Used since it became stale; about to be asked.
    Delay,
    /// Being asked again.
    Probe,
    /// It was asked and did not answer.
    Failed,
    /// It is not asked (`NUD_NOARP`, `NUD_PERMANENT`).
    Fixed,
    /// There is no entry.
    Absent,
}

/// What came of a dial whose packets may only go a few hops (`IP_TTL`, `IPV6_UNICAST_HOPS`). It is no dial of the target:
/// nobody's answer to it says whether the target can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Hop {
    /// The address dialled.
    pub remote: SocketAddr,
    /// How many hops the packets may go.
    pub ttl: u8,
    /// The router that says the packet's time is over; `None` where nobody said so. Through a ClusterIP, conntrack
    /// rewrites it to the ClusterIP.
    #[cfg_attr(feature = "serde", serde(default))]
    pub from: Option<IpAddr>,
    /// Whether it was answered the way that the address itself answers: a handshake, or a reset.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reached: bool,
}

/// How many hops the pod's own packets may go where no socket says otherwise (`net.ipv4.ip_default_ttl`,
/// `net.ipv6.conf.*.hop_limit`): asked where a router said that a packet's time is over, or nobody said anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct HopLimits {
    /// Over IPv4.
    pub v4: Option<u8>,
    /// Over IPv6.
    pub v6: Option<u8>,
}

impl HopLimits {
    /// That of an address's family.
    pub fn of(self, ip: IpAddr) -> Option<u8> {
        if ip.to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }
}
