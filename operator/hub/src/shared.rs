//! What all streams of a hub share.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::event::HubEvent;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::reviews::Reviews;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Arc<Registry>,
    pub(crate) reviews: Reviews,
    pub(crate) events: mpsc::Sender<HubEvent>,
    /// One permit for each stream.
    pub(crate) streams: Arc<Semaphore>,
    /// The streams at work.
    pub(crate) sessions: TaskTracker,
    /// Streams are to end.
    pub(crate) drain: CancellationToken,
}

impl Shared {
    /// Hands over an event; counts it when nobody takes it.
    pub(crate) fn tell(&self, event: HubEvent) -> bool {
        let told = self.events.try_send(event).is_ok();
        if !told {
            self.metrics.events_lost.inc();
        }
        told
    }
}
