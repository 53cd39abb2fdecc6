//! What a destination pod's sidecar can tell of a connection to its pod: the sockets of its own network namespace,
//! which the dialling side cannot see.

use std::net::SocketAddr;
use std::time::Duration;

/// The two ends of one dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Tuple {
    /// The dialling pod's own end.
    pub source: SocketAddr,
    /// The end at the pod that is asked: an address of its own, and the port there. Unspecified, the address stands
    /// for any of the pod, and port 0 for any port: who dialled a service address does not know where it led.
    pub destination: SocketAddr,
    /// The MSS that the dial announced in place of the usual one, bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mss: Option<u16>,
}

/// What a pod's kernel holds of one dial.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Seen {
    /// What was asked for.
    pub tuple: Tuple,
    /// The socket with exactly these ends, now or closed within the time that was watched; or that of the same
    /// connection as rules of the pod's own lead it to another port, such as a mesh's proxy; or one from another source
    /// with the MSS of the dial, which is the same connection with its source translated.
    #[cfg_attr(feature = "serde", serde(default))]
    pub socket: Option<PeerSocket>,
    /// Where the kernel itself would lead a SYN for the destination; unknown where that is not one address and port,
    /// where rules of the pod's own may lead it to another port, and for an address that is not the pod's.
    pub listener: Listener,
}

/// A socket that holds the other end of a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct PeerSocket {
    /// Where its packets come from: the tuple's source, or what it was translated to.
    pub source: SocketAddr,
    /// Its state (`include/net/tcp_states.h`): 1 is `ESTABLISHED`, 3 `SYN_RECV`.
    pub state: u8,
    /// It was closed within the time that was watched.
    #[cfg_attr(feature = "serde", serde(default))]
    pub closed: bool,
    /// Bytes received that the application has not read.
    #[cfg_attr(feature = "serde", serde(default))]
    pub unread: u32,
    /// Retransmissions in a row of what waits to be acknowledged.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retransmits: u32,
    /// Since anything was last received on it; a client that vanished leaves one behind for minutes. In `SYN_RECV`,
    /// which keeps no such time, at least so long.
    #[cfg_attr(feature = "serde", serde(rename = "quietMs", with = "crate::serde_ms"))]
    pub quiet: Duration,
}

/// Where a SYN for an address and port would be led.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum Listener {
    /// To a socket in `LISTEN`.
    Listens {
        /// Connections that wait to be accepted.
        queue: u32,
        /// The most that may wait.
        backlog: u32,
    },
    /// To none.
    Absent {
        /// Where the same port listens all the same, such as `127.0.0.1:8080`, or in the other family.
        #[cfg_attr(feature = "serde", serde(default))]
        elsewhere: Option<SocketAddr>,
    },
    /// The kernel could not be asked, or does not know.
    Unknown,
}

/// What a destination pod's sidecar saw of the dials it was asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct Saw {
    /// One for each tuple, in the order asked.
    pub seen: Vec<Seen>,
    /// Connections that found an accept queue full since the namespace was made (`ListenOverflows` of
    /// `/proc/net/netstat`).
    pub listen_overflows: u64,
    /// SYN cookies sent since then (`SyncookiesSent`): a `SYN_RECV` may be missing for that.
    pub syn_cookies: u64,
    /// The network namespace sends SYN cookies always (`tcp_syncookies` is 2).
    pub always_cookies: bool,
}
