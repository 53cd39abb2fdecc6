//! One admission: from the body of a call to the answer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::config::InjectConfig;
use crate::decide::{Decision, NamespaceInfo, SkipReason, decide};
use crate::metrics::{Failure, Outcome, WebhookMetrics};
use crate::patch::patch;
use crate::review::{Answer, Request};

/// Bytes of a review. A request to the API server is at most 3 MiB (`MaxRequestBodyBytes` in Kubernetes
/// `apiserver/pkg/server/config.go`), and creation sends the object once.
pub(super) const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// For the body to arrive. Everything after it is computing, a few milliseconds at most; the webhook
/// configuration's timeout is 2 s.
const BODY_TIMEOUT: Duration = Duration::from_millis(1500);

/// What an admission needs.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) config: Arc<ArcSwap<InjectConfig>>,
    pub(super) metrics: WebhookMetrics,
}

/// `POST /mutate`.
pub(super) async fn mutate(State(admission): State<Admission>, body: Body) -> Response {
    let refuse = |failure, status: StatusCode, message: String| {
        admission.metrics.count(Outcome::Failed(failure));
        tracing::warn!(%status, message, "an admission was not answered; the pod passes unchanged");
        (status, message).into_response()
    };

    let body = match read(body).await {
        Ok(body) => body,
        Err((status, message)) => return refuse(Failure::Body, status, message),
    };
    let request = match Request::parse(&body) {
        Ok(request) => request,
        // Without its uid a review cannot be answered.
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let message = format!("{error}{}", cause.unwrap_or_default());
            return refuse(Failure::Review, StatusCode::BAD_REQUEST, message);
        }
    };
    let (outcome, answer) = answer(request, &admission.config.load());
    admission.metrics.count(outcome);
    Json(answer).into_response()
}

async fn read(body: Body) -> Result<Bytes, (StatusCode, String)> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err((StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned())),
    }
}

fn answer(request: Request, config: &InjectConfig) -> (Outcome, Answer) {
    let skip = |uid, reason: SkipReason| {
        tracing::debug!(reason = reason.as_str(), "pod not injected");
        (Outcome::Skipped(reason), Answer::unchanged(uid))
    };
    if !request.creates_pod() {
        return skip(request.uid, SkipReason::NotPodCreation);
    }
    let injection = match decide(&request.object, &NamespaceInfo { name: &request.namespace }, config) {
        Decision::Inject(injection) => injection,
        Decision::Skip(reason) => return skip(request.uid, reason),
    };
    match checked(request.object, &patch(&injection, config)) {
        Ok(patch) => {
            tracing::debug!(namespace = request.namespace, "pod injected");
            (Outcome::Injected, Answer::patched(request.uid, &patch))
        }
        Err(cause) => {
            tracing::warn!(
                namespace = request.namespace,
                cause,
                "pod not injected: the patch does not apply"
            );
            let warning =
                "peerwalk: sidecar not injected because of an internal error; see the operator's log";
            (Outcome::Failed(Failure::Patch), Answer::unchanged_with_warning(request.uid, warning))
        }
    }
}

/// The patch's text, once it is known to apply: the API server refuses the pod over one that does not,
/// whatever the webhook's `failurePolicy`.
fn checked(mut pod: Value, patch: &json_patch::Patch) -> Result<Vec<u8>, String> {
    json_patch::patch_unsafe(&mut pod, patch).map_err(|error| error.to_string())?;
    serde_json::to_vec(patch).map_err(|error| error.to_string())
}
