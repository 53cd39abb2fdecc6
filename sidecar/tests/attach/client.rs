//! A client that is not our sidecar: it says what it likes.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use peerwalk_model::Timestamp;
use peerwalk_sidecar::link::client_config;
use peerwalk_wire::grpc::HubClient;
use peerwalk_wire::{Frame, FromHub, FromSidecar, Hello, RefusalCode, Versions};
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::support::{Ca, NAME, TestHub, pod, within};

/// A stream, and what is said on it.
pub struct Client {
    frames: mpsc::Sender<Frame>,
    answers: Streaming<Frame>,
}

/// A connection from an address of loopback, which has many.
pub async fn connect_from(source: &str, hub: &TestHub) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let source: IpAddr = source.parse().expect("an address");
    socket.bind((source, 0).into()).expect("an address of loopback");
    socket.connect(hub.address).await.expect("the hub listens")
}

pub async fn tls(stream: TcpStream, ca: &Ca) -> TlsStream<TcpStream> {
    let config = client_config(&ca.pem()).expect("a root");
    let name = ServerName::try_from(NAME).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the hub is verified")
}

pub async fn channel(hub: &TestHub, ca: &Ca) -> Channel {
    channel_over(TcpStream::connect(hub.address).await.expect("the hub listens"), ca).await
}

async fn channel_over(stream: TcpStream, ca: &Ca) -> Channel {
    let once = Mutex::new(Some(TokioIo::new(tls(stream, ca).await)));
    let connector = service_fn(move |_| {
        let io = once.lock().expect("not poisoned").take();
        std::future::ready(io.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let endpoint = Endpoint::from_static("http://hub");
    endpoint.connect_with_connector(connector).await.expect("the hub speaks HTTP/2")
}

impl Client {
    pub async fn start(hub: &TestHub, ca: &Ca) -> Self {
        Self::start_over(TcpStream::connect(hub.address).await.expect("the hub listens"), ca).await
    }

    pub async fn start_over(stream: TcpStream, ca: &Ca) -> Self {
        let (frames, receiver) = mpsc::channel(8);
        let mut client = HubClient::new(channel_over(stream, ca).await);
        let answering = client.attach(ReceiverStream::new(receiver));
        let answers = within("the stream begins", answering).await.expect("a stream").into_inner();
        Self { frames, answers }
    }

    /// A client that has said hello for a pod and is welcome.
    pub async fn attached(hub: &TestHub, ca: &Ca, name: &str) -> Self {
        let mut client = Self::start(hub, ca).await;
        client.say(hello(name, Versions::supported())).await;
        let answer = client.answer().await;
        assert!(matches!(answer, Some(FromHub::Welcome { version: 1, .. })), "{name} is welcome: {answer:?}");
        client
    }

    pub async fn say(&self, frame: Frame) {
        self.frames.send(frame).await.expect("the stream is open");
    }

    pub async fn answer(&mut self) -> Option<FromHub> {
        let frame = within("an answer", self.answers.message()).await.expect("no transport error");
        frame.map(|frame| FromHub::decode(&frame).expect("the hub keeps to the protocol"))
    }

    /// The refusal that must come, after which the stream ends.
    pub async fn refusal(mut self) -> (RefusalCode, String) {
        let Some(FromHub::Refused(refusal)) = self.answer().await else { panic!("a refusal is expected") };
        assert_eq!(self.answer().await, None, "a refusal ends the stream");
        (refusal.code, refusal.message)
    }
}

/// The first message of a pod that has plan 1.
pub fn hello(name: &str, versions: Versions) -> Frame {
    let hello = Hello {
        versions,
        token: format!("token-{name}"),
        pod: pod(name),
        sidecar_version: "0.1.0".into(),
        instance: 1,
        plan_generation: 1,
    };
    said(&FromSidecar::Hello(hello))
}

pub fn said(message: &FromSidecar) -> Frame {
    message.encode(Timestamp::default()).expect("within the limits")
}
