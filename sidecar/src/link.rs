//! The way to the hub: attach, report, follow, and attach again, for as long as the pod lives.
//!
//! Walks are taken in whether a hub is there or not.

mod asked;
mod backoff;
mod dial;
mod stream;
mod token;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::report::Sockets;
use peerwalk_model::{PodRef, Timestamp, Walk};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ledger::Ledger;
use crate::schedule::Order;
use asked::Asked;
use backoff::Backoff;
pub use dial::{HubAddress, RootError, client_config};
use stream::{Ending, Stream};
pub use token::TokenFile;

/// What a link needs to know.
pub struct Settings {
    /// Where the hub is.
    pub hub: HubAddress,
    /// Our token.
    pub token: TokenFile,
    /// How often the token file is looked at for a rotated one.
    pub token_check: Duration,
    /// Who we are.
    pub pod: PodRef,
    /// Addresses of the pod, as far as they are known.
    pub addresses: Vec<IpAddr>,
    /// The wall clock of the walks.
    pub clock: fn() -> Timestamp,
    /// A random part of a duration.
    pub part_of: fn(Duration) -> Duration,
    /// Random, new with each start of the process.
    pub instance: u64,
    /// The prober's own sockets, at this moment.
    pub sockets: Arc<dyn Fn() -> Sockets + Send + Sync>,
}

/// The way to the hub.
pub struct Link {
    settings: Settings,
    ledger: Ledger,
    walks: mpsc::Receiver<Walk>,
    orders: mpsc::Sender<Order>,
    shutdown: CancellationToken,
}

impl Link {
    /// A link that is not attached yet.
    pub fn new(
        settings: Settings,
        walks: mpsc::Receiver<Walk>,
        orders: mpsc::Sender<Order>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { settings, ledger: Ledger::default(), walks, orders, shutdown }
    }

    /// Attaches, and again whenever the stream ends, until shutdown.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(self.settings.part_of);
        let mut redirect = None;
        loop {
            let ending = self.attach(redirect.take()).await;
            if self.shutdown.is_cancelled() {
                return;
            }
            let wait = match ending {
                Ending::Redirected(address) if backoff.may_redirect() => {
                    info!(%address, "the hub sends us to another replica");
                    redirect = Some(address);
                    continue;
                }
                Ending::Redirected(_) => backoff.next(),
                Ending::After(delay) => backoff.at_least(delay),
                Ending::NotReady(delay) => backoff.not_ready(delay),
                Ending::Drained => backoff.drained(),
                Ending::Broken { welcomed } => {
                    if welcomed {
                        backoff.reset();
                    }
                    backoff.next()
                }
                Ending::Shutdown => return,
            };
            info!(wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "attaching again later");
            if self.wait(wait).await.is_none() {
                return;
            }
        }
    }

    /// One stream, from the dial to its end.
    async fn attach(&mut self, redirect: Option<String>) -> Ending {
        let token = match self.settings.token.read() {
            Ok(token) => token,
            Err(error) => {
                warn!(%error, "the token cannot be read");
                return Ending::Broken { welcomed: false };
            }
        };
        let hub = self.settings.hub.clone();
        let opening = async move { hub.open(redirect).await };
        let Some(opened) = self.while_walking(opening).await else { return Ending::Shutdown };
        match opened {
            Ok(connection) => {
                let Self { settings, ledger, walks, orders, shutdown } = self;
                ledger.begin_stream();
                let asked = Asked::new(settings.addresses.clone());
                Stream { settings, ledger, walks, orders, shutdown, asked }.run(connection, token).await
            }
            Err(error) => {
                warn!(error = %Chain(&error), "the hub cannot be reached");
                Ending::Broken { welcomed: false }
            }
        }
    }

    async fn wait(&mut self, wait: Duration) -> Option<()> {
        let until = Instant::now() + wait;
        self.while_walking(sleep_until(until)).await
    }

    /// Takes walks in until `work` is done; `None` at shutdown.
    async fn while_walking<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                done = &mut work => return Some(done),
                Some(walk) = self.walks.recv() => self.ledger.walk(walk),
            }
        }
    }
}

/// An error with all its causes, for logs.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
