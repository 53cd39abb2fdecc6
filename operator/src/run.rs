//! Builds the subsystems, joins them, and ends them together.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::Api;
use kube::{Client, Config};
use peerwalk_controller::cluster::ObjectKey;
use peerwalk_controller::{Controller, Details, Explain, Leading, Links, Output, Settings, SidecarEvent};
use peerwalk_hub::{Hub, HubEvent, HubHandle, Role};
use peerwalk_model::Timestamp;
use peerwalk_webhook::{HubRoot, InjectConfig, Namespaces, Pause, Pauses, WebhookMetrics};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use crate::args::{Args, CrossNamespaceDetails};
use crate::certificates::{Bundle, Certificates, Keeping, Services, Trusted, keep_ca_bundle, load_or_create};
use crate::http::{self, Pulse, Readiness};
use crate::identity::{KnownPods, Reviewer};
use crate::lease::{self, Me};
use crate::namespaces::watch_namespaces;
use crate::role;
use crate::stages::Stages;

/// Signs of life come at this interval: one of them proves that a silent target's network lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a stream may be silent before its pod no longer counts as reporting.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a sidecar may take to attach: longer than its longest back-off.
const ATTACH_WITHIN: Duration = Duration::from_secs(45);
/// For reading one object at the start.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Sidecar events that wait for the controller.
const SIDECAR_EVENTS: usize = 4096;

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
    let pauses = Pauses::default();
    let (turns, pulse) = watch::channel(Instant::now());
    let trust = Trust {
        certificates,
        carried: watch::Sender::new(None),
        told: watch::Sender::new(None),
        leading: start_leading(stages, &clients, args),
    };
    let explain = start_controller(
        stages,
        &clients,
        args,
        hub_address,
        &trust,
        (&readiness, &pauses, turns),
        &mut registry,
    )
    .await?;
    start_webhook(
        stages,
        &client,
        args,
        hub_address,
        (&trust, pauses),
        when_told(&readiness, Readiness::webhook_callable),
        &mut registry,
    )
    .await?;
    start_http(stages, args, (readiness, pulse), (explain, trust.leading.clone()), registry).await?;
    let keeping = Keeping {
        secrets: Api::namespaced(client.clone(), &args.namespace),
        name: args.secret.clone(),
        leading: trust.leading,
        carried: trust.carried.subscribe(),
        told: trust.told.subscribe(),
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

/// Runs for the lease, by the client that tries nothing again by itself.
fn start_leading(stages: &mut Stages, clients: &Clients, args: &Args) -> watch::Receiver<Leading> {
    let api: Api<Lease> = Api::namespaced(clients.watching.clone(), &args.namespace);
    let hub = SocketAddr::new(args.pod_ip, args.hub_listen.port());
    let me = Me { pod: args.pod_name.clone(), uid: args.pod_uid.clone(), hub };
    let (sender, leading) = watch::channel(Leading::default());
    let name = args.lease.clone();
    stages.leading.start(|stop| async move {
        lease::keep(api, &name, &me, sender, stop).await;
        Ok(())
    });
    leading
}

async fn start_controller(
    stages: &mut Stages,
    clients: &Clients,
    args: &Args,
    hub_address: SocketAddr,
    trust: &Trust,
    (readiness, pauses, turns): (&Arc<Readiness>, &Pauses, watch::Sender<Instant>),
    registry: &mut Registry,
) -> anyhow::Result<mpsc::Sender<Explain>> {
    let pauses = pauses.clone();
    let pods = KnownPods::default();
    let reviewer = Arc::new(Reviewer::new(clients.api.clone(), pods.clone(), Arc::clone(readiness)));
    let config = peerwalk_hub::Config { heartbeat_interval: HEARTBEAT, ..peerwalk_hub::Config::new(now) };
    let (hub, events) = Hub::new(config, reviewer);
    hub.metrics().register(registry);
    let handle = hub.handle();
    handle.set_role(Role::Standby { redirect: None });
    let (planned_sender, planned) = watch::channel(None);
    let leading = trust.leading.clone();
    let (followed, follows) = (handle.clone(), leading.clone());
    stages.work.start(|stop| async move {
        role::follow(followed, follows, planned, stop).await;
        Ok(())
    });
    let listener = listen("--hub-listen", args.hub_listen).await?;
    let tls = trust.certificates.hub_tls();
    stages.work.start(|stop| async move {
        hub.serve(listener, tls, stop).await;
        Ok(())
    });

    let (sidecar_sender, sidecars) = mpsc::channel(SIDECAR_EVENTS);
    stages.work.start(|_| forward(events, sidecar_sender));
    let (explain_sender, explain) = mpsc::channel(16);
    let controller = Controller {
        client: clients.watching.clone(),
        settings: settings(args, hub_address),
        metrics: peerwalk_controller::metrics::Metrics::default(),
    };
    controller.metrics.register(registry);
    let ready = when_told(readiness, Readiness::listed);
    let carried = trust.carried.clone();
    let hub = move |output| match output {
        Output::CarriedRoots(roots) => drop(carried.send_replace(Some(roots))),
        Output::Planned(term) => drop(planned_sender.send_replace(Some(term))),
        output => to_hub(&handle, &pods, &pauses, output),
    };
    let hub_roots = hub_roots(trust.certificates.trusted());
    let links = Links { sidecars, hub, hub_roots, explain, leading, ready, turns, now };
    stages.judging.start(|stop| async move { Ok(peerwalk_controller::run(controller, links, stop).await?) });
    Ok(explain_sender)
}

fn settings(args: &Args, hub_address: SocketAddr) -> Settings {
    Settings {
        cluster_domain: args.cluster_domain.clone(),
        allow: args.allow_targets.iter().cloned().collect(),
        details: match args.cross_namespace_details {
            CrossNamespaceDetails::Full => Details::Full,
            CrossNamespaceDetails::Redacted => Details::Redacted,
        },
        hub: ObjectKey::new(&args.namespace, &args.hub_service),
        hub_address,
        attach_within: ATTACH_WITHIN,
        silence: SILENCE,
    }
}

/// Hub events in the controller's words, with the moments at which they reached the hub.
async fn forward(
    mut events: mpsc::Receiver<HubEvent>,
    sidecars: mpsc::Sender<(SidecarEvent, Timestamp)>,
) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        let event = match event {
            HubEvent::Attached { pod, at } => (SidecarEvent::Attached(pod), at),
            HubEvent::Detached { pod, at } => (SidecarEvent::Detached(pod), at),
            HubEvent::Contested { pod, at } => (SidecarEvent::Contested(pod), at),
            HubEvent::Heartbeat { pod, at, heartbeat } => (SidecarEvent::Heartbeat(pod, heartbeat), at),
            HubEvent::Evidence { pod, at, walk } => (SidecarEvent::Walk(pod, walk), at),
            HubEvent::Saw { pod, at, id, saw } => (SidecarEvent::Saw(pod, id, saw), at),
            HubEvent::Transitions { pod, at, transitions } => {
                (SidecarEvent::Transitions(pod, transitions), at)
            }
        };
        if sidecars.send(event).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Tells the webhook where no pod is to be injected.
fn pause(pauses: &Pauses, paused: peerwalk_controller::Pauses) {
    let pause = |pause: peerwalk_controller::Pause| Pause::new(pause.why, pause.trial, pause.trials);
    let namespaces = paused.namespaces.into_iter().map(|(name, paused)| (name, pause(paused)));
    pauses.replace(paused.cluster.map(pause), namespaces.collect());
}

fn to_hub(hub: &HubHandle, pods: &KnownPods, pauses: &Pauses, output: Output) {
    match output {
        Output::SetPlan(pod, plan) => {
            if let Err(error) = hub.set_plan(&pod, plan) {
                error!(%pod, %error, "the plan breaks a limit of the protocol; the pod keeps the one it has");
            }
            pods.add(pod);
        }
        Output::RemovePod(pod) => {
            pods.remove(&pod);
            hub.remove_pod(&pod);
        }
        Output::WalkNow(pod, targets) => {
            // The hub keeps it for a pod that is not attached.
            hub.walk_now(&pod, targets);
        }
        Output::SendAll(pod) => hub.send_all(&pod),
        Output::Watch(pod, window) => {
            hub.watch(&pod, window);
        }
        Output::Look(pod, id, tuples) => {
            hub.look(&pod, id, tuples);
        }
        Output::Injection(paused) => pause(pauses, paused),
        Output::Status(..)
        | Output::Event(_)
        | Output::ReadRoots(..)
        | Output::CarriedRoots(_)
        | Output::Planned(_) => {
            warn!("this is carried out elsewhere");
        }
    }
}

async fn start_webhook(
    stages: &mut Stages,
    client: &Client,
    args: &Args,
    hub_address: SocketAddr,
    (trust, pauses): (&Trust, Pauses),
    ca_in_place: oneshot::Sender<()>,
    registry: &mut Registry,
) -> anyhow::Result<()> {
    let hub = format!("{}.{}.svc:{}", args.hub_service, args.namespace, hub_address.port());
    let trusted = trust.certificates.trusted();
    let root = HubRoot::parse(&trusted.borrow().hub_root)?;
    let mut config = InjectConfig::new(&args.sidecar_image, hub, root, &args.namespace)?;
    config.pull_policy = args.sidecar_image_pull_policy;
    config.pull_secrets.clone_from(&args.sidecar_image_pull_secrets);
    config.hub_address = Some(hub_address);
    config.resources = args.sidecar_resources()?;
    let metrics = WebhookMetrics::default();
    metrics.register(registry);
    let listener = listen("--webhook-listen", args.webhook_listen).await?;
    let config = Arc::new(ArcSwap::from_pointee(config));
    let tls = trust.certificates.webhook_tls();
    let (roots, injecting) = (trusted.clone(), Arc::clone(&config));
    stages.work.start(|stop| async move {
        stop.run_until_cancelled(inject_new_roots(roots, injecting)).await;
        Ok(())
    });
    let namespaces = Namespaces::default();
    let (watching, known) = (client.clone(), namespaces.clone());
    stages.answers.start(|stop| async move {
        watch_namespaces(watching, known, stop).await;
        Ok(())
    });
    stages.answers.start(|stop| async move {
        peerwalk_webhook::serve(listener, tls, config, namespaces, pauses, metrics, stop).await;
        Ok(())
    });
    let (client, name) = (client.clone(), args.webhook_configuration.clone());
    let (leading, told) = (trust.leading.clone(), trust.told.clone());
    let bundle = Bundle { trusted, leading, told, in_place: ca_in_place };
    stages.work.start(|stop| async move {
        keep_ca_bundle(client, &name, bundle, stop).await;
        Ok(())
    });
    Ok(())
}

/// Gives new pods the hub's root that is current.
async fn inject_new_roots(mut trusted: watch::Receiver<Trusted>, config: Arc<ArcSwap<InjectConfig>>) {
    while trusted.changed().await.is_ok() {
        let pem = trusted.borrow_and_update().hub_root.clone();
        match HubRoot::parse(&pem) {
            Ok(root) => {
                config.rcu(|config| {
                    let mut config = InjectConfig::clone(config);
                    config.hub_root = root.clone();
                    config
                });
            }
            Err(error) => error!(%error, "new pods are injected under the hub's root before this one"),
        }
    }
    // Who rotates has ended, and so will everything else.
    std::future::pending::<()>().await;
}

/// The fingerprints of all roots by which pods can verify the hub, as they change.
fn hub_roots(mut trusted: watch::Receiver<Trusted>) -> watch::Receiver<BTreeSet<String>> {
    let sender = watch::Sender::new(trusted.borrow_and_update().hub_fingerprints.clone());
    let receiver = sender.subscribe();
    tokio::spawn(async move {
        while trusted.changed().await.is_ok() {
            sender.send_replace(trusted.borrow_and_update().hub_fingerprints.clone());
        }
    });
    receiver
}

async fn start_http(
    stages: &mut Stages,
    args: &Args,
    (readiness, pulse): (Arc<Readiness>, Pulse),
    (explain, leading): (mpsc::Sender<Explain>, watch::Receiver<Leading>),
    registry: Registry,
) -> anyhow::Result<()> {
    let servers = [
        ("--http-listen", args.http_listen, http::health(readiness, pulse)),
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

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
