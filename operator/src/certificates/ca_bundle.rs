//! Tells the API server the webhook's CA, and tells it again whenever something takes it away.
//!
//! `caBundle` is absent from the chart's template, so an upgrade or a GitOps tool may reset it; without it
//! the API server cannot call the webhook and pods go without the sidecar.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::API_TIMEOUT;

/// Owns `webhooks[*].clientConfig.caBundle` and nothing else.
const FIELD_MANAGER: &str = "peerwalk-operator";
/// Between two writes, which bounds them when something else resets the field each time.
const PAUSE: Duration = Duration::from_secs(2);
/// Before the next try when the API server refuses.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps the CA, PEM, in every webhook of that configuration until `shutdown`, and tells `in_place` when it has been
/// seen there for the first time. Needs `list`, `watch` and `patch` on the configuration of that name.
pub async fn keep_ca_bundle(
    client: kube::Client,
    name: &str,
    ca_pem: &str,
    in_place: oneshot::Sender<()>,
    shutdown: CancellationToken,
) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let keep = keep(&api, name, ca_pem, in_place);
    shutdown.run_until_cancelled(keep).await;
}

async fn keep(
    api: &Api<MutatingWebhookConfiguration>,
    name: &str,
    ca_pem: &str,
    in_place: oneshot::Sender<()>,
) {
    let mut in_place = Some(in_place);
    let mut objects = pin!(watcher::watch_object(api.clone(), name).default_backoff());
    let mut due: Option<Value> = None;
    let mut not_before = Instant::now();
    loop {
        let event = tokio::select! {
            event = objects.next() => event,
            () = sleep_until(not_before), if due.is_some() => {
                let written = match &due {
                    Some(patch) => apply(api, name, patch).await,
                    None => true,
                };
                if written {
                    due = None;
                }
                not_before = Instant::now() + if written { PAUSE } else { RETRY };
                continue;
            }
        };
        match event {
            Some(Ok(Some(object))) => {
                due = correction(&object, name, ca_pem);
                // A configuration without webhooks has nothing to correct and injects nothing.
                let works = due.is_none() && object.webhooks.is_some_and(|webhooks| !webhooks.is_empty());
                if let Some(in_place) = in_place.take_if(|_| works) {
                    // The receiver may have stopped waiting.
                    let _ = in_place.send(());
                }
            }
            Some(Ok(None)) => {
                due = None;
                tracing::warn!(name, "no MutatingWebhookConfiguration of this name: no pod is injected");
            }
            Some(Err(error)) => tracing::warn!(%error, name, "cannot watch the MutatingWebhookConfiguration"),
            None => return,
        }
    }
}

/// Whether the API server took it.
async fn apply(api: &Api<MutatingWebhookConfiguration>, name: &str, patch: &Value) -> bool {
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match timeout(API_TIMEOUT, api.patch(name, &params, &Patch::Apply(patch))).await {
        Ok(Ok(_)) => {
            tracing::info!(name, "wrote the webhook's CA into the MutatingWebhookConfiguration");
            return true;
        }
        Ok(Err(error)) => tracing::warn!(%error, name, "cannot write the webhook's CA"),
        Err(_) => tracing::warn!(name, "cannot write the webhook's CA: the API server did not answer"),
    }
    false
}

/// The server-side apply that puts the CA where it is not; nothing when it is everywhere. All webhooks are
/// in it, as a field left out by its manager is removed.
fn correction(object: &MutatingWebhookConfiguration, name: &str, ca_pem: &str) -> Option<Value> {
    let webhooks = object.webhooks.as_deref().unwrap_or_default();
    let has_ca = |bundle: Option<&ByteString>| bundle.is_some_and(|bundle| bundle.0 == ca_pem.as_bytes());
    if webhooks.iter().all(|webhook| has_ca(webhook.client_config.ca_bundle.as_ref())) {
        return None;
    }
    let ca = ByteString(ca_pem.as_bytes().to_vec());
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": ca}}))
        .collect();
    Some(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": webhooks,
    }))
}
