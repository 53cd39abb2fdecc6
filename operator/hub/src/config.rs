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
    /// Streams at one time.
    pub max_streams: usize,
    /// Time for the TLS handshake, and again for the first message.
    pub hello_timeout: Duration,
    /// Time for one review of a token.
    pub review_timeout: Duration,
    /// Reviews at one time.
    pub reviews_in_flight: usize,
    /// How long a review is remembered for streams that attach anew.
    pub review_ttl: Duration,
    /// The token of an attached stream is reviewed again after this long, so that a stream ends when its
    /// token expires or its pod is gone. No answer keeps the stream.
    pub review_again: Duration,
    /// Messages that wait for one sidecar; when it reads too slowly, its stream ends.
    pub outbound_messages: usize,
    /// Events that wait for the receiver; more are lost and counted.
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
