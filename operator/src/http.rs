//! The plain HTTP servers: health for the kubelet, metrics for Prometheus, explanations for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use peerwalk_controller::cluster::ObjectKey;
use peerwalk_controller::{Explain, Form, Leading};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// For one explanation.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The loops of the operator turn every few seconds, whatever the API server does. One that has not for so long hangs,
/// while the others go on as if nothing were wrong.
const HANGS: Duration = Duration::from_mins(1);

/// When a loop last turned, and what it is the loop of.
pub struct Pulse {
    /// As a person may read it.
    pub of: &'static str,
    /// When it last turned.
    pub turned: watch::Receiver<Instant>,
}

/// What `/readyz` waits for: with all of it, pods that are made get a sidecar, and the sidecar gets its plan. None is
/// taken back, as attached sidecars are served in any case.
#[derive(Debug, Default)]
pub struct Readiness {
    listed: AtomicBool,
    callable: AtomicBool,
    knows_rules: AtomicBool,
}

impl Readiness {
    /// Every kind has been listed.
    pub fn listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }

    /// Whether every kind has been listed.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    /// The API server can call the webhook: its CA has been seen in place.
    pub fn webhook_callable(&self) {
        self.callable.store(true, Ordering::Relaxed);
    }

    /// The webhook has listed what namespaces ask of their pods: before that it injects none.
    pub fn rules_known(&self) {
        self.knows_rules.store(true, Ordering::Relaxed);
    }

    /// The answer of `/readyz`, with what is missing.
    fn answer(&self) -> (StatusCode, String) {
        let parts = [
            (&self.listed, "the cluster's objects are not all listed"),
            (&self.callable, "the caBundle is not in the MutatingWebhookConfiguration"),
            (&self.knows_rules, "what namespaces ask of their pods is not all listed"),
        ];
        let missing: Vec<&str> =
            parts.iter().filter(|(done, _)| !done.load(Ordering::Relaxed)).map(|(_, what)| *what).collect();
        if missing.is_empty() {
            return (StatusCode::OK, "ok\n".to_owned());
        }
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready yet: {}\n", missing.join("; ")))
    }
}

/// `/healthz` says whether every loop works, `/readyz` whether pods can be injected and served. A part that ends takes
/// the process with it.
///
/// Neither asks the API server: while it is away everybody waits for it, and ending the operator helps nobody.
pub fn health(readiness: Arc<Readiness>, pulses: Vec<Pulse>) -> Router {
    let healthz = async |State(pulses): State<Arc<[Pulse]>>| alive(&pulses);
    let readyz = async |State(readiness): State<Arc<Readiness>>| readiness.answer();
    let healthz = Router::new().route("/healthz", get(healthz)).with_state(pulses.into());
    Router::new().route("/readyz", get(readyz)).with_state(readiness).merge(healthz)
}

