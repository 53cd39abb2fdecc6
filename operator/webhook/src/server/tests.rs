//! Tests over a real TLS connection, as the API server calls.

mod heard;
mod rotation;
mod strangers;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::decide::SkipReason;
use crate::metrics::{Failure, Outcome};
use crate::namespaces::{Kind, Rule};
use crate::room::LimitRange;
use crate::testing::{config, pod};

const NAME: &str = "peerwalk-webhook.peerwalk.svc";

/// A running webhook.
struct Webhook {
    address: std::net::SocketAddr,
    tls: Arc<ArcSwap<ServerConfig>>,
    config: Arc<ArcSwap<InjectConfig>>,
    namespaces: Namespaces,
    pauses: Pauses,
    metrics: WebhookMetrics,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    turns: watch::Receiver<Instant>,
    trust: Vec<CertificateDer<'static>>,
}

impl Webhook {
    async fn start() -> Self {
        Self::start_knowing(&Kind::ALL).await
    }

    /// One that has listed only these kinds.
    async fn start_knowing(kinds: &[Kind]) -> Self {
        let (server, trust) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let tls = Arc::new(ArcSwap::from_pointee(server));
        let config = Arc::new(ArcSwap::from_pointee(config()));
        let pauses = Pauses::default();
        let (metrics, shutdown) = (WebhookMetrics::default(), CancellationToken::new());
        let namespaces = Namespaces::default();
        let (sender, turns) = watch::channel(Instant::now());
        for kind in kinds {
            list(&namespaces, *kind);
        }
        let task = tokio::spawn(serve(
            (listener, sender),
            Arc::clone(&tls),
            Arc::clone(&config),
            namespaces.clone(),
            pauses.clone(),
            metrics.clone(),
            shutdown.clone(),
        ));
        Self { address, tls, config, namespaces, pauses, metrics, shutdown, task, turns, trust: vec![trust] }
    }

    async fn connect(&self, protocol: &str) -> ClientStream<TcpStream> {
        self.try_connect(protocol).await.expect("a TLS connection")
    }

    async fn try_connect(&self, protocol: &str) -> std::io::Result<ClientStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        self.secured(stream, protocol).await
    }

    async fn secured(&self, stream: TcpStream, protocol: &str) -> std::io::Result<ClientStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for trust in &self.trust {
            roots.add(trust.clone()).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from(NAME).expect("a name");
        TlsConnector::from(Arc::new(client)).connect(name, stream).await
    }

    async fn http2(&self) -> SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect("h2").await);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    async fn post(&self, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
        send(&mut self.http2().await, "/mutate", body.into()).await
    }

    async fn review(&self, review: &Value) -> Value {
        let (status, body) = self.post(review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }
}

/// A kind is listed: of namespaces there is `shop`, and of all else nothing.
fn list(namespaces: &Namespaces, kind: Kind) {
    let mut there = BTreeSet::new();
    if kind == Kind::Namespace {
        namespaces.apply("shop", "shop", Rule::Namespace(None));
        there.insert(("shop".to_owned(), "shop".to_owned()));
    }
    namespaces.listed(kind, &there);
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: Bytes) -> (StatusCode, Bytes) {
    let request = Request::post(format!("https://{NAME}{path}"))
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let status = response.status();
    (status, response.into_body().collect().await.expect("a body").to_bytes())
}

fn certificate() -> (ServerConfig, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a pair");
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (server, made.cert.der().clone())
}

fn review_of(object: &Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

/// The patch of an answer, as the API server decodes it.
fn patch_of(answer: &Value) -> json_patch::Patch {
    let text = answer["response"]["patch"].as_str().expect("a patch in base64");
    serde_json::from_slice(&STANDARD.decode(text).expect("base64")).expect("a JSON Patch")
}

#[tokio::test]
async fn a_pod_is_injected_and_called_again_left_alone() {
    let webhook = Webhook::start().await;
    let answer = webhook.review(&review_of(&pod())).await;
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");

    let mut patched = pod();
    json_patch::patch(&mut patched, &patch_of(&answer)).expect("the patch applies");
    assert_eq!(patched["spec"]["initContainers"][0]["name"], "peerwalk");

    let again = webhook.review(&review_of(&patched)).await;
    let expected = json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true});
    assert_eq!(again["response"], expected, "a second call changes nothing");
    assert_eq!(webhook.metrics.admissions(Outcome::Injected), 1);
    assert_eq!(webhook.metrics.admissions(Outcome::Skipped(SkipReason::AlreadyInjected)), 1);
}

