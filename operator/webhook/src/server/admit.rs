//! One admission: from the body of a call to the answer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::places::Place;
use crate::config::InjectConfig;
use crate::decide::{Decision, Injection, NamespaceInfo, SkipReason, decide};
use crate::metrics::{Failure, Outcome, WebhookMetrics};
use crate::namespaces::{Namespaces, Seen};
use crate::patch::{note, patch};
use crate::pauses::Pauses;
use crate::review::{Answer, Request, ReviewError};
use crate::room::maker;

/// Bytes of a review. A request to the API server is at most 3 MiB (`MaxRequestBodyBytes` in Kubernetes
/// `apiserver/pkg/server/config.go`), and creation sends the object once.
pub(super) const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// For the body to arrive. Everything after it is computing, a few milliseconds at most, and waiting for watches; the
/// webhook configuration's timeout is 2 s.
const BODY_TIMEOUT: Duration = Duration::from_millis(1500);
/// From the beginning of a call on, for the watches to tell of its namespace and of what makes its pod: a controller
/// may hear of a new ReplicaSet before we do.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of the bodies of calls that wait for that at one time: a quarter of what one address may hold, so that
/// whoever makes pods of what is not there keeps nobody out.
pub(super) const WAITING_AT_ONCE: usize = 1024 * 1024;

/// Bytes that a parsed review may take, which is far more than its text where that is dense: enough for a MiB of
/// containers with nothing but variables.
const PARSED_LIMIT: u32 = 32 * 1024 * 1024;
/// The same for all reviews that are parsed at one time.
pub(super) const PARSED_AT_ONCE: usize = 2 * PARSED_LIMIT as usize;

/// What an admission needs.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) config: Arc<ArcSwap<InjectConfig>>,
    pub(super) namespaces: Namespaces,
    pub(super) pauses: Pauses,
    pub(super) metrics: WebhookMetrics,
    /// The place of the connection it came through.
    pub(super) place: Arc<Place>,
    /// Bytes that are left for parsed reviews.
    pub(super) parsing: Arc<Semaphore>,
    /// Bytes that are left for bodies that wait.
    pub(super) waiting: Arc<Semaphore>,
}

/// What has to be heard of before a pod can be answered as it should be.
struct Unheard {
    namespace: String,
    /// Nothing where the namespace itself is missing.
    workload: Option<String>,
}

