//! A hub that plays a script: it says the same to whoever comes, whatever is said to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use peerwalk_model::{Timestamp, Walk};
use peerwalk_wire::grpc::{Hub, HubServer};
use peerwalk_wire::{Frame, FromHub, FromSidecar};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Ca, NAME, within};

/// What is said on one stream, which then stays open until the sidecar ends it.
pub type Scene = Vec<Frame>;

/// The hub. One scene for each stream, and the last of them for all that follow.
pub struct BadHub {
    pub address: SocketAddr,
    /// For the words of a test that fails.
    name: String,
    connections: mpsc::UnboundedReceiver<()>,
    ends: mpsc::UnboundedReceiver<()>,
    said: mpsc::UnboundedReceiver<FromSidecar>,
}

#[derive(Clone)]
struct Stage {
    scenes: Arc<Mutex<Vec<Scene>>>,
    said: mpsc::UnboundedSender<FromSidecar>,
}

impl BadHub {
    pub async fn start(ca: &Ca, name: &str, scenes: Vec<Scene>) -> Self {
        Self::start_knowing(ca, name, |_| scenes).await
    }

    /// A hub whose script needs its own address.
    pub async fn start_knowing(ca: &Ca, name: &str, scenes: impl FnOnce(SocketAddr) -> Vec<Scene>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback address");
        let address = listener.local_addr().expect("an address");
        let mut scenes = scenes(address);
        scenes.reverse();
        let tls = TlsAcceptor::from(Arc::new(ca.server(NAME)));
        let (came, connections) = mpsc::unbounded_channel();
        let (ended, ends) = mpsc::unbounded_channel();
        let (said, hear) = mpsc::unbounded_channel();
        let stage = Stage { scenes: Arc::new(Mutex::new(scenes)), said };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The test has ended when nobody listens.
                let _ = came.send(());
                let (tls, stage, ended) = (tls.clone(), stage.clone(), ended.clone());
                tokio::spawn(async move {
                    serve(tls, stream, stage).await;
                    let _ = ended.send(());
                });
            }
        });
        Self { address, name: name.to_owned(), connections, ends, said: hear }
    }

    /// Waits for a sidecar to come and to go again.
    pub async fn visited(&mut self) {
        let came = within(&format!("a sidecar to {}", self.name), self.connections.recv()).await;
        came.expect("the hub listens");
        self.left().await;
    }

    /// Waits for a sidecar that came to go again.
    pub async fn left(&mut self) {
        let left = within(&format!("its end to {}", self.name), self.ends.recv()).await;
        left.expect("the hub listens");
    }

    /// Waits for evidence.
    pub async fn evidence(&mut self) -> Walk {
        loop {
            let said = within(&format!("evidence to {}", self.name), self.said.recv()).await;
            if let FromSidecar::Evidence(walk) = said.expect("the hub listens") {
                return *walk;
            }
        }
    }

    /// A sidecar that has left comes again after that wait, and not before. The clock stands still but for
    /// the wait. It stood only after the sidecar had begun to wait: a quarter is left for that.
    pub async fn comes_again_after(&mut self, wait: Duration) {
        time::pause();
        time::advance(wait * 3 / 4).await;
        assert!(!self.comes(100).await, "to {} it comes too early, not after {wait:?}", self.name);
        time::advance(wait / 4 + Duration::from_millis(1)).await;
        assert!(self.comes(100_000).await, "to {} it does not come after {wait:?}", self.name);
        time::resume();
    }

    /// Whether a sidecar comes while everybody has so many turns.
    async fn comes(&mut self, turns: usize) -> bool {
        for _ in 0..turns {
            yield_now().await;
            if self.connections.try_recv().is_ok() {
                return true;
            }
        }
        false
    }
}

async fn serve(tls: TlsAcceptor, stream: TcpStream, stage: Stage) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = TowerToHyperService::new(HubServer::new(stage));
    // How it ends is the sidecar's affair.
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

#[tonic::async_trait]
impl Hub for Stage {
    type AttachStream = std::pin::Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let scene = {
            let mut scenes = self.scenes.lock().expect("not poisoned");
            if scenes.len() > 1 { scenes.pop() } else { scenes.last().cloned() }
        };
        let (said, mut inbound) = (self.said.clone(), request.into_inner());
        let heard = tokio::spawn(async move {
            while let Ok(Some(frame)) = inbound.message().await {
                let message = FromSidecar::decode(&frame, Timestamp::default());
                let _ = said.send(message.expect("the sidecar keeps to the protocol"));
            }
        });
        let open = stream::pending().take_until(heard);
        let frames = stream::iter(scene.unwrap_or_default()).map(Ok).chain(open);
        Ok(Response::new(frames.boxed()))
    }
}

/// A message as it goes out.
pub fn frame(message: &FromHub) -> Frame {
    message.encode().expect("within the limits")
}
