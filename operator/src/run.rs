//! Builds the subsystems, joins them, and ends them together.

mod controller;
mod webhook;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::Api;
use kube::{Client, Config};
use peerwalk_controller::{Explain, Leading};
use peerwalk_webhook::{Namespaces, Pauses};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::info;

use crate::args::Args;
use crate::certificates::{Certificates, Keeping, Services, load_or_create, watch_given};
use crate::http::{self, Pulse, Readiness};
use crate::lease::{self, Me};
use crate::pki::SecretData;
use crate::stages::Stages;

/// For reading one object at the start.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the operator until SIGTERM or SIGINT, or until a part of it fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Before anything else: the first process of a container is not ended by a signal that it does not handle.
    let mut signals = Signals::new()?;
    let mut stages = Stages::default();
    let started = tokio::select! {
        () = signals.received() => {
            info!("ending before everything has started");
            return Ok(());
        }
        started = start(&args, &mut stages) => started,
    };
    started?;
    let ended = tokio::select! {
        () = signals.received() => Ok(()),
        error = stages.failed() => Err(error),
    };
    info!(failed = ended.is_err(), "ending");
    stages.end().await;
    ended
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Of the API server.
struct Clients {
    api: Client,
    /// For the controller: a server that falls silent is noticed soon.
    watching: Client,
}

/// Starts every part.
async fn start(args: &Args, stages: &mut Stages) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("another TLS provider is installed already");
    }
    let config =
        Config::infer().await.context("no cluster: the operator runs in a pod, or with KUBECONFIG set")?;
    let unusable = "the API server's address or credentials cannot be used";
    let watching = Client::try_from(peerwalk_controller::watch::bounded(config.clone())).context(unusable)?;
    let clients = Clients { api: Client::try_from(config).context(unusable)?, watching };
    let client = clients.api.clone();
    let mut registry = Registry::with_prefix("peerwalk");
    let certificates = certificates(&client, args).await?;
    let hub_address = hub_address(&client, args).await?;
    let readiness = Arc::new(Readiness::default());
    let (pauses, namespaces) = (Pauses::default(), Namespaces::default());
    let mut pulses = Vec::new();
    let trust = Trust {
        certificates,
        carried: watch::Sender::new(None),
        told: watch::Sender::new(None),
        leading: start_leading(stages, &clients, args, pulse(&mut pulses, "who keeps the lease")),
    };
    let explain = controller::start(
        stages,
        &clients,
        args,
        hub_address,
        &trust,
        (&readiness, (&pauses, &namespaces), &mut pulses),
        &mut registry,
    )
    .await?;
    webhook::start(
        stages,
        &client,
        args,
        hub_address,
        (&trust, (pauses, namespaces), pulse(&mut pulses, "the webhook")),
        [Readiness::webhook_callable, Readiness::rules_known].map(|note| when_told(&readiness, note)),
        &mut registry,
    )
    .await?;
    start_http(stages, args, (readiness, pulses), (explain, trust.leading.clone()), registry).await?;
    let keeping = Keeping {
        secrets: Api::namespaced(client.clone(), &args.namespace),
        name: args.secret.clone(),
        leading: trust.leading,
        carried: trust.carried.subscribe(),
        told: trust.told.subscribe(),
        given: given(stages, &client, args),
        clock: jiff::Timestamp::now,
    };
    let certificates = trust.certificates;
    stages.work.start(|stop| async move {
        certificates.keep(keeping, stop).await;
        Ok(())
    });
    info!(version = env!("CARGO_PKG_VERSION"), hub = %hub_address, "started");
    Ok(())
}

/// The certificates, and what the parts tell each other about authorities that rotate and who rotates them.
struct Trust {
    certificates: Certificates,
    /// The fingerprints of hub roots that pods carry, from the controller.
    carried: watch::Sender<Option<BTreeSet<String>>>,
    /// What the API server verifies the webhook by, while it is what it should.
    told: watch::Sender<Option<String>>,
    /// Whether this replica leads.
    leading: watch::Receiver<Leading>,
}