#[tokio::test]
async fn a_pod_without_room_for_us_is_told_so_and_so_is_its_maker() {
    let webhook = Webhook::start().await;
    let spec = json!({"limits": [{"type": "Container", "max": {"memory": "8Mi"}}]});
    webhook.namespaces.apply("shop", "small", Rule::LimitRange(LimitRange::read("small", &spec)));
    let answer = webhook.review(&review_of(&pod())).await;
    assert_eq!(answer["response"]["allowed"], true);
    let mut patched = pod();
    json_patch::patch(&mut patched, &patch_of(&answer)).expect("the patch applies");
    let note = patched["metadata"]["annotations"]["peerwalk.dev/injection"].as_str().expect("a note");
    assert!(note.starts_with("skipped: LimitRange small: Container max.memory is 8Mi"), "{note}");
    assert_eq!(patched["spec"], pod()["spec"], "nothing else is changed");
    let warning = answer["response"]["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("LimitRange small") && warning.len() < 256, "kubectl prints it: {warning}");
    assert_eq!(webhook.metrics.admissions(Outcome::Skipped(SkipReason::LimitRange)), 1);
}

#[tokio::test]
async fn pods_of_namespaces_that_are_not_known_go_without_and_are_told_so() {
    let webhook = Webhook::start_knowing(&[]).await;
    let unknown = Outcome::Skipped(SkipReason::Unknown);
    let mut patched = pod();
    let answer = webhook.review(&review_of(&patched)).await;
    json_patch::patch(&mut patched, &patch_of(&answer)).expect("the patch applies");
    let said = &patched["metadata"]["annotations"]["peerwalk.dev/injection"];
    assert_eq!(said, "skipped: what the namespace asks of its pods is not known yet");
    assert_eq!(patched["spec"], pod()["spec"], "nothing else is touched");
    assert_eq!((webhook.metrics.namespaces_unknown(), webhook.metrics.admissions(unknown)), (1, 1));
    // What is to be left alone anyway is told nothing.
    let mut host = pod();
    host["spec"]["hostNetwork"] = json!(true);
    assert!(webhook.review(&review_of(&host)).await["response"].get("patch").is_none());

    // Each kind may be the last.
    for last in Kind::ALL {
        let webhook = Webhook::start_knowing(&[]).await;
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != last) {
            list(&webhook.namespaces, kind);
        }
        webhook.review(&review_of(&pod())).await;
        assert_eq!(webhook.metrics.admissions(unknown), 1, "without {last:?}");
        list(&webhook.namespaces, last);
        webhook.review(&review_of(&pod())).await;
        assert_eq!(webhook.metrics.admissions(Outcome::Injected), 1, "once {last:?} was listed");
    }
}

