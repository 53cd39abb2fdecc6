//! Evidence of name resolution, as one client in the pod would see it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::connect::IcmpError;
use crate::plan::RecordType;

/// How a name became addresses, or did not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Resolve {
    /// The name asked for, as the application would write it.
    pub name: String,
    /// Where the answer came from.
    pub source: ResolveSource,
    /// The fully qualified name that answered: tells which suffix of the search list it was.
    #[cfg_attr(feature = "serde", serde(default))]
    pub answered: Option<String>,
    /// The addresses, in the order of the answer; at most 256 are kept.
    #[cfg_attr(feature = "serde", serde(default))]
    pub addresses: Vec<IpAddr>,
    /// Each query, in order; at most 64 are kept, those that decide.
    #[cfg_attr(feature = "serde", serde(default))]
    pub queries: Vec<Query>,
    /// The whole resolution, retries included.
    #[cfg_attr(feature = "serde", serde(rename = "elapsedMs", with = "crate::serde_ms"))]
    pub elapsed: Duration,
    /// It left no time of the walk's own for what comes after it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub spent: bool,
    /// A and AAAA as a pair, where that was asked within the last minute.
    #[cfg_attr(feature = "serde", serde(default))]
    pub pair: Option<Pair>,
}

/// A and AAAA asked at once from one socket, as glibc and musl do: what keeps state of the two may lose one, while
/// each alone is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Pair {
    /// The server, which had answered both apart.
    pub server: SocketAddr,
    /// The fully qualified name asked for.
    pub name: String,
    /// How often in a row the pair was asked with the same loss, each time from a new socket.
    pub tries: u32,
    /// What came of the question for A, the last time.
    pub a: QueryOutcome,
    /// What came of the question for AAAA, the last time.
    pub aaaa: QueryOutcome,
}

/// Where addresses came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum ResolveSource {
    /// The pod's hosts file.
    HostsFile,
    /// The servers of the pod's resolv.conf.
    Dns,
}

impl Pair {
    /// A pair that loses one is asked so often: of packets that are lost at random one in twenty may be, and those say
    /// nothing.
    pub const TRIES: u32 = 3;

    /// The type whose question was lost while the other was answered, every time that they were asked.
    pub fn lost(&self) -> Option<RecordType> {
        self.loses().filter(|_| self.tries >= Self::TRIES)
    }

    /// The same for the last time alone.
    pub fn loses(&self) -> Option<RecordType> {
        match (self.a.is_final(), self.aaaa.is_final()) {
            (true, false) if self.aaaa == QueryOutcome::Timeout => Some(RecordType::Aaaa),
            (false, true) if self.a == QueryOutcome::Timeout => Some(RecordType::A),
            _ => None,
        }
    }
}

/// One query to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Query {
    /// The server.
    pub server: SocketAddr,
    /// How it was asked.
    pub transport: Transport,
    /// The fully qualified name asked for.
    pub name: String,
    /// The record type asked for.
    pub record: RecordType,
    /// What came of it.
    pub outcome: QueryOutcome,
    /// From sending to the outcome.
    #[cfg_attr(feature = "serde", serde(rename = "elapsedMs", with = "crate::serde_ms"))]
    pub elapsed: Duration,
    /// What came after the deadline, where the outcome is a timeout and something did.
    #[cfg_attr(feature = "serde", serde(default))]
    pub late: Option<QueryOutcome>,
}

/// The transport of a DNS query (RFC 1035, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// What came of a query. Codes are those of RFC 1035, section 4.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum QueryOutcome {
    /// Addresses of the type asked for.
    Addresses(Vec<IpAddr>),
    /// The name exists, with no record of the type (NOERROR without an answer).
    NoData,
    /// NXDOMAIN.
    NameNotFound,
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// Another response code.
    OtherCode(u16),
    /// Truncated; it was asked again over TCP.
    Truncated,
    /// No answer within the deadline.
    Timeout,
    /// An ICMP error came back, or TCP was refused or reset.
    Unreachable {
        /// The error number, Linux.
        errno: i32,
        /// The error queue's entry, if there was one.
        icmp: Option<IcmpError>,
    },
    /// The answer could not be read, or did not fit the question.
    Malformed,
}

impl Query {
    /// Whether the server answered after the deadline: it is slow and not dead.
    pub fn came_late(&self) -> bool {
        self.late.as_ref().is_some_and(QueryOutcome::is_from_server)
    }
}

impl QueryOutcome {
    /// Whether it answers the question: with addresses, or with the word that there are none.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Addresses(_) | Self::NoData | Self::NameNotFound)
    }

    /// Whether the server itself said something, whatever it was.
    pub fn is_from_server(&self) -> bool {
        !matches!(self, Self::Timeout | Self::Unreachable { .. })
    }
}
