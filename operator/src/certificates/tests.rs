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
    refuse: Mutex<u32>,
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
        let mut refuse = state.refuse.lock().expect("unpoisoned");
        if *refuse > 0 {
            *refuse -= 1;
            return status(403, "Forbidden");
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

fn trusted(bundle: &str) -> Trusted {
    let (hub_root, hub_fingerprints) = (String::new(), BTreeSet::new());
    Trusted { hub_root, hub_fingerprints, webhook_bundle: bundle.to_owned() }
}

fn trust(sender: &watch::Sender<Trusted>, bundle: &str) {
    sender.send_replace(trusted(bundle));
}

fn expected_patch(bundle: &str) -> Value {
    let ca = k8s_openapi::ByteString(bundle.as_bytes().to_vec());
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "peerwalk"}, "webhooks": [
            {"name": "namespace.peerwalk.dev", "clientConfig": {"caBundle": ca}},
            {"name": "pod.peerwalk.dev", "clientConfig": {"caBundle": ca}}]})
}

#[tokio::test(start_paused = true)]
async fn the_ca_is_written_where_it_is_missing_and_again_when_it_is_taken_away() {
    let (events, receiver) = mpsc::unbounded_channel();
    let (patches, mut written) = mpsc::unbounded_channel();
    let state = Arc::new(Configurations {
        object: configuration("1", [None, None]),
        events: Mutex::new(Some(receiver)),
        patches,
        refuse: Mutex::new(1),
    });
    let shutdown = CancellationToken::new();
    let (in_place, mut seen) = oneshot::channel();
    let (sender, told) = (watch::Sender::new(trusted("OURS")), watch::Sender::new(None));
    let leading = watch::Sender::new(leads());
    let bundle =
        Bundle { trusted: sender.subscribe(), leading: leading.subscribe(), told: told.clone(), in_place };
    let keeper = tokio::spawn({
        let (client, shutdown) = (configurations(state), shutdown.clone());
        async move { keep_ca_bundle(client, "peerwalk", bundle, shutdown).await }
    });
    let expected = expected_patch("OURS");
    assert_eq!(written.recv().await.as_ref(), Some(&expected), "missing at the start");
    assert_eq!(written.recv().await.as_ref(), Some(&expected), "tried again after a refusal");

    // The clock is paused: it moves only once nothing else can happen.
    for (object, in_place) in [
        (
            json!({"kind": "MutatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": "peerwalk", "resourceVersion": "1"}, "webhooks": []}),
            false,
        ),
        (configuration("2", [Some("OURS"), None]), false),
        (configuration("3", [Some("OURS"), Some("OURS")]), true),
    ] {
        events.send(object.clone()).expect("watched");
        tokio::time::sleep(Duration::from_mins(1)).await;
        let answer = if in_place { Ok(()) } else { Err(TryRecvError::Empty) };
        assert_eq!(seen.try_recv(), answer, "told once all of them have it: {object}");
        assert_eq!(told.borrow().as_deref(), in_place.then_some("OURS"), "and while they do: {object}");
        if !in_place {
            while written.try_recv().is_ok() {}
        }
    }
    assert!(written.try_recv().is_err(), "nothing is written when nothing is missing");

    events.send(configuration("4", [Some("OURS"), Some("THEIRS")])).expect("watched");
    assert_eq!(written.recv().await.as_ref(), Some(&expected), "one was replaced");
    assert_eq!(*told.borrow(), None, "and it is known that it is not in place");

    // Another replica leads: it writes, and this one sees whether it has.
    leading.send_replace(Leading::default());
    trust(&sender, "OURS+NEXT");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(written.try_recv().is_err(), "a replica that does not lead writes nothing");
    events.send(configuration("5", [Some("OURS+NEXT"), Some("OURS+NEXT")])).expect("watched");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(told.borrow().as_deref(), Some("OURS+NEXT"));
    leading.send_replace(leads());
    trust(&sender, "NEXT");
    assert_eq!(
        written.recv().await.as_ref(),
        Some(&expected_patch("NEXT")),
        "a leader does, with each change"
    );
    // As after a pause: nobody has said that the lead is lost.
    leading.send_replace(Leading::Leader { term: 2, until: tokio::time::Instant::now() });
    trust(&sender, "LATER");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(written.try_recv().is_err(), "the clock says it");
    shutdown.cancel();
    keeper.await.expect("ends with the process");
}
