//! Takes connections: TLS, HTTP/2, one stream on each.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt as _};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peerwalk_wire::grpc::{Hub as HubService, HubServer};
use peerwalk_wire::{Frame, limits};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use crate::authenticate::Authenticator;
use crate::config::Config;
use crate::driver::Driver;
use crate::event::HubEvent;
use crate::handle::HubHandle;
use crate::metrics::{ConnectionFailure, ConnectionLabels, Metrics};
use crate::registry::Registry;
use crate::reviews::Reviews;
use crate::seats::{Seat, Seats};
use crate::shared::Shared;

/// What a connection may send before it is read, and so what it costs at most: the largest message.
const WINDOW: u32 = 256 * 1024;
/// Time for the last messages of a stream to leave.
const LINGER: Duration = Duration::from_secs(2);
/// A wait after a failed accept: file descriptors have run out, and trying at once does not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How often the loop that takes connections tells that it turns.
const BEAT: Duration = Duration::from_secs(5);

/// Where sidecars attach.
pub struct Hub {
    shared: Arc<Shared>,
    turns: watch::Sender<Instant>,
}

impl Hub {
    /// A hub, and where its events come out. Evidence that nobody takes is asked for again later.
    pub fn new(config: Config, authenticator: Arc<dyn Authenticator>) -> (Self, mpsc::Receiver<HubEvent>) {
        let (events, receiver) = mpsc::channel(config.events.max(1));
        let metrics = Metrics::default();
        let shared = Shared {
            reviews: Reviews::new(authenticator, &config, metrics.clone()),
            seats: Arc::new(Seats::new(&config)),
            registry: Arc::new(Registry::default()),
            sessions: TaskTracker::new(),
            drain: CancellationToken::new(),
            metrics,
            events,
            config,
        };
        (Self { shared: Arc::new(shared), turns: watch::Sender::new(Instant::now()) }, receiver)
    }

    /// Drives the hub from elsewhere.
    pub fn handle(&self) -> HubHandle {
        HubHandle { registry: Arc::clone(&self.shared.registry), metrics: self.metrics() }
    }

    /// What the hub counts.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics.clone()
    }

    /// When the loop that takes connections last turned, at least every 5 s while it works.
    pub fn pulse(&self) -> watch::Receiver<Instant> {
        self.turns.subscribe()
    }

    /// Takes connections until `shutdown`, then tells every sidecar and waits for the streams to end, for
    /// as long as the configuration says.
    ///
    /// `tls` is read for each connection, so a new certificate takes effect at once; see
    /// [`crate::server_config`].
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Arc<ArcSwap<ServerConfig>>,
        shutdown: CancellationToken,
    ) {
        let config = &self.shared.config;
        let connections = TaskTracker::new();
        let kill = CancellationToken::new();
        let mut beats = interval(BEAT);
        loop {
            self.turns.send_replace(Instant::now());
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                _ = beats.tick() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let seat = match self.shared.seats.arrive(peer.ip()) {
                Ok(seat) => seat,
                Err(reason) => {
                    failed(&self.shared, reason);
                    continue;
                }
            };
            let acceptor = TlsAcceptor::from(tls.load_full());
            let (shared, kill) = (Arc::clone(&self.shared), kill.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = kill.cancelled() => {}
                    () = connection(shared, stream, acceptor, seat) => {}
                }
            });
        }
        drop(listener);
        info!(streams = self.shared.sessions.len(), "draining");
        self.shared.drain.cancel();
        connections.close();
        if timeout(config.drain, connections.wait()).await.is_err() {
            warn!(connections = connections.len(), "connections were cut, as they did not end in time");
            kill.cancel();
            connections.wait().await;
        }
        // The streams know by now that their connections are gone, and wait for whoever takes their last events.
        self.shared.sessions.close();
        if timeout(config.drain, self.shared.sessions.wait()).await.is_err() {
            warn!(streams = self.shared.sessions.len(), "nobody takes the last events");
        }
    }
}

