//! A hub and sidecars in one process, over TLS on loopback.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use peerwalk_hub::{AuthError, Authenticator, Config, Hub, HubEvent, HubHandle, Metrics, server_config};
use peerwalk_model::evidence::{Resolve, ResolveSource, Trigger};
use peerwalk_model::plan::{DnsTarget, PlannedTarget, RecordType, Retries, TargetKind};
use peerwalk_model::report::Sockets;
use peerwalk_model::{Plan, PodRef, TargetKey, Walk};
use peerwalk_probe::now;
use peerwalk_sidecar::link::{HubAddress, Link, Settings, TokenFile, client_config};
use peerwalk_sidecar::schedule::Order;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The name of the hub's Service.
pub const NAME: &str = "hub.peerwalk.test";
/// Nothing here takes this long unless it is broken.
const BOUND: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(BOUND, work).await.unwrap_or_else(|_| panic!("did not come in time: {what}"))
}

/// Waits until a condition holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    within(what, async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A certificate authority.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's configuration by this CA, for which others vouch.
    pub fn server_vouched_by(&self, others: &[&Self], name: &str) -> rustls::ServerConfig {
        let vouch = |other: &&Self| {
            let mut params = CertificateParams::new(Vec::new()).expect("parameters");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.signed_by(self.0.key(), &other.0).expect("a certificate").der().clone()
        };
        self.server_with(others.iter().map(vouch).collect(), name)
    }

    pub fn server(&self, name: &str) -> rustls::ServerConfig {
        self.server_with(Vec::new(), name)
    }

    fn server_with(&self, between: Vec<CertificateDer<'static>>, name: &str) -> rustls::ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let leaf = params.signed_by(&key, &self.0).expect("a leaf");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let chain = [vec![leaf.der().clone()], between].concat();
        server_config(chain, key).expect("a configuration")
    }
}

pub fn pod(name: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}") }
}

/// Knows tokens that say whose they are: `token-NAME`, with anything after a slash.
#[derive(Default)]
pub struct Tokens {
    pub asked: Mutex<Vec<String>>,
    pub unknown: Mutex<HashSet<PodRef>>,
}

impl Authenticator for Tokens {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodRef, AuthError>> {
        self.asked.lock().expect("not poisoned").push(token.to_owned());
        let name = token.strip_prefix("token-").and_then(|rest| rest.split('/').next());
        let result = match (name, token) {
            (Some(name), _) => Ok(pod(name)),
            (_, "down") => Err(AuthError::Unavailable),
            _ => Err(AuthError::Invalid(format!("it is {}", token.len()))),
        };
        Box::pin(std::future::ready(result))
    }

    fn knows(&self, pod: &PodRef) -> bool {
        !self.unknown.lock().expect("not poisoned").contains(pod)
    }
}

/// A hub at work.
pub struct TestHub {
    pub address: SocketAddr,
    pub handle: HubHandle,
    pub events: mpsc::Receiver<HubEvent>,
    pub tokens: Arc<Tokens>,
    pub tls: Arc<ArcSwap<rustls::ServerConfig>>,
    metrics: Metrics,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

/// Short times, so that tests are.
pub fn config() -> Config {
    Config { heartbeat_interval: Duration::from_millis(50), ..Config::new(now) }
}

impl TestHub {
    pub async fn start(ca: &Ca) -> Self {
        Self::start_with(ca.server(NAME), config(), "127.0.0.1:0").await
    }

    pub async fn start_with(tls: rustls::ServerConfig, config: Config, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a loopback address");
        let address = listener.local_addr().expect("an address");
        let tokens = Arc::new(Tokens::default());
        let (hub, events) = Hub::new(config, Arc::clone(&tokens) as Arc<dyn Authenticator>);
        let (handle, metrics, shutdown) = (hub.handle(), hub.metrics(), CancellationToken::new());
        let tls = Arc::new(ArcSwap::from_pointee(tls));
        let serving = tokio::spawn(hub.serve(listener, Arc::clone(&tls), shutdown.clone()));
        Self { address, handle, events, tokens, tls, metrics, shutdown, serving }
    }

