//! Tests against an API server of our own: two routes, one object each.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use peerwalk_controller::Leading;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio_util::sync::CancellationToken;

use super::*;

mod given;
mod rotation;

const SECRET: &str = "peerwalk-pki";
const SERVICES: Services<'_> =
    Services { namespace: "peerwalk", hub: "peerwalk-hub", webhook: "peerwalk-webhook" };

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn now() -> Timestamp {
    at("2026-11-01T12:00:00Z")
}

/// It leads for as long as any test takes.
fn leads() -> Leading {
    Leading::Leader { term: 1, until: tokio::time::Instant::now() + Duration::from_hours(1000) }
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code});
    (StatusCode::from_u16(code).expect("a status"), Json(body)).into_response()
}

/// One Secret, or none; answers to reads that are planned come first.
#[derive(Default)]
struct Secrets {
    stored: Mutex<Option<Value>>,
    planned_reads: Mutex<VecDeque<u16>>,
}

fn secrets(state: &Arc<Secrets>) -> Api<Secret> {
    let read = async |State(state): State<Arc<Secrets>>| {
        let planned = state.planned_reads.lock().expect("unpoisoned").pop_front();
        let stored = state.stored.lock().expect("unpoisoned").clone();
        match (planned, stored) {
            (Some(404), _) | (None, None) => status(404, "NotFound"),
            (Some(code), _) => status(code, "Forbidden"),
            (None, Some(secret)) => Json(secret).into_response(),
        }
    };
    let create = async |State(state): State<Arc<Secrets>>, Json(secret): Json<Value>| {
        let mut stored = state.stored.lock().expect("unpoisoned");
        if stored.is_some() {
            return status(409, "AlreadyExists");
        }
        *stored = Some(secret.clone());
        (StatusCode::CREATED, Json(secret)).into_response()
    };
    let router = Router::new()
        .route("/api/v1/namespaces/peerwalk/secrets/peerwalk-pki", get(read))
        .route("/api/v1/namespaces/peerwalk/secrets", axum::routing::post(create))
        .with_state(Arc::clone(state));
    Api::namespaced(kube::Client::new(router, "peerwalk"), "peerwalk")
}

#[tokio::test]
async fn the_first_replica_makes_the_secret_and_the_next_reads_it() {
    let state = Arc::new(Secrets::default());
    let first = load_or_create(&secrets(&state), SECRET, now()).await.expect("made");
    let stored = state.stored.lock().expect("unpoisoned").clone().expect("a Secret");
    assert_eq!(stored["type"], "Opaque");
    assert_eq!(stored["data"].as_object().map(serde_json::Map::len), Some(4), "both pairs");
    let second = load_or_create(&secrets(&state), SECRET, now()).await.expect("read");
    assert_eq!(first.to_data(), second.to_data());
}

#[tokio::test]
async fn a_replica_that_loses_the_race_takes_the_others_authorities() {
    let state = Arc::new(Secrets::default());
    let other = load_or_create(&secrets(&state), SECRET, now()).await.expect("made");
    state.planned_reads.lock().expect("unpoisoned").push_back(404);
    let ours = load_or_create(&secrets(&state), SECRET, now()).await.expect("read after the refusal");
    assert_eq!(ours.to_data(), other.to_data());
}

#[tokio::test]
async fn a_secret_that_comes_and_goes_is_an_error() {
    let state = Arc::new(Secrets::default());
    load_or_create(&secrets(&state), SECRET, now()).await.expect("made");
    state.planned_reads.lock().expect("unpoisoned").extend([404, 404]);
    let error = load_or_create(&secrets(&state), SECRET, now()).await.err();
    assert!(matches!(error, Some(CertificatesError::Vanished { .. })), "{error:?}");
}

#[tokio::test]
async fn a_damaged_secret_is_not_replaced() {
    let state = Arc::new(Secrets::default());
    let damaged = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": {}});
    *state.stored.lock().expect("unpoisoned") = Some(damaged.clone());
    let error = load_or_create(&secrets(&state), SECRET, now()).await.err().expect("an error");
    assert!(matches!(error, CertificatesError::Data { .. }), "{error:?}");
    assert_eq!(state.stored.lock().expect("unpoisoned").as_ref(), Some(&damaged));
}

