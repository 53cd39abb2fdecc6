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

/// What came of a dial whose packets may only go a few hops (`IP_TTL`, `IPV6_UNICAST_HOPS`).
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
    /// The router that says the packet's time is over; `None` where nobody said anything.
    #[cfg_attr(feature = "serde", serde(default))]
    pub from: Option<IpAddr>,
}
