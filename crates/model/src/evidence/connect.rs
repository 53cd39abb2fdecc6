//! Evidence of the connect stage: one entry for each socket, as the kernel told it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::place::{Hop, HopLimits, Neighbour};
use crate::Timestamp;
use crate::flow::Protocol;

/// Every dial of the connect stage: the target's and the controls'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Connect {
    /// In the order they were begun; at most 128 are kept.
    pub dials: Vec<Dial>,
    /// What the pod's own kernel knows of those it sends the packets to, where a dial got no answer; at most 16.
    #[cfg_attr(feature = "serde", serde(default))]
    pub neighbours: Vec<Neighbour>,
    /// Who answered dials that may only go a few hops, where others got no answer; at most 16.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hops: Vec<Hop>,
    /// How many hops the pod's own packets may go, in the families in which `hops` were asked for.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hop_limits: HopLimits,
    /// Circuit breakers that are not closed, by address; at most 128.
    #[cfg_attr(feature = "serde", serde(default))]
    pub breakers: Vec<Breaker>,
}

/// One socket and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Dial {
    /// Why this address was dialled.
    pub purpose: DialPurpose,
    /// TCP, or UDP over a connected socket.
    #[cfg_attr(feature = "serde", serde(default))]
    pub protocol: Protocol,
    /// The address dialled.
    pub remote: SocketAddr,
    /// The socket's own address, once it had one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub local: Option<SocketAddr>,
    /// When `connect()` was called. A refusal stands for a minute (ICMP is rate limited), and so does proven
    /// silence that three new sockets find again: what is remembered is earlier than the walk it is reported
    /// with.
    pub started: Timestamp,
    /// From `connect()` to the outcome, or to the report when there is none yet.
    #[cfg_attr(feature = "serde", serde(rename = "elapsedMs", with = "crate::serde_ms"))]
    pub elapsed: Duration,
    /// SYNs sent again, `tcpi_total_retrans` (`include/uapi/linux/tcp.h`).
    #[cfg_attr(feature = "serde", serde(default))]
    pub retransmits: u32,
    /// The MSS that was announced in place of the usual one (`TCP_MAXSEG`, bytes): it marks the connection through
    /// any translation of addresses, and no proxy passes it on.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mss: Option<u16>,
    /// What became of it.
    pub outcome: DialOutcome,
}

/// What was received so long before a walk is remembered: targets that share an address share what one of them found
/// there a moment ago, too.
pub const MOMENT: Duration = Duration::from_secs(5);

impl Dial {
    /// Whether it is a refusal that an earlier walk received, and that this one has not received again.
    pub fn is_remembered_refusal(&self, walk_started: Timestamp) -> bool {
        self.is_reported_again() && walk_started.since(self.started) > MOMENT
    }

    /// Whether later walks may tell of it in the place of a dial of their own: an ICMP error, of which hosts send few.
    pub fn is_reported_again(&self) -> bool {
        matches!(&self.outcome, DialOutcome::Failed { queue, .. } if !queue.is_empty())
    }
}

/// Why an address was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum DialPurpose {
    /// The Service's own address.
    ServiceAddress,
    /// An endpoint behind a Service.
    Endpoint,
    /// An address a name resolved to, where the target is no Service.
    Address,
    /// A control: its answer proves the path, it is not part of the target.
    Control,
    /// The proxy.
    Proxy,
}

/// What became of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum DialOutcome {
    /// The handshake completed (`TCP_ESTABLISHED`).
    Connected {
        /// Set when the other end of the connection lives in our own network namespace, or may live there;
        /// `None` when the kernel was asked and it does not.
        #[cfg_attr(feature = "serde", serde(default))]
        local_peer: Option<LocalPeer>,
    },
    /// UDP: a datagram came back.
    Answered {
        /// Its size.
        bytes: u32,
    },
    /// No answer by the time of the report.
    Silent,
    /// The kernel reported an error.
    Failed {
        /// `SO_ERROR`, Linux.
        errno: i32,
        /// The error came from `connect()` itself, before any packet could be answered.
        #[cfg_attr(feature = "serde", serde(default))]
        immediate: bool,
        /// The socket's error queue (`IP_RECVERR`), in order. Empty for a received RST.
        #[cfg_attr(feature = "serde", serde(default))]
        queue: Vec<IcmpError>,
    },
    /// The address may not be dialled: not part of the plan and not allowed by the operator's configuration.
    NotAllowed,
    /// Not dialled for want of budget; says nothing about the network.
    Skipped,
}

/// An entry of a socket's error queue, `struct sock_extended_err` (`include/uapi/linux/errqueue.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct IcmpError {
    /// ICMP for IPv6 (`SO_EE_ORIGIN_ICMP6`) rather than for IPv4.
    #[cfg_attr(feature = "serde", serde(default))]
    pub v6: bool,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// Who sent it (`SO_EE_OFFENDER`). Through a ClusterIP, conntrack rewrites it to the ClusterIP.
    #[cfg_attr(feature = "serde", serde(default))]
    pub offender: Option<IpAddr>,
}

/// What our own network namespace holds of the other end of a connection, where that is not nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum LocalPeer {
    /// A socket that holds it: something in the pod accepted in the target's place.
    Socket {
        /// Its own address, such as `127.0.0.1:15001`.
        address: SocketAddr,
        /// The uid that owns it.
        uid: u32,
    },
    /// The kernel could not be asked (no `sock_diag`, as in gVisor, or too much to look through), so that
    /// nothing is known either way.
    Unknown,
}

/// A circuit breaker that is not closed: after failures in a row an address is dialled less often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Breaker {
    /// The address.
    pub remote: SocketAddr,
    /// Open: it was not dialled in this walk. Half-open: one socket was spent on it.
    pub open: bool,
    /// Failures in a row.
    pub failures: u32,
}
