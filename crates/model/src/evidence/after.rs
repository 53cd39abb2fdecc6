//! Evidence of what happened to a connection after it was made, where its exchange got no answer.

use super::connect::IcmpError;

/// What the kernel told of a connection whose exchange failed, and what came of the same over small segments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct AfterConnect {
    /// The connection at the end of its time.
    pub connection: Connection,
    /// The same exchange over a new connection with a small `TCP_MAXSEG`; `None` where it was not made.
    #[cfg_attr(feature = "serde", serde(default))]
    pub small_segments: Option<SmallSegments>,
}

/// A connection, by `TCP_INFO` (`include/uapi/linux/tcp.h`) and its error queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct Connection {
    /// Segments sent and not acknowledged (`tcpi_unacked`).
    pub unacked: u32,
    /// Retransmissions in a row of the segment that waits (`tcpi_retransmits`).
    pub retransmits: u32,
    /// Retransmissions in all (`tcpi_total_retrans`).
    pub total_retransmits: u32,
    /// Bytes of ours that the peer's kernel acknowledged (`tcpi_bytes_acked`, less the SYN).
    pub bytes_acked: u64,
    /// Bytes received (`tcpi_bytes_received`).
    pub bytes_received: u64,
    /// Bytes not sent yet (`tcpi_notsent_bytes`).
    pub not_sent: u32,
    /// The peer's receive window in bytes (`tcpi_snd_wnd`); 0 says that nobody reads there. `None` where the kernel
    /// does not tell (before Linux 5.4).
    pub peer_window: Option<u32>,
    /// ICMP errors for its packets, where the kernel keeps them: Linux does so until a connection is established.
    pub queue: Vec<IcmpError>,
    /// The error that waits on the socket (`SO_ERROR`): what an ICMP error for an established connection leaves.
    pub errno: Option<i32>,
}

/// What came of an exchange over small segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct SmallSegments {
    /// The MSS of both directions, bytes.
    pub mss: u16,
    /// Whether it got the answer that the other did not. That is said only where chance is excluded as far as it can
    /// be: the exchange was repeated over usual segments and over small ones, and went the same way.
    pub answered: bool,
}

/// Retransmissions in a row from which on what was sent counts as not acknowledged: one is an ordinary loss.
const LOST: u32 = 2;

impl Connection {
    /// Whether what was sent is not acknowledged, however often it is sent.
    pub fn is_unacknowledged(&self) -> bool {
        self.unacked > 0 && self.retransmits >= LOST
    }

    /// Whether the peer's kernel takes nothing more, while there is something to send.
    pub fn is_peer_full(&self) -> bool {
        self.is_shut() && self.has_said_more()
    }

    /// Whether the other end has taken and said nothing since the handshake, and its receive window is closed: no kernel
    /// begins so, and what answers SYNs in the place of a target that it cannot reach does.
    pub fn was_never_open(&self) -> bool {
        self.is_shut() && !self.has_said_more()
    }

    fn is_shut(&self) -> bool {
        self.peer_window == Some(0) && (self.not_sent > 0 || self.unacked > 0)
    }

    fn has_said_more(&self) -> bool {
        self.bytes_acked > 0 || self.bytes_received > 0
    }
}