/// `POST /mutate`.
pub(super) async fn mutate(State(admission): State<Admission>, body: Body) -> Response {
    let refuse = |failure, status: StatusCode, message: String| {
        admission.metrics.count(Outcome::Failed(failure));
        tracing::warn!(%status, message, "an admission was not answered; the pod passes unchanged");
        (status, message).into_response()
    };

    let began = Instant::now();
    admission.place.requested();
    let received = tokio::time::timeout(BODY_TIMEOUT, async {
        // The room is kept until the answer is made.
        let room = admission.place.room(declared(&body)).await;
        (room, axum::body::to_bytes(body, BODY_LIMIT).await)
    });
    let (_room, body) = match received.await {
        Ok((room, Ok(body))) => (room, body),
        Ok((_, Err(error))) => {
            return refuse(Failure::Body, StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
        }
        Err(_) => {
            let message = "the body did not arrive in time".to_owned();
            return refuse(Failure::Body, StatusCode::REQUEST_TIMEOUT, message);
        }
    };
    let size = parsed_size(&body);
    if size > PARSED_LIMIT {
        let message =
            format!("parsed, the review may take {size} bytes; at most {PARSED_LIMIT} are given to one");
        return refuse(Failure::Body, StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    let (outcome, answer) = match answer_once_heard(&body, size, began, &admission).await {
        Ok(answered) => answered,
        // Without its uid a review cannot be answered.
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let message = format!("{error}{}", cause.unwrap_or_default());
            return refuse(Failure::Review, StatusCode::BAD_REQUEST, message);
        }
    };
    admission.metrics.count(outcome);
    Json(answer).into_response()
}

/// Answers, at once or after the watches have told what the answer needs, and without that once it is time.
async fn answer_once_heard(
    body: &[u8],
    size: u32,
    began: Instant,
    admission: &Admission,
) -> Result<(Outcome, Answer), ReviewError> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut waits = true;
    loop {
        let unheard = {
            // Nothing waits while it is held, so nobody can keep it from others.
            let _parsing = admission.parsing.acquire_many(size).await;
            let request = Request::parse(body)?;
            let seen = admission.namespaces.get(&request.namespace);
            let config = admission.config.load();
            let decision = decision(&request, &seen, &config, &admission.pauses);
            match unheard(&request, &seen, &decision).filter(|_| admission.namespaces.is_complete()) {
                Some(unheard) if waits => unheard,
                _ => {
                    if !seen.known && request.creates_pod() {
                        admission.metrics.count_unknown_namespace();
                    }
                    return Ok(answer(request, decision, &config));
                }
            }
        };
        let heard = admission.namespaces.heard_of(&unheard.namespace, unheard.workload.as_deref());
        let room = admission.waiting.try_acquire_many(length);
        waits = room.is_ok() && timeout_at(began + HEARD_WITHIN, heard).await.is_ok();
    }
}

/// What is missing for a better answer than this, where it may be told of in a moment.
fn unheard(request: &Request, seen: &Seen, decision: &Decision) -> Option<Unheard> {
    let Decision::Tell(told) = decision else { return None };
    if told.refusal.reason != SkipReason::Unknown {
        return None;
    }
    let namespace = request.namespace.clone();
    if !seen.known {
        return Some(Unheard { namespace, workload: None });
    }
    maker(&request.object).map(|uid| Unheard { namespace, workload: Some(uid.to_owned()) })
}

/// How many bytes the body says it has, at most as many as are read of it.
fn declared(body: &Body) -> u32 {
    let most = BODY_LIMIT as u64;
    let bytes = body.size_hint().upper().unwrap_or(most).min(most);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What a review takes in memory when it is parsed, at most and roughly: a map begins with room for eleven entries.
fn parsed_size(body: &[u8]) -> u32 {
    body.iter().fold(0, |size: u32, byte| {
        size.saturating_add(match byte {
            b'{' | b'[' => 640,
            b',' => 128,
            _ => 1,
        })
    })
}

fn decision(request: &Request, seen: &Seen, config: &InjectConfig, pauses: &Pauses) -> Decision {
    if !request.creates_pod() {
        return Decision::Skip(SkipReason::NotPodCreation);
    }
    let namespace = NamespaceInfo { name: &request.namespace, rules: &seen.rules };
    match decide(&request.object, &namespace, config) {
        Decision::Inject(injection) => unless_told(injection, seen.known, request, pauses),
        other => other,
    }
}

fn answer(request: Request, decision: Decision, config: &InjectConfig) -> (Outcome, Answer) {
    let (outcome, patch, warning) = match decision {
        Decision::Skip(reason) => {
            tracing::debug!(reason = reason.as_str(), "pod not injected");
            return (Outcome::Skipped(reason), Answer::unchanged(request.uid));
        }
        Decision::Inject(injection) => {
            let outcome = if injection.ours.is_some() { Outcome::Adjusted } else { Outcome::Injected };
            (outcome, patch(&injection, config), None)
        }
        Decision::Tell(told) => {
            let warning = format!("peerwalk: sidecar not injected: {}", told.refusal.why);
            (Outcome::Skipped(told.refusal.reason), note(&told), Some(warning))
        }
    };
    match (checked(request.object, &patch), warning) {
        (Ok(patch), None) => {
            tracing::debug!(namespace = request.namespace, "pod injected");
            (outcome, Answer::patched(request.uid, &patch))
        }
        (Ok(patch), Some(warning)) => {
            tracing::info!(namespace = request.namespace, warning, "pod not injected");
            (outcome, Answer::patched(request.uid, &patch).with_warning(warning))
        }
        (Err(cause), _) => {
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

/// Injects no pod of a namespace that is not known, whose rules may refuse it, and none where the sidecar fails, but for
/// those of a trial. A pod that has the sidecar from an earlier call was found right then.
fn unless_told(injection: Injection, known: bool, request: &Request, pauses: &Pauses) -> Decision {
    if injection.ours.is_some() {
        return Decision::Inject(injection);
    }
    if !known {
        let why = "what the namespace asks of its pods is not known yet".to_owned();
        return Decision::Tell(injection.not_done(SkipReason::Unknown, why));
    }
    match pauses.refuse(&request.namespace, request.is_dry_run()) {
        Some(why) => Decision::Tell(injection.not_done(SkipReason::Paused, format!("paused, {why}"))),
        None => Decision::Inject(injection),
    }
}

/// The patch's text, once it is known to apply: the API server refuses the pod over one that does not,
/// whatever the webhook's `failurePolicy`.
fn checked(mut pod: Value, patch: &json_patch::Patch) -> Result<Vec<u8>, String> {
    json_patch::patch_unsafe(&mut pod, patch).map_err(|error| error.to_string())?;
    serde_json::to_vec(patch).map_err(|error| error.to_string())
}