    /// The next event that `pick` wants; others are passed over.
    pub async fn event<T>(&mut self, what: &str, pick: impl Fn(HubEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("the hub is at work");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
    }

    pub async fn attached(&mut self) -> PodRef {
        let pick = |event| if let HubEvent::Attached { pod, .. } = event { Some(pod) } else { None };
        self.event("a sidecar attaches", pick).await
    }

    pub async fn evidence(&mut self) -> Walk {
        let pick = |event| if let HubEvent::Evidence { walk, .. } = event { Some(*walk) } else { None };
        self.event("evidence", pick).await
    }

    /// Waits until a metric has a line.
    pub async fn counted(&self, line: &str) {
        until(line, || self.metrics_text().lines().any(|found| found == line)).await;
    }

    pub fn metrics_text(&self) -> String {
        let (mut registry, mut text) =
            (prometheus_client::registry::Registry::with_prefix("peerwalk"), String::new());
        self.metrics.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics are encoded");
        text
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        within("the hub drains", self.serving).await.expect("the hub ends well");
    }
}

/// A sidecar's link, with the test in place of its schedule.
pub struct TestSidecar {
    pub walks: mpsc::Sender<Walk>,
    pub orders: mpsc::Receiver<Order>,
    pub token: TokenFile,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    _directory: TempDir,
}

/// What the sidecar says of its sockets.
pub const SOCKETS: Sockets = Sockets { active: 1, waiting: 2, leaked: 3, breakers: 4 };

impl TestSidecar {
    /// A sidecar of pod `name` that trusts `root` and has that token.
    pub fn start(address: SocketAddr, root: &str, name: &str, token: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = TokenFile(directory.path().join("token"));
        std::fs::write(&file.0, token).expect("a token");
        let settings = Settings {
            hub: HubAddress {
                name: NAME.to_owned(),
                port: address.port(),
                address: Some(address),
                tls: Arc::new(client_config(root).expect("a root")),
            },
            token: file.clone(),
            token_check: Duration::from_millis(20),
            pod: pod(name),
            addresses: vec![address.ip()],
            clock: now,
            part_of: |_| Duration::ZERO,
            instance: 1,
            sockets: Arc::new(|| SOCKETS),
        };
        let (walks, found) = mpsc::channel(8);
        let (wanted, orders) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Link::new(settings, found, wanted, shutdown.clone()).run());
        Self { walks, orders, token: file, shutdown, running, _directory: directory }
    }

    pub async fn order(&mut self) -> Order {
        within("an order", self.orders.recv()).await.expect("the link runs")
    }

    pub async fn plan(&mut self) -> Plan {
        loop {
            if let Order::Plan(plan) = self.order().await {
                return plan;
            }
        }
    }

    pub async fn found(&self, walk: &Walk) {
        within("the link takes a walk", self.walks.send(walk.clone())).await.expect("the link runs");
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        within("the link ends", self.running).await.expect("the link ends well");
    }
}

pub fn key(target: &str) -> TargetKey {
    TargetKey { check: "web".into(), target: target.into() }
}

pub fn plan(generation: u64, targets: &[&str]) -> Plan {
    let target = PlannedTarget {
        kind: TargetKind::Dns(DnsTarget { name: "localhost".into(), record: RecordType::A }),
        http: None,
        connect_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(5),
        interval: Duration::from_secs(30),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: Vec::new(),
    };
    Plan { generation, targets: targets.iter().map(|name| (key(name), target.clone())).collect() }
}

/// A walk that resolves to this address; to none when it is empty.
pub fn walk(target: &str, address: &str) -> Walk {
    let resolve = Resolve {
        name: "a.example".into(),
        source: ResolveSource::HostsFile,
        answered: None,
        addresses: address.parse().into_iter().collect(),
        queries: Vec::new(),
        elapsed: Duration::ZERO,
        spent: false,
        pair: None,
    };
    Walk { resolve: Some(resolve), ..Walk::begin(key(target), 1, Trigger::Interval, now()) }
}
