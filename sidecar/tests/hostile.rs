//! A hub and clients that are not our sidecar: what breaks the protocol is refused by name.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "attach/support.rs"]
#[allow(dead_code)]
mod support;

use std::io;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use peerwalk_model::plan::{DialScope, TargetKind, UrlTarget};
use peerwalk_model::{Plan, Timestamp};
use peerwalk_sidecar::link::client_config;
use peerwalk_wire::grpc::HubClient;
use peerwalk_wire::{Frame, FromHub, FromSidecar, Hello, RefusalCode, RetryReason, Versions, limits};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use support::{Ca, NAME, TestHub, config, plan, pod, until, within};

/// A client that says what it likes.
struct Client {
    frames: mpsc::Sender<Frame>,
    answers: Streaming<Frame>,
}

async fn channel(hub: &TestHub, ca: &Ca) -> Channel {
    let tls = client_config(&ca.pem()).expect("a root");
    let stream = TcpStream::connect(hub.address).await.expect("the hub listens");
    let name = ServerName::try_from(NAME).expect("a name");
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("the hub is verified");
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let connector = service_fn(move |_| {
        let io = once.lock().expect("not poisoned").take();
        std::future::ready(io.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let endpoint = Endpoint::from_static("http://hub");
    endpoint.connect_with_connector(connector).await.expect("the hub speaks HTTP/2")
}

impl Client {
    async fn start(hub: &TestHub, ca: &Ca) -> Self {
        let (frames, receiver) = mpsc::channel(8);
        let mut client = HubClient::new(channel(hub, ca).await);
        let answering = client.attach(ReceiverStream::new(receiver));
        let answers = within("the stream begins", answering).await.expect("a stream").into_inner();
        Self { frames, answers }
    }

    async fn say(&self, frame: Frame) {
        self.frames.send(frame).await.expect("the stream is open");
    }

    async fn answer(&mut self) -> Option<FromHub> {
        let frame = within("an answer", self.answers.message()).await.expect("no transport error");
        frame.map(|frame| FromHub::decode(&frame).expect("the hub keeps to the protocol"))
    }

    /// The refusal that must come, after which the stream ends.
    async fn refusal(mut self) -> (RefusalCode, String) {
        let Some(FromHub::Refused(refusal)) = self.answer().await else { panic!("a refusal is expected") };
        assert_eq!(self.answer().await, None, "a refusal ends the stream");
        (refusal.code, refusal.message)
    }
}

fn hello(versions: Versions) -> Frame {
    let hello = Hello {
        versions,
        token: "token-web".into(),
        pod: pod("web"),
        sidecar_version: "0.1.0".into(),
        instance: 1,
        plan_generation: 0,
    };
    FromSidecar::Hello(hello).encode(Timestamp::default()).expect("within the limits")
}

#[tokio::test]
async fn what_breaks_the_protocol_is_refused() {
    let ca = Ca::new();
    let hub = TestHub::start(&ca).await;
    let table = [
        (hello(Versions { min: 7, max: 9 }), RefusalCode::Version, "7 to 9"),
        (Frame::from(vec![0xff; 20]), RefusalCode::Protocol, "cannot be decoded"),
        (Frame::from(Vec::new()), RefusalCode::Protocol, "message is missing"),
        (Frame::from(vec![0; limits::HELLO_FRAME_BYTES + 1]), RefusalCode::Protocol, "16384 are allowed"),
        (Frame::from(vec![0; limits::SIDECAR_FRAME_BYTES + 1]), RefusalCode::Protocol, "too large"),
        (
            FromSidecar::Token("token-web".into()).encode(Timestamp::default()).expect("within the limits"),
            RefusalCode::Protocol,
            "not Hello",
        ),
    ];
    for (frame, code, words) in table {
        let client = Client::start(&hub, &ca).await;
        client.say(frame).await;
        let (found, message) = client.refusal().await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message:?} says {words:?}");
    }
    assert!(hub.tokens.asked.lock().expect("not poisoned").is_empty(), "no token was looked at");
    hub.stop().await;
}

#[tokio::test]
async fn frames_of_an_attached_client_are_bounded_too() {
    let ca = Ca::new();
    let hub = TestHub::start(&ca).await;
    let mut client = Client::start(&hub, &ca).await;
    client.say(hello(Versions::supported())).await;
    assert!(matches!(client.answer().await, Some(FromHub::Welcome { version: 1, .. })));
    client.say(Frame::from(vec![0; limits::SIDECAR_FRAME_BYTES + 1])).await;
    assert_eq!(client.refusal().await.0, RefusalCode::Protocol);
}

#[tokio::test]
async fn who_says_nothing_is_cut() {
    let ca = Ca::new();
    let impatient = peerwalk_hub::Config { hello_timeout: std::time::Duration::from_millis(200), ..config() };
    let hub = TestHub::start_with(ca.server(NAME), impatient, "127.0.0.1:0").await;
    let mut silent = Client::start(&hub, &ca).await;
    let _no_stream = channel(&hub, &ca).await;
    let _no_handshake = TcpStream::connect(hub.address).await.expect("the hub listens");
    assert_eq!(silent.answer().await, None, "the stream ends without an answer");
    hub.counted("peerwalk_hub_streams_ended_total{reason=\"HelloTimeout\"} 1").await;
    hub.counted("peerwalk_hub_connections_failed_total{reason=\"Timeout\"} 2").await;
    hub.stop().await;
}

#[tokio::test]
async fn there_is_room_for_so_many_streams() {
    let ca = Ca::new();
    let small = peerwalk_hub::Config { max_streams: 1, ..config() };
    let hub = TestHub::start_with(ca.server(NAME), small, "127.0.0.1:0").await;
    let _first = Client::start(&hub, &ca).await;
    let mut second = Client::start(&hub, &ca).await;
    let answer = second.answer().await;
    assert!(matches!(answer, Some(FromHub::RetryAfter { reason: RetryReason::Full, .. })), "{answer:?}");
    assert_eq!(second.answer().await, None, "and the stream ends");
}

#[tokio::test]
async fn who_reads_too_slowly_is_cut() {
    let ca = Ca::new();
    let small = peerwalk_hub::Config { outbound_messages: 1, ..config() };
    let hub = TestHub::start_with(ca.server(NAME), small, "127.0.0.1:0").await;
    let client = Client::start(&hub, &ca).await;
    client.say(hello(Versions::supported())).await;
    until("the client is attached", || !hub.handle.attached().is_empty()).await;
    // It reads nothing, not even the welcome; whole plans of a megabyte fill every buffer in between.
    let generations = std::cell::Cell::new(1);
    until("the stream is cut", || {
        let plan = large_plan(generations.replace(generations.get() + 1));
        hub.handle.set_plan(&pod("web"), plan).expect("a plan within the limits");
        hub.metrics_text().contains("peerwalk_hub_streams_ended_total{reason=\"Slow\"} 1")
    })
    .await;
    hub.stop().await;
}

/// A plan of a megabyte, different in all its targets from that of any other generation.
fn large_plan(generation: u64) -> Plan {
    let roots = format!("{generation:065000}");
    let mut plan = plan(generation, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"]);
    for target in plan.targets.values_mut() {
        target.kind = TargetKind::Url(UrlTarget {
            url: "https://a.example/".into(),
            roots_pem: Some(roots.clone()),
            scope: DialScope::default(),
        });
    }
    plan
}

#[tokio::test]
async fn who_does_not_listen_holds_up_nobody() {
    let ca = Ca::new();
    let quick = peerwalk_hub::Config { drain: std::time::Duration::from_millis(300), ..config() };
    let hub = TestHub::start_with(ca.server(NAME), quick, "127.0.0.1:0").await;
    let mut client = Client::start(&hub, &ca).await;
    client.say(hello(Versions::supported())).await;
    assert!(matches!(client.answer().await, Some(FromHub::Welcome { .. })));
    // It keeps its side of the stream open and reads no more.
    hub.stop().await;
    assert_eq!(client.answer().await, Some(FromHub::Draining), "it was told before the connection was cut");
}