fn failed(shared: &Shared, reason: ConnectionFailure) {
    shared.metrics.connections_failed.get_or_create(&ConnectionLabels { reason }).inc();
}

/// One connection, from the handshake to its end, when its seat is free again.
async fn connection(shared: Arc<Shared>, stream: TcpStream, acceptor: TlsAcceptor, seat: Arc<Seat>) {
    let patience = shared.config.hello_timeout;
    // Small messages in both directions: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%error, "TLS handshake failed");
            return failed(&shared, ConnectionFailure::Tls);
        }
        Err(_) => return failed(&shared, ConnectionFailure::Timeout),
    };
    let used = Arc::new(AtomicBool::new(false));
    let over = CancellationToken::new();
    let service = Attach { shared: Arc::clone(&shared), used: Arc::clone(&used), over: over.clone(), seat };
    let service = HubServer::new(service).max_decoding_message_size(limits::SIDECAR_FRAME_BYTES);
    let mut serving = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(1)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(16 * 1024)
            .keep_alive_interval(shared.config.heartbeat_interval)
            .keep_alive_timeout(shared.config.heartbeat_interval)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
    );
    let mut idle = pin!(async {
        sleep(patience).await;
        if used.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    });
    tokio::select! {
        result = serving.as_mut() => {
            if let Err(error) = result {
                debug!(%error, "connection broke");
                if !used.load(Ordering::Relaxed) {
                    failed(&shared, ConnectionFailure::Http);
                }
            }
            return;
        }
        () = idle.as_mut() => return failed(&shared, ConnectionFailure::Timeout),
        () = over.cancelled() => {}
        () = shared.drain.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    // A sidecar that does not read must not hold the connection.
    let _ = timeout(LINGER, serving).await;
}

/// The service of one connection, which lives for one stream.
struct Attach {
    shared: Arc<Shared>,
    used: Arc<AtomicBool>,
    over: CancellationToken,
    seat: Arc<Seat>,
}

type Outbound = std::pin::Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

#[tonic::async_trait]
impl HubService for Attach {
    type AttachStream = Outbound;

    async fn attach(&self, request: Request<Streaming<Frame>>) -> Result<Response<Outbound>, Status> {
        if self.used.swap(true, Ordering::Relaxed) {
            return Err(Status::failed_precondition("a connection carries one stream"));
        }
        let (outbound, messages) = mpsc::channel(self.shared.config.outbound_messages.max(1));
        let over = self.over.clone().drop_guard();
        let driver = Driver::new(Arc::clone(&self.shared), outbound, Arc::clone(&self.seat));
        self.shared.sessions.spawn(driver.run(request.into_inner(), over));
        let frames = ReceiverStream::new(messages).map(|message| {
            message.encode().map_err(|error| {
                warn!(%error, "a message breaks the limits of the protocol");
                Status::internal("the hub made a message that breaks the limits")
            })
        });
        Ok(Response::new(Box::pin(frames)))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use peerwalk_model::{PodRef, Timestamp};
    use rustls::server::ResolvesServerCertUsingSni;

    use super::*;
    use crate::authenticate::AuthError;

    struct Nobody;

    impl Authenticator for Nobody {
        fn authenticate<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<PodRef, AuthError>> {
            Box::pin(std::future::ready(Err(AuthError::Unavailable)))
        }

        fn knows(&self, _: &PodRef) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_tells_that_it_turns_while_nobody_comes() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let (hub, _events) = Hub::new(Config::new(Timestamp::default), Arc::new(Nobody));
        let pulse = hub.pulse();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stop = CancellationToken::new();
        let serving = tokio::spawn(hub.serve(listener, Arc::new(ArcSwap::from_pointee(tls)), stop.clone()));
        sleep(Duration::from_mins(10)).await;
        assert!(pulse.borrow().elapsed() <= BEAT, "{:?}", pulse.borrow().elapsed());
        stop.cancel();
        serving.await.expect("it ends well");
    }
}
