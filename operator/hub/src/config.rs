//! What can be set about a hub.

use std::time::Duration;

use peerwalk_model::Timestamp;

/// Settings of a hub. [`Config::new`] has the ones meant for production.
#[derive(Clone, Debug)]
pub struct Config {
    /// The wall clock: events carry its moments.
    pub clock: fn() -> Timestamp,
    /// From one heartbeat of a sidecar to the next; three missing ones end its stream.
    pub heartbeat_interval: Duration,
    /// Attached streams at one time.
    pub max_streams: usize,
    /// Connections at one time that have not proved yet which pod they come from.
    pub max_arriving: usize,
    /// The same for one source address. Enough for the pods of a node that hides their addresses.
    pub max_arriving_of_address: usize,
    /// Time for the TLS handshake, and again for the first message.
    pub hello_timeout: Duration,
    /// Time for one review of a token.
    pub review_timeout: Duration,
    /// Reviews at one time.
    pub reviews_in_flight: usize,
    /// How long a review is remembered for streams that attach anew, unless the token expires before.
    pub review_ttl: Duration,
    /// The token of an attached stream is reviewed again after this long, or when it expires if that is
    /// sooner, so that a stream ends with its token or its pod. No answer keeps the stream.
    pub review_again: Duration,
    /// Messages that wait for one sidecar; when it reads too slowly, its stream ends.
    pub outbound_messages: usize,
    /// Events that wait for the receiver. More are lost and counted, but that a sidecar attached or
    /// detached: these wait for room.
    pub events: usize,
    /// What one sidecar may send.
    pub rate: Rate,
    /// Time for streams to end at shutdown.
    pub drain: Duration,
}

/// What one sidecar may send: a burst, and what flows in again each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Messages at once: the evidence of a whole plan, twice.
    pub burst_messages: u32,
    /// Messages a second.
    pub messages_per_second: u32,
    /// Bytes at once.
    pub burst_bytes: u32,
    /// Bytes a second.
    pub bytes_per_second: u32,
}

impl Config {
    /// The settings for production.
    pub fn new(clock: fn() -> Timestamp) -> Self {
        Self {
            clock,
            heartbeat_interval: Duration::from_secs(10),
            max_streams: 10_000,
            max_arriving: 512,
            max_arriving_of_address: 64,
            hello_timeout: Duration::from_secs(5),
            review_timeout: Duration::from_secs(10),
            reviews_in_flight: 32,
            review_ttl: Duration::from_mins(5),
            review_again: Duration::from_mins(10),
            outbound_messages: 64,
            events: 16_384,
            rate: Rate {
                burst_messages: 1024,
                messages_per_second: 50,
                burst_bytes: 16 * 1024 * 1024,
                bytes_per_second: 512 * 1024,
            },
            drain: Duration::from_secs(5),
        }
    }
}
