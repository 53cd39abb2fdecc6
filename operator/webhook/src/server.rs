//! The HTTPS server that the API server calls, for `POST /mutate`.
//!
//! Fails open by its answers, and by not answering: the webhook configuration says `Ignore`, so every
//! refusal here, and every call that ends late, lets the pod pass unchanged.

mod admit;
mod places;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::InjectConfig;
use crate::metrics::WebhookMetrics;
use crate::namespaces::Namespaces;
use crate::pauses::Pauses;
use admit::Admission;
use places::{Place, Places};

/// Reviews in flight on one HTTP/2 connection. An API server with more of them opens another connection.
const MAX_STREAMS: u32 = 32;
/// Bytes of the headers of a request.
const MAX_HEADERS: u32 = 8 * 1024;
/// Bytes that a connection may send before they are read: several reviews of common pods.
const WINDOW: u32 = 128 * 1024;
/// For the TLS handshake and for the head of an HTTP/1.1 request.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle HTTP/2 peer is asked whether it is still there, and how long it may take.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long requests in flight may take when a connection is to end: more than one admission may.
const DRAIN: Duration = Duration::from_secs(3);
/// How often the loop that takes connections tells that it turns.
const BEAT: Duration = Duration::from_secs(5);
/// Pause after a failed accept (no file descriptors left, for example), so that it is not tried in a spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets requests in flight end. New connections take the certificate, and
/// each request the configuration and what is known of namespaces, that is current then. The loop that takes
/// connections tells `turns` that it turns, at least every 5 s.
pub async fn serve(
    (listener, turns): (TcpListener, watch::Sender<Instant>),
    tls: Arc<ArcSwap<ServerConfig>>,
    config: Arc<ArcSwap<InjectConfig>>,
    namespaces: Namespaces,
    pauses: Pauses,
    metrics: WebhookMetrics,
    shutdown: CancellationToken,
) {
    let places = Places::default();
    let parsing = Arc::new(Semaphore::new(admit::PARSED_AT_ONCE));
    let waiting = Arc::new(Semaphore::new(admit::WAITING_AT_ONCE));
    let connections = TaskTracker::new();

    let mut beats = interval(BEAT);
    loop {
        turns.send_replace(Instant::now());
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            _ = beats.tick() => continue,
            accepted = accept(&listener) => accepted,
        };
        let Some(place) = places.take(peer.ip()) else {
            metrics.count_refused_connection();
            continue;
        };
        let acceptor = TlsAcceptor::from(tls.load_full());
        let admission = Admission {
            config: Arc::clone(&config),
            namespaces: namespaces.clone(),
            pauses: pauses.clone(),
            metrics: metrics.clone(),
            place: Arc::new(place),
            parsing: Arc::clone(&parsing),
            waiting: Arc::clone(&waiting),
        };
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            if let Some(stream) = handshake(stream, acceptor, &admission.metrics).await {
                serve_connection(stream, admission, shutdown).await;
            }
        });
    }

    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "webhook connections still open at shutdown are cut");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    metrics: &WebhookMetrics,
) -> Option<TlsStream<TcpStream>> {
    match timeout(OPENING_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the webhook failed"),
        Err(_) => tracing::debug!("a TLS handshake with the webhook took too long"),
    }
    // Counted rather than logged: any stranger can cause it. An API server with a stale caBundle ends
    // here as well, and its pods go without the sidecar.
    metrics.count_failed_handshake();
    None
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    admission: Admission,
    shutdown: CancellationToken,
) {
    let place: Arc<Place> = Arc::clone(&admission.place);
    let router = Router::new().route("/mutate", post(admit::mutate)).with_state(admission);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(OPENING_TIMEOUT)
        .max_buf_size(WINDOW as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);

    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        // Only requests keep a place: a peer that answers pings is there, but asks for nothing.
        _ = shutdown.run_until_cancelled(place.idle()) => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error, "a connection to the webhook ended early"),
        Err(_) => tracing::debug!("a connection to the webhook was cut, as it did not end"),
    }
}