#[tokio::test]
async fn where_injection_is_paused_the_pod_says_why_it_has_no_sidecar() {
    let webhook = Webhook::start().await;
    let shop = |trial, pods| {
        let pause = crate::Pause::new("the sidecar's image cannot be pulled", trial, pods);
        webhook.pauses.replace(None, [("shop".to_owned(), pause)].into());
    };
    let mut bare = pod();
    bare["metadata"]["annotations"] = Value::Null;
    for mut object in [pod(), bare] {
        shop(0, 0);
        let answer = webhook.review(&review_of(&object)).await;
        let before = object.clone();
        json_patch::patch(&mut object, &patch_of(&answer)).expect("the patch applies");
        let said = &object["metadata"]["annotations"]["peerwalk.dev/injection"];
        assert_eq!(said, "skipped: paused, the sidecar's image cannot be pulled");
        assert_eq!(object["spec"], before["spec"], "nothing else is touched");
        let warnings = answer["response"]["warnings"].to_string();
        assert!(warnings.contains("the sidecar's image cannot be pulled"), "{warnings}");
    }
    assert_eq!(webhook.metrics.admissions(Outcome::Skipped(SkipReason::Paused)), 2);

    shop(1, 1);
    let mut dry = review_of(&pod());
    dry["request"]["dryRun"] = json!(true);
    for (review, injected) in [(&dry, 1), (&review_of(&pod()), 2), (&review_of(&pod()), 2)] {
        webhook.review(review).await;
        assert_eq!(webhook.metrics.admissions(Outcome::Injected), injected, "one pod is for trial");
    }
    // A pod that would not be injected anyway has nothing to do with it.
    let mut host = pod();
    host["spec"]["hostNetwork"] = json!(true);
    let answer = webhook.review(&review_of(&host)).await;
    assert!(answer["response"].get("patch").is_none(), "{answer}");
}

#[tokio::test]
async fn a_trial_is_spent_only_by_pods_that_get_their_sidecar_by_it() {
    let webhook = Webhook::start().await;
    let mut injected = pod();
    let answer = webhook.review(&review_of(&injected)).await;
    json_patch::patch(&mut injected, &patch_of(&answer)).expect("the patch applies");
    let mesh = json!({"name": "istio-proxy", "restartPolicy": "Always"});
    injected["spec"]["initContainers"].as_array_mut().expect("a list").push(mesh);

    let pause = crate::Pause::new("the sidecar's image cannot be pulled", 1, 1);
    webhook.pauses.replace(None, [("shop".to_owned(), pause)].into());
    let small = json!({"limits": [{"type": "Container", "max": {"memory": "8Mi"}}]});
    webhook.namespaces.apply("shop", "small", Rule::LimitRange(LimitRange::read("small", &small)));
    webhook.review(&review_of(&pod())).await;
    webhook.namespaces.listed(Kind::LimitRange, &BTreeSet::new());
    let count = |outcome| webhook.metrics.admissions(outcome);
    let (paused, small) = (Outcome::Skipped(SkipReason::Paused), Outcome::Skipped(SkipReason::LimitRange));
    assert_eq!((count(small), count(paused)), (1, 0), "there was no room for it in any case");
    for (object, [injections, adjusted, pauses]) in
        [(&injected, [1, 1, 0]), (&pod(), [2, 1, 0]), (&pod(), [2, 1, 1]), (&injected, [2, 2, 1])]
    {
        webhook.review(&review_of(object)).await;
        let counted = [Outcome::Injected, Outcome::Adjusted, paused].map(count);
        assert_eq!(counted, [injections, adjusted, pauses], "injected, adjusted, paused");
    }
}

#[tokio::test]
async fn other_requests_pass_unchanged() {
    let webhook = Webhook::start().await;
    let changes = [
        ("/request/operation", json!("UPDATE")),
        ("/request/subResource", json!("eviction")),
        ("/request/resource/resource", json!("deployments")),
        ("/request/resource/group", json!("apps")),
    ];
    for (pointer, value) in &changes {
        let mut review = review_of(&pod());
        review["request"]["subResource"] = json!("");
        *review.pointer_mut(pointer).expect("the review has it") = value.clone();
        let answer = webhook.review(&review).await;
        assert_eq!(answer["response"]["allowed"], true, "{pointer}");
        assert!(answer["response"].get("patch").is_none(), "{pointer} is not the creation of a pod");
    }
    let skipped = webhook.metrics.admissions(Outcome::Skipped(SkipReason::NotPodCreation));
    assert_eq!(skipped, changes.len() as u64);
}

