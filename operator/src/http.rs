//! The plain HTTP servers: health for the kubelet, metrics for Prometheus, explanations for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use peerwalk_controller::Explain;
use peerwalk_controller::cluster::ObjectKey;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// For one explanation.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// `/healthz` answers while the process runs, `/readyz` once everything has been listed.
pub fn health(ready: Arc<AtomicBool>) -> Router {
    let readyz = async move |State(ready): State<Arc<AtomicBool>>| {
        if ready.load(Ordering::Relaxed) {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the cluster's objects are not all listed yet\n")
        }
    };
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(ready)
}

/// `/metrics` in the OpenMetrics text format.
pub fn metrics(registry: Registry) -> Router {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let answer = async |State(registry): State<Arc<Registry>>| {
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    };
    Router::new().route("/metrics", get(answer)).with_state(Arc::new(registry))
}

/// `/explain/NAMESPACE/CHECK`: every pair of a check as a walk that a person can read.
pub fn explain(requests: mpsc::Sender<Explain>) -> Router {
    Router::new().route("/explain/{namespace}/{check}", get(explain_one)).with_state(requests)
}

async fn explain_one(
    State(requests): State<mpsc::Sender<Explain>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let (answer, text) = oneshot::channel();
    let check = ObjectKey::new(namespace, name);
    let missing = format!("there is no ConnectivityCheck {check}\n");
    let asked = async {
        requests.send(Explain { check, answer }).await.ok()?;
        text.await.ok()
    };
    match timeout(EXPLAIN_TIMEOUT, asked).await {
        Ok(Some(Some(text))) => text.into_response(),
        Ok(Some(None)) => (StatusCode::NOT_FOUND, missing).into_response(),
        Ok(None) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the controller does not answer\n").into_response()
        }
    }
}

/// Serves until shutdown.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}
