//! What the hub counts. Labels are closed sets; no pod is named.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The hub's metrics. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) streams: Gauge,
    pub(crate) ended: Family<EndedLabels, Counter>,
    pub(crate) messages: Family<MessageLabels, Counter>,
    pub(crate) reviews: Family<ReviewLabels, Counter>,
    pub(crate) events_lost: Counter,
    pub(crate) unplanned: Counter,
    pub(crate) transitions_unplanned: Counter,
    pub(crate) unasked: Counter,
    pub(crate) questions_lost: Counter,
    pub(crate) plans_refused: Counter,
    pub(crate) resends: Counter,
    pub(crate) connections_failed: Family<ConnectionLabels, Counter>,
}

impl Metrics {
    /// Adds them to a registry, as `hub_…` below its prefix.
    pub fn register(&self, registry: &mut Registry) {
        use ConnectionFailure::{Address, Full, Http, Timeout, Tls};
        // Shown from the beginning, so that the first one counts as an increase.
        for reason in [Ended::Protocol, Ended::Rate, Ended::Slow] {
            drop(self.ended.get_or_create(&EndedLabels { reason }));
        }
        for reason in [Full, Address, Tls, Timeout, Http] {
            drop(self.connections_failed.get_or_create(&ConnectionLabels { reason }));
        }
        drop(self.messages.get_or_create(&MessageLabels { kind: MessageKind::Malformed }));
        for result in [ReviewResult::Invalid, ReviewResult::NotReady, ReviewResult::Unavailable] {
            drop(self.reviews.get_or_create(&ReviewLabels { result }));
        }
        let hub = registry.sub_registry_with_prefix("hub");
        hub.register("streams", "Attached sidecars", self.streams.clone());
        hub.register("streams_ended", "Streams that ended, by reason", self.ended.clone());
        hub.register("messages", "Messages of sidecars, by kind", self.messages.clone());
        hub.register("token_reviews", "Questions who a token belongs to, by result", self.reviews.clone());
        hub.register("events_lost", "Events nobody was ready to take", self.events_lost.clone());
        hub.register("evidence_unplanned", "Walks of targets that are not planned", self.unplanned.clone());
        hub.register(
            "transitions_unplanned",
            "Transitions of targets that are not planned",
            self.transitions_unplanned.clone(),
        );
        hub.register("answers_unasked", "Answers to nothing that was asked", self.unasked.clone());
        hub.register(
            "questions_lost",
            "Questions about dials, and orders to watch for them, that no stream was ready to take",
            self.questions_lost.clone(),
        );
        hub.register("plans_refused", "Plans that break a limit of the protocol", self.plans_refused.clone());
        hub.register("resends", "Times all evidence was asked for again", self.resends.clone());
        hub.register(
            "connections_failed",
            "Connections that ended before a stream began, by reason",
            self.connections_failed.clone(),
        );
    }
}

/// Labels of `streams_ended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EndedLabels {
    pub(crate) reason: Ended,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Ended {
    /// The sidecar closed it, or the connection broke.
    Peer,
    /// No first message in time.
    HelloTimeout,
    /// Missing heartbeats.
    Idle,
    /// No common version.
    Version,
    /// The token is not valid.
    Token,
    /// The token is another pod's.
    Pod,
    /// A message that breaks the protocol.
    Protocol,
    /// The sidecar sent too much.
    Rate,
    /// The sidecar was asked to come back later.
    Retry,
    /// A newer stream of the same pod.
    Superseded,
    /// The pod is gone.
    PodGone,
    /// Another replica is the one to talk to.
    Redirected,
    /// Shutdown.
    Draining,
    /// The sidecar does not read what is sent to it.
    Slow,
}

/// Labels of `messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MessageLabels {
    pub(crate) kind: MessageKind,
}

/// Kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum MessageKind {
    Hello,
    Token,
    Evidence,
    Heartbeat,
    Transitions,
    Saw,
    Malformed,
}

/// Labels of `token_reviews`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReviewLabels {
    pub(crate) result: ReviewResult,
}

/// Results of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum ReviewResult {
    Remembered,
    Valid,
    Invalid,
    NotReady,
    Unavailable,
}

/// Labels of `connections_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ConnectionLabels {
    pub(crate) reason: ConnectionFailure,
}

/// Why a connection ended before a stream began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum ConnectionFailure {
    /// Too many connections that have not said yet who they are.
    Full,
    /// Too many of them from one address.
    Address,
    /// The handshake failed.
    Tls,
    /// The handshake, or the call after it, did not come in time.
    Timeout,
    /// HTTP/2 failed.
    Http,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_documents() {
        let metrics = Metrics::default();
        metrics.streams.set(2);
        metrics.ended.get_or_create(&EndedLabels { reason: Ended::PodGone }).inc();
        metrics.messages.get_or_create(&MessageLabels { kind: MessageKind::Hello }).inc();
        let mut registry = Registry::with_prefix("peerwalk");
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics are encoded");
        for line in [
            "peerwalk_hub_streams 2",
            "peerwalk_hub_streams_ended_total{reason=\"PodGone\"} 1",
            "peerwalk_hub_messages_total{kind=\"Hello\"} 1",
            "peerwalk_hub_events_lost_total 0",
        ] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
    }
}