#[tokio::test]
async fn a_refusal_is_told_with_the_name_of_the_secret() {
    let state = Arc::new(Secrets::default());
    state.planned_reads.lock().expect("unpoisoned").push_back(403);
    let error = load_or_create(&secrets(&state), SECRET, now()).await.err().expect("an error");
    assert_eq!(error.to_string(), "cannot read Secret peerwalk-pki");
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_is_not_waited_for() {
    let router = Router::new().fallback(async || std::future::pending::<Response>().await);
    let api = Api::namespaced(kube::Client::new(router, "peerwalk"), "peerwalk");
    let error = load_or_create(&api, SECRET, now()).await.err();
    assert!(matches!(error, Some(CertificatesError::Timeout { .. })), "{error:?}");
}

#[test]
fn only_leaves_that_are_due_are_replaced_and_in_place() {
    let authorities = Authorities::create(now()).expect("authorities");
    let mut certificates = Certificates::issue(authorities, &SERVICES, now()).expect("leaves");
    let (hub, webhook) = (certificates.hub_tls(), certificates.webhook_tls());
    assert_eq!(hub.load().alpn_protocols, [b"h2".to_vec()]);
    assert_eq!(webhook.load().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(certificates.hub.names[0], "peerwalk-hub.peerwalk.svc");
    assert_eq!(certificates.webhook.names[0], "peerwalk-webhook.peerwalk.svc");

    let before = (hub.load_full(), webhook.load_full());
    assert_eq!(certificates.renew_due(at("2026-11-21T11:59:59Z")).expect("nothing due"), 0);
    assert!(Arc::ptr_eq(&before.0, &hub.load_full()), "nothing was due");
    assert_eq!(certificates.renew_due(at("2026-11-21T12:00:00Z")).expect("renewed"), 2);
    assert!(!Arc::ptr_eq(&before.0, &hub.load_full()), "the hub serves a new one");
    assert!(!Arc::ptr_eq(&before.1, &webhook.load_full()), "the webhook serves a new one");
    assert_eq!(certificates.renew_due(at("2026-11-21T12:00:00Z")).expect("nothing due"), 0);
}

/// The clock of a client.
#[derive(Debug)]
struct Clock(Timestamp);

impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.as_second().unsigned_abs())))
    }
}

/// A handshake in memory with a client of one version, to its end or its first error.
fn handshake(
    server: &Arc<ServerConfig>,
    root_pem: &str,
    name: &str,
    version: &'static rustls::SupportedProtocolVersion,
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(root.expect("PEM")).expect("a trust anchor");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_details(provider, Arc::new(Clock(at)))
        .with_protocol_versions(&[version])
        .expect("a version that is built in")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = name.to_owned().try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = rustls::ServerConnection::new(Arc::clone(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory takes everything");
        server.read_tls(&mut bytes.as_slice()).expect("memory gives everything");
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("memory takes everything");
        client.read_tls(&mut bytes.as_slice()).expect("memory gives everything");
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn the_hub_speaks_tls_1_3_only_and_the_webhook_1_2_too() {
    let now = Timestamp::now();
    // Valid for five more days, and due for renewal.
    let issued = now.checked_sub(Duration::from_hours(24 * 25)).expect("a moment");
    let authorities = Authorities::create(issued).expect("authorities");
    let mut certificates = Certificates::issue(authorities, &SERVICES, issued).expect("leaves");
    let (v12, v13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for renewed in ["not", "both"] {
        let (hub, webhook) = (certificates.hub_tls().load_full(), certificates.webhook_tls().load_full());
        let trusted = certificates.trusted().borrow().clone();
        let hub = |version| handshake(&hub, &trusted.hub_root, "peerwalk-hub.peerwalk.svc", version, now);
        assert_eq!(hub(v13), Ok(()), "{renewed} renewed");
        let refused = hub(v12);
        assert!(matches!(refused, Err(rustls::Error::PeerIncompatible(_))), "{renewed} renewed: {refused:?}");
        for version in [v12, v13] {
            let (ca, name) = (&trusted.webhook_bundle, "peerwalk-webhook.peerwalk.svc");
            assert_eq!(handshake(&webhook, ca, name, version, now), Ok(()), "{version:?}, {renewed} renewed");
        }
        certificates.renew_due(now).expect("renewed");
    }
}

#[test]
fn a_leaf_that_cannot_be_renewed_stays() {
    let authorities = Authorities::create(now()).expect("authorities");
    let mut certificates = Certificates::issue(authorities, &SERVICES, now()).expect("leaves");
    let before = certificates.hub_tls().load_full();
    let error = certificates.renew_due(at("2046-11-01T12:00:00Z")).expect_err("the authority has ended");
    assert!(matches!(error, CertificatesError::Pki(PkiError::Expired { .. })), "{error:?}");
    assert!(Arc::ptr_eq(&before, &certificates.hub_tls().load_full()));
}

/// An API server with one MutatingWebhookConfiguration. Events are sent by the test; patches are handed
/// to it.
struct Configurations {
    object: Value,
    events: Mutex<Option<mpsc::UnboundedReceiver<Value>>>,
    patches: mpsc::UnboundedSender<Value>,
    /// What becomes of the next writes.
    refuse: Mutex<VecDeque<u16>>,
}

fn configurations(state: Arc<Configurations>) -> kube::Client {
    let list = async |State(state): State<Arc<Configurations>>, uri: Uri| {
        let query = uri.query().unwrap_or_default();
        assert!(query.contains("fieldSelector=metadata.name%3Dpeerwalk"), "one object only: {query}");
        if !query.contains("watch=true") {
            let list = json!({"kind": "MutatingWebhookConfigurationList", "items": [state.object],
                "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"resourceVersion": "1"}});
            return Json(list).into_response();
        }
        let Some(mut events) = state.events.lock().expect("unpoisoned").take() else {
            return std::future::pending().await;
        };
        let lines = futures::stream::poll_fn(move |context| events.poll_recv(context)).map(|object| {
            let event = json!({"type": "MODIFIED", "object": object});
            Ok::<_, Infallible>(Bytes::from(format!("{event}\n")))
        });
        Body::from_stream(lines).into_response()
    };
    let write = async |State(state): State<Arc<Configurations>>, uri: Uri, body: Bytes| {
        let patch: Value = serde_json::from_slice(&body).expect("JSON");
        let query = uri.query().unwrap_or_default();
        assert!(query.contains("fieldManager=peerwalk-operator"), "a manager of its own: {query}");
        state.patches.send(patch).expect("the test listens");
        if let Some(code) = state.refuse.lock().expect("unpoisoned").pop_front() {
            return status(code, if code == 409 { "Conflict" } else { "Forbidden" });
        }
        Json(state.object.clone()).into_response()
    };
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let router = Router::new()
        .route(path, get(list))
        .route(&format!("{path}/peerwalk"), patch(write))
        .with_state(state);
    kube::Client::new(router, "peerwalk")
}

fn configuration(version: &str, bundles: [Option<&str>; 2]) -> Value {
    let webhook = |name: &str, bundle: Option<&str>| {
        json!({"name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig":
            {"service": {"namespace": "peerwalk", "name": "webhook"},
             "caBundle": bundle.map(|text| k8s_openapi::ByteString(text.as_bytes().to_vec()))}})
    };
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "peerwalk", "resourceVersion": version},
        "webhooks": [webhook("namespace.peerwalk.dev", bundles[0]), webhook("pod.peerwalk.dev", bundles[1])]})
}

/// Certificates of these names, PEM, as far as anything here looks into them.
fn pem(names: &[&str]) -> String {
    let one = |name: &&str| format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    names.iter().map(one).collect()
}

/// Who serves by the first of these, and trusts all.
fn trusted(names: &[&str]) -> Trusted {
    let (hub_root, hub_fingerprints) = (String::new(), BTreeSet::new());
    Trusted { hub_root, hub_fingerprints, webhook_bundle: pem(names), webhook_ca: pem(&names[..1]) }
}

fn expected_patch(version: &str, names: &[&str]) -> Value {
    let ca = k8s_openapi::ByteString(pem(names).into_bytes());
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "peerwalk", "resourceVersion": version}, "webhooks": [
            {"name": "namespace.peerwalk.dev", "clientConfig": {"caBundle": ca}},
            {"name": "pod.peerwalk.dev", "clientConfig": {"caBundle": ca}}]})
}

