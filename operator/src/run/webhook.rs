//! The webhook, with what it has to know: namespaces, the hub's root, and where injection is paused.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kube::Client;
use peerwalk_webhook::{HubRoot, InjectConfig, Namespaces, Pauses, WebhookMetrics};
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tracing::error;

use super::{Trust, listen};
use crate::args::Args;
use crate::certificates::{Bundle, Trusted, keep_ca_bundle};
use crate::namespaces::watch_namespaces;
use crate::stages::Stages;

/// Starts it, and keeps what the API server verifies it by. `ca_in_place` is told once that is there,
/// `rules_known` once every namespace's rules were listed.
pub(super) async fn start(
    stages: &mut Stages,
    client: &Client,
    args: &Args,
    hub_address: SocketAddr,
    (trust, (pauses, namespaces), turns): (&Trust, (Pauses, Namespaces), watch::Sender<Instant>),
    [ca_in_place, rules_known]: [oneshot::Sender<()>; 2],
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
    let (watching, known) = (client.clone(), namespaces.clone());
    stages.answers.start(|stop| async move {
        watch_namespaces(watching, known, rules_known, stop).await;
        Ok(())
    });
    stages.answers.start(|stop| async move {
        peerwalk_webhook::serve((listener, turns), tls, config, namespaces, pauses, metrics, stop).await;
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