#[tokio::test]
async fn an_object_that_is_no_pod_passes_unchanged() {
    let webhook = Webhook::start().await;
    for object in
        [Value::Null, json!([]), json!({"spec": 7}), json!({"metadata": {}, "spec": {"containers": [1]}})]
    {
        let answer = webhook.review(&review_of(&object)).await;
        assert_eq!(answer["response"]["allowed"], true, "{object}");
    }
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_counted() {
    let webhook = Webhook::start().await;
    let mut v1beta1 = review_of(&pod());
    v1beta1["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let bodies = [
        "not JSON".to_owned(),
        "{}".to_owned(),
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string(),
        v1beta1.to_string(),
    ];
    for body in &bodies {
        assert_eq!(webhook.post(body.clone()).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(webhook.metrics.admissions(Outcome::Failed(Failure::Review)), bodies.len() as u64);
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let webhook = Webhook::start().await;
    let (status, _) = webhook.post(vec![b' '; admit::BODY_LIMIT + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(webhook.metrics.admissions(Outcome::Failed(Failure::Body)), 1);
}

#[tokio::test]
async fn other_paths_and_methods_are_not_served() {
    let webhook = Webhook::start().await;
    let mut sender = webhook.http2().await;
    assert_eq!(send(&mut sender, "/", Bytes::new()).await.0, StatusCode::NOT_FOUND);
    let get = Request::get(format!("https://{NAME}/mutate")).body(Full::default()).expect("a request");
    let response = sender.send_request(get).await.expect("a response");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn http_1_is_served_as_well() {
    let webhook = Webhook::start().await;
    let stream = TokioIo::new(webhook.connect("http/1.1").await);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(stream).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let body = Full::new(Bytes::from(review_of(&pod()).to_string()));
    let request = Request::post("/mutate").header("host", NAME).body(body).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("a response").status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let webhook = Webhook::start().await;
    let mut stream = webhook.connect("http/1.1").await;
    let head = format!("POST /mutate HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: 10\r\n\r\n12345");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer without the rest of the body");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_new_configuration_and_a_new_certificate_are_used_at_once() {
    let mut webhook = Webhook::start().await;
    let mut sender = webhook.http2().await;
    let root = webhook.config.load().hub_root.clone();
    let next = InjectConfig::new("sidecar:next", "hub:9443", root, "peerwalk").expect("a configuration");
    webhook.config.store(Arc::new(next));
    let (_, body) = send(&mut sender, "/mutate", review_of(&pod()).to_string().into()).await;
    let patch = patch_of(&serde_json::from_slice(&body).expect("JSON"));
    let image = json!(patch).pointer("/0/value/image").cloned();
    assert_eq!(image, Some(json!("sidecar:next")), "the connection is old, the configuration new");

    let (server, trust) = certificate();
    webhook.tls.store(Arc::new(server));
    assert!(webhook.try_connect("h2").await.is_err(), "the old certificate is served no more");
    webhook.trust = vec![trust];
    webhook.connect("h2").await;
}

#[tokio::test]
async fn a_stranger_without_tls_disturbs_nobody() {
    let webhook = Webhook::start().await;
    let mut stranger = TcpStream::connect(webhook.address).await.expect("a connection");
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    let _ = stranger.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");
    webhook.review(&review_of(&pod())).await;
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_then_ends() {
    let webhook = Webhook::start().await;
    let mut stream = webhook.connect("http/1.1").await;
    let body = review_of(&pod()).to_string();
    let (first, rest) = body.split_at(10);
    let head = format!("POST /mutate HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {}\r\n", body.len());
    // The server asks for the body only once it handles the request: from then on it is in flight.
    stream.write_all(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).await.expect("written");
    let mut going = [0; 25];
    stream.read_exact(&mut going).await.expect("asked for the body");
    assert_eq!(&going, b"HTTP/1.1 100 Continue\r\n\r\n");

    webhook.shutdown.cancel();
    stream.write_all(first.as_bytes()).await.expect("written");
    stream.write_all(rest.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    webhook.task.await.expect("the server ends by itself");
    assert!(TcpStream::connect(webhook.address).await.is_err(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn it_tells_that_it_turns_while_nobody_comes() {
    let webhook = Webhook::start().await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(webhook.turns.borrow().elapsed() <= BEAT, "{:?}", webhook.turns.borrow().elapsed());
}
