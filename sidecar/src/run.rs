//! What the injected container does: walk by the hub's plan, report, until SIGTERM.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use peerwalk_probe::Prober;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::RunArgs;
use crate::environment::environment;
use crate::link::{HubAddress, Link, Settings, TokenFile, client_config};
use crate::{random, schedule};

/// How often the token file is looked at. The kubelet rotates at 80 % of a lifetime of at least 10 minutes.
const TOKEN_CHECK: Duration = Duration::from_secs(20);
/// Walks that wait for the link, which takes them in whatever else it does.
const WALKS: usize = 64;
/// Orders that wait for the schedule, likewise.
const ORDERS: usize = 16;

/// Runs until SIGTERM or SIGINT. Nothing the hub does, or its absence, ends it.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    let tls = client_config(&args.hub_root).context("PEERWALK_HUB_ROOT is not usable")?;
    let environment = environment(&args, |name| std::env::var(name).ok());
    let containers = environment.containers.len();
    let prober = Arc::new(Prober::new(environment));
    let settings = Settings {
        hub: HubAddress {
            name: args.hub.host.clone(),
            port: args.hub.port,
            address: args.hub_address,
            tls: Arc::new(tls),
        },
        token: TokenFile(args.token_file.clone()),
        token_check: TOKEN_CHECK,
        pod: args.pod(),
        addresses: args.pod_ips.0.clone(),
        clock: peerwalk_probe::now,
        part_of: random::part_of,
        instance: random::number(),
        sockets: {
            let prober = Arc::clone(&prober);
            Arc::new(move || prober.sockets())
        },
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        pod = %settings.pod,
        hub = %settings.hub.name,
        containers,
        "started"
    );
    let (walks, found) = mpsc::channel(WALKS);
    let (orders, wanted) = mpsc::channel(ORDERS);
    let shutdown = CancellationToken::new();
    let link = Link::new(settings, found, orders, shutdown.clone());
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("ending");
        shutdown.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = link.run() => {}
        () = schedule::run(prober.as_ref(), wanted, walks, random::part_of) => {}
        () = stop => {}
    }
    Ok(())
}