/// Who keeps the CA at work, with all that surrounds it.
struct Keeper {
    events: mpsc::UnboundedSender<Value>,
    written: mpsc::UnboundedReceiver<Value>,
    trusted: watch::Sender<Trusted>,
    leading: watch::Sender<Leading>,
    told: watch::Receiver<Option<String>>,
    callable: oneshot::Receiver<()>,
    state: Arc<Configurations>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Keeper {
    /// It serves by `OURS`, and finds that object. The first writes are refused with these codes.
    fn start(leading: Leading, object: Value, refuse: &[u16]) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let (patches, written) = mpsc::unbounded_channel();
        let state = Arc::new(Configurations {
            object,
            events: Mutex::new(Some(receiver)),
            patches,
            refuse: Mutex::new(refuse.iter().copied().collect()),
        });
        let (in_place, callable) = oneshot::channel();
        let (trusted, told) = (watch::Sender::new(trusted(&["OURS"])), watch::Sender::new(None));
        let (leading, hears) = (watch::Sender::new(leading), told.subscribe());
        let bundle = Bundle { trusted: trusted.subscribe(), leading: leading.subscribe(), told, in_place };
        let (client, shutdown) = (configurations(Arc::clone(&state)), CancellationToken::new());
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { keep_ca_bundle(client, "peerwalk", bundle, stop).await });
        Self { events, written, trusted, leading, told: hears, callable, state, shutdown, task }
    }

    /// The watch brings another version, and whatever follows has followed. The clock is paused: it moves only once
    /// nothing else can happen.
    async fn sees(&mut self, version: &str, bundles: [Option<&[&str]>; 2]) {
        let bundles = bundles.map(|names| names.map(pem));
        let bundles = [bundles[0].as_deref(), bundles[1].as_deref()];
        self.events.send(configuration(version, bundles)).expect("watched");
        tokio::time::sleep(Duration::from_mins(1)).await;
    }

    fn told(&self) -> Option<String> {
        self.told.borrow().clone()
    }

    fn writes(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.written.try_recv().ok()).collect()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("ends with the process");
    }
}