fn alive(pulses: &[Pulse]) -> (StatusCode, String) {
    let rests = pulses.iter().map(|pulse| (pulse.of, pulse.turned.borrow().elapsed()));
    let hang: Vec<String> = rests
        .filter(|(_, rests)| *rests >= HANGS)
        .map(|(of, rests)| format!("{of} has not turned for {} s", rests.as_secs()))
        .collect();
    if hang.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", hang.join("; ")))
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

/// `/explain/NAMESPACE/CHECK`: every pair of a check as a walk that a person can read; with `?output=json` or where
/// JSON is accepted, what it is judged by (`docs/decision.md`). Only the leader knows: a standby says who that is.
pub fn explain(requests: mpsc::Sender<Explain>, leading: watch::Receiver<Leading>) -> Router {
    Router::new().route("/explain/{namespace}/{check}", get(explain_one)).with_state((requests, leading))
}

/// What a standby answers; `None` of a leader.
fn standby(leading: &Leading, now: Instant) -> Option<String> {
    match leading {
        _ if leading.term(now).is_some() => None,
        Leading::Standby { leader: Some(leader) } => {
            Some(format!("this replica is a standby; ask the leader, pod {}\n", leader.name))
        }
        _ => Some("no replica leads at this moment; ask again in a few seconds\n".to_owned()),
    }
}

async fn explain_one(
    State((requests, leading)): State<(mpsc::Sender<Explain>, watch::Receiver<Leading>)>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = match form(uri.query().unwrap_or_default(), accept) {
        Ok(form) => form,
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    if let Some(elsewhere) = standby(&leading.borrow(), Instant::now()) {
        return (StatusCode::SERVICE_UNAVAILABLE, elsewhere).into_response();
    }
    let (answer, text) = oneshot::channel();
    let check = ObjectKey::new(namespace, name);
    let missing = format!("there is no ConnectivityCheck {check}\n");
    let asked = async {
        requests.send(Explain { check, form, answer }).await.ok()?;
        text.await.ok()
    };
    match timeout(EXPLAIN_TIMEOUT, asked).await {
        Ok(Some(Some(text))) if form == Form::Json => {
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Ok(Some(Some(text))) => text.into_response(),
        Ok(Some(None)) => (StatusCode::NOT_FOUND, missing).into_response(),
        Ok(None) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the controller does not answer\n").into_response()
        }
    }
}

/// What is asked for: by the query, or else by what is accepted.
fn form(query: &str, accept: &str) -> Result<Form, String> {
    match query.split('&').find_map(|pair| pair.strip_prefix("output=")) {
        Some("json") => Ok(Form::Json),
        Some("text") => Ok(Form::Text),
        Some(other) => Err(format!("output {other:?} is not known: write output=json or output=text\n")),
        None if accept.contains("application/json") => Ok(Form::Json),
        None => Ok(Form::Text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_asked_for_by_the_query_or_by_what_is_accepted() {
        for (query, accept, expected) in [
            ("", "", Some(Form::Text)),
            ("", "*/*", Some(Form::Text)),
            ("", "application/json, */*", Some(Form::Json)),
            ("output=json", "*/*", Some(Form::Json)),
            ("a=b&output=text", "application/json", Some(Form::Text)),
            ("output=yaml", "", None),
        ] {
            assert_eq!(form(query, accept).ok(), expected, "{query:?} {accept:?}");
        }
        assert!(form("output=yaml", "").is_err_and(|error| error.contains("output=json")));
    }

    #[tokio::test]
    async fn a_check_is_given_in_the_form_that_is_asked_for() {
        let (requests, mut asked) = mpsc::channel::<Explain>(1);
        let answer = tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                let _ = request.answer.send(Some(format!("{} {:?}", request.check, request.form)));
            }
        });
        let until = Instant::now() + Duration::from_mins(1);
        let (_sender, leading) = watch::channel(Leading::Leader { term: 1, until });
        for (uri, body, kind) in [
            ("/explain/shop/storefront", "shop/storefront Text", "text/plain; charset=utf-8"),
            ("/explain/shop/storefront?output=json", "shop/storefront Json", "application/json"),
        ] {
            let check = Path(("shop".to_owned(), "storefront".to_owned()));
            let state = State((requests.clone(), leading.clone()));
            let response = explain_one(state, check, uri.parse().unwrap(), HeaderMap::new()).await;
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
            let found = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
            assert_eq!(found, body.as_bytes());
        }
        drop(requests);
        answer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_is_not_healthy() {
        const LOOPS: [&str; 3] = ["the controller", "the hub", "who keeps the lease"];
        for hangs in LOOPS {
            let all = LOOPS.map(|of| (of, watch::channel(Instant::now())));
            let pulses = all.each_ref().map(|(of, (_, turned))| Pulse { of, turned: turned.clone() });
            let turn = |who: &dyn Fn(&str) -> bool| {
                for (_, (turns, _)) in all.iter().filter(|(of, _)| who(of)) {
                    turns.send_replace(Instant::now());
                }
            };
            assert_eq!(alive(&pulses).0, StatusCode::OK);
            tokio::time::advance(Duration::from_secs(59)).await;
            turn(&|of| of != hangs);
            assert_eq!(alive(&pulses).0, StatusCode::OK, "a long turn");
            tokio::time::advance(Duration::from_secs(1)).await;
            let told = (StatusCode::SERVICE_UNAVAILABLE, format!("{hangs} has not turned for 60 s\n"));
            assert_eq!(alive(&pulses), told);
            turn(&|_| true);
            assert_eq!(alive(&pulses).0, StatusCode::OK, "it goes on");
        }
    }

    #[test]
    fn a_standby_names_the_leader() {
        let now = Instant::now();
        let leads = Leading::Leader { term: 1, until: now + Duration::from_secs(1) };
        assert_eq!(standby(&leads, now), None);
        let leader = peerwalk_controller::Leader { name: "peerwalk-7".into(), hub: None };
        let told = standby(&Leading::Standby { leader: Some(leader) }, now);
        assert!(told.is_some_and(|text| text.contains("pod peerwalk-7")));
        for nobody in [Leading::default(), Leading::Leader { term: 1, until: now }] {
            assert!(standby(&nobody, now).is_some_and(|text| text.contains("no replica leads")));
        }
    }

    #[test]
    fn ready_is_what_has_everything_and_the_rest_says_what_is_missing() {
        type Part = (fn(&Readiness), &'static str);
        let parts: [Part; 3] = [
            (Readiness::listed, "objects are not all listed"),
            (Readiness::webhook_callable, "caBundle is not in the MutatingWebhookConfiguration"),
            (Readiness::rules_known, "what namespaces ask of their pods is not all listed"),
        ];
        for had in 0..8_u8 {
            let readiness = Readiness::default();
            let has = |part: usize| had & (1 << part) != 0;
            for (part, (note, _)) in parts.iter().enumerate() {
                if has(part) {
                    note(&readiness);
                }
            }
            let (status, body) = readiness.answer();
            assert_eq!(status == StatusCode::OK, had == 7, "{had:03b}: {status}");
            for (part, (_, words)) in parts.iter().enumerate() {
                assert_eq!(body.contains(words), !has(part), "{had:03b}: {body}");
            }
        }
    }
}
