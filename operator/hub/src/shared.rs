//! What all streams of a hub share.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::event::HubEvent;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::reviews::Reviews;
use crate::seats::Seats;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Arc<Registry>,
    pub(crate) reviews: Reviews,
    pub(crate) events: mpsc::Sender<HubEvent>,
    pub(crate) seats: Arc<Seats>,
    /// The streams at work.
    pub(crate) sessions: TaskTracker,
    /// Streams are to end.
    pub(crate) drain: CancellationToken,
}