/// What the Secret holds in which somebody else keeps a certificate for the webhook, if there is to be one.
fn given(stages: &mut Stages, client: &Client, args: &Args) -> watch::Receiver<Option<SecretData>> {
    let (sender, given) = watch::channel(None);
    if let Some(name) = args.webhook_secret.clone() {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &args.namespace);
        stages.work.start(|stop| async move {
            watch_given(secrets, &name, sender, stop).await;
            Ok(())
        });
    }
    given
}

/// A channel for somebody who is done once; that is noted then.
fn when_told(readiness: &Arc<Readiness>, note: fn(&Readiness)) -> oneshot::Sender<()> {
    let (sender, receiver) = oneshot::channel();
    let readiness = Arc::clone(readiness);
    tokio::spawn(async move {
        if receiver.await.is_ok() {
            note(&readiness);
        }
    });
    sender
}

async fn certificates(client: &Client, args: &Args) -> anyhow::Result<Certificates> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &args.namespace);
    let now = jiff::Timestamp::now();
    let authorities = load_or_create(&secrets, &args.secret, now).await?;
    let services =
        Services { namespace: &args.namespace, hub: &args.hub_service, webhook: &args.webhook_service };
    Ok(Certificates::issue(authorities, &services, now)?)
}

/// The ClusterIP and port at which sidecars dial the hub.
async fn hub_address(client: &Client, args: &Args) -> anyhow::Result<SocketAddr> {
    let services: Api<Service> = Api::namespaced(client.clone(), &args.namespace);
    let name = &args.hub_service;
    let service = timeout(READ_TIMEOUT, services.get(name))
        .await
        .with_context(|| format!("Service {name} was not read within {READ_TIMEOUT:?}"))?
        .with_context(|| {
            format!("Service {name} cannot be read; --hub-service must name the hub's Service")
        })?;
    let spec = service.spec.unwrap_or_default();
    let ip: IpAddr =
        spec.cluster_ip.as_deref().unwrap_or_default().parse().with_context(|| {
            format!("Service {name} has no ClusterIP; sidecars need one where DNS is denied")
        })?;
    let port = spec.ports.unwrap_or_default().first().map(|port| port.port);
    let port = port
        .and_then(|port| u16::try_from(port).ok())
        .with_context(|| format!("Service {name} has no port"))?;
    Ok(SocketAddr::new(ip, port))
}

/// For a loop to tell at each turn that it turns, and for `/healthz` to see it.
fn pulse(pulses: &mut Vec<Pulse>, of: &'static str) -> watch::Sender<Instant> {
    let (turns, turned) = watch::channel(Instant::now());
    pulses.push(Pulse { of, turned });
    turns
}

/// Runs for the lease, by the client that tries nothing again by itself.
fn start_leading(
    stages: &mut Stages,
    clients: &Clients,
    args: &Args,
    turns: watch::Sender<Instant>,
) -> watch::Receiver<Leading> {
    let api: Api<Lease> = Api::namespaced(clients.watching.clone(), &args.namespace);
    let hub = SocketAddr::new(args.pod_ip, args.hub_listen.port());
    let me = Me { pod: args.pod_name.clone(), uid: args.pod_uid.clone(), hub };
    let (sender, leading) = watch::channel(Leading::default());
    let name = args.lease.clone();
    stages.leading.start(|stop| async move {
        lease::keep(api, &name, &me, (sender, turns), stop).await;
        Ok(())
    });
    leading
}

async fn start_http(
    stages: &mut Stages,
    args: &Args,
    (readiness, pulses): (Arc<Readiness>, Vec<Pulse>),
    (explain, leading): (mpsc::Sender<Explain>, watch::Receiver<Leading>),
    registry: Registry,
) -> anyhow::Result<()> {
    let servers = [
        ("--http-listen", args.http_listen, http::health(readiness, pulses)),
        ("--metrics-listen", args.metrics_listen, http::metrics(registry)),
        ("--explain-listen", args.explain_listen, http::explain(explain, leading)),
    ];
    for (flag, address, router) in servers {
        let listener = listen(flag, address).await?;
        stages.answers.start(|stop| async move { Ok(http::serve(listener, router, stop).await?) });
    }
    Ok(())
}

async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{flag} {address} cannot be bound; is it in use?"))
}