#[tokio::test(start_paused = true)]
async fn the_ca_is_written_where_it_is_missing_and_again_when_it_is_taken_away() {
    let mut keeper = Keeper::start(leads(), configuration("1", [None, None]), &[403]);
    let expected = expected_patch("1", &["OURS"]);
    assert_eq!(keeper.written.recv().await.as_ref(), Some(&expected), "missing at the start");
    assert_eq!(keeper.written.recv().await.as_ref(), Some(&expected), "tried again after a refusal");

    let ours: Option<&[&str]> = Some(&["OURS"]);
    keeper
        .events
        .send(json!({"kind": "MutatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": "peerwalk", "resourceVersion": "1"}, "webhooks": []}))
        .expect("watched");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(keeper.told(), None, "there is no webhook");
    keeper.sees("2", [ours, None]).await;
    assert_eq!((keeper.told(), keeper.callable.try_recv()), (None, Err(TryRecvError::Empty)), "one lacks it");
    assert!(keeper.writes().contains(&expected_patch("2", &["OURS"])), "and gets it");
    keeper.sees("3", [ours, ours]).await;
    assert_eq!((keeper.told(), keeper.callable.try_recv()), (Some(pem(&["OURS"])), Ok(())), "both have it");
    assert!(keeper.writes().is_empty(), "nothing is written when nothing is missing");
    keeper.sees("4", [ours, Some(&["THEM"])]).await;
    assert_eq!(keeper.writes().first(), Some(&expected_patch("4", &["OURS"])), "one was replaced");
    assert_eq!(keeper.told(), None, "and it is known that it is not in place");

    // Another replica leads: it writes, and this one sees whether it has.
    keeper.leading.send_replace(Leading::default());
    keeper.trusted.send_replace(trusted(&["OURS", "NEXT"]));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(keeper.writes().is_empty(), "a replica that does not lead writes nothing");
    let both: Option<&[&str]> = Some(&["OURS", "NEXT"]);
    keeper.sees("5", [both, both]).await;
    assert_eq!(keeper.told(), Some(pem(&["OURS", "NEXT"])));
    keeper.leading.send_replace(leads());
    keeper.trusted.send_replace(trusted(&["NEXT"]));
    let expected = expected_patch("5", &["NEXT"]);
    assert_eq!(keeper.written.recv().await, Some(expected), "a leader does, with each change");
    // As after a pause: nobody has said that the lead is lost.
    keeper.leading.send_replace(Leading::Leader { term: 2, until: tokio::time::Instant::now() });
    keeper.trusted.send_replace(trusted(&["LATE"]));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(keeper.writes().is_empty(), "the clock says it");
    keeper.stop().await;
}

/// A rollout waits for the new replicas, and their leader is one of the old ones, which may know of other CAs.
#[tokio::test(start_paused = true)]
async fn a_replica_can_be_called_by_the_ca_it_serves_by_whatever_stands_beside_it() {
    for (found, callable) in [
        (None, false),
        (Some(&["THEM"][..]), false),
        (Some(&["OURS", "THEM"][..]), true),
        (Some(&["THEM", "OURS"][..]), true),
    ] {
        let mut keeper = Keeper::start(Leading::default(), configuration("1", [None, None]), &[]);
        keeper.trusted.send_replace(trusted(&["OURS", "NEXT"]));
        keeper.sees("2", [Some(&["OURS"]), found]).await;
        assert_eq!(keeper.callable.try_recv().is_ok(), callable, "{found:?}");
        assert_eq!(keeper.told(), None, "{found:?}: nobody may count on NEXT");
        assert!(keeper.writes().is_empty(), "{found:?}: the leader puts it right");
        keeper.stop().await;
    }
}

/// A replica was paused after it had looked, and another has written since.
#[tokio::test(start_paused = true)]
async fn a_write_is_for_the_version_that_was_seen_and_what_follows_is_looked_at_anew() {
    let mut keeper = Keeper::start(leads(), configuration("1", [None, None]), &[409]);
    assert_eq!(keeper.written.recv().await, Some(expected_patch("1", &["OURS"])));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(keeper.writes().is_empty(), "there is another version, which the watch brings");
    keeper.sees("2", [Some(&["OURS"]), Some(&["THEM"])]).await;
    assert_eq!(keeper.writes().first(), Some(&expected_patch("2", &["OURS"])));
    assert!(keeper.state.refuse.lock().expect("unpoisoned").is_empty(), "it was refused once");
    keeper.stop().await;
}
