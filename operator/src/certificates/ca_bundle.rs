//! Tells the API server the webhook's CAs, and tells it again whenever something takes it away.
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
use peerwalk_controller::{Leading, leads_now};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{API_TIMEOUT, Trusted};

/// Owns `webhooks[*].clientConfig.caBundle` and nothing else.
const FIELD_MANAGER: &str = "peerwalk-operator";
/// Between two writes, which bounds them when something else resets the field each time.
const PAUSE: Duration = Duration::from_secs(2);
/// Before the next try when the API server refuses.
const RETRY: Duration = Duration::from_secs(10);

/// What is to be told, who tells it, and who hears that it was.
pub struct Bundle {
    /// The CAs, PEM. With each change they are written anew.
    pub trusted: watch::Receiver<Trusted>,
    /// Whether this replica is the one that writes.
    pub leading: watch::Receiver<Leading>,
    /// What all webhooks have at this moment; `None` when they do not have what they should.
    pub told: watch::Sender<Option<String>>,
    /// Told when the API server could call this replica for the first time: all webhooks have the CA that it serves by.
    /// Others may be with it or lacking; the leader puts them right, which may be a replica that knows of others.
    pub in_place: oneshot::Sender<()>,
}

/// Keeps the CAs in every webhook of that configuration until `shutdown`. Needs `list`, `watch` and `patch` on the
/// configuration of that name.
pub async fn keep_ca_bundle(client: kube::Client, name: &str, bundle: Bundle, shutdown: CancellationToken) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let keep = keep(&api, name, bundle);
    shutdown.run_until_cancelled(keep).await;
}

async fn keep(api: &Api<MutatingWebhookConfiguration>, name: &str, bundle: Bundle) {
    let Bundle { mut trusted, mut leading, told, in_place } = bundle;
    let mut in_place = Some(in_place);
    let mut objects = pin!(watcher::watch_object(api.clone(), name).default_backoff());
    let mut seen: Option<MutatingWebhookConfiguration> = None;
    let mut due: Option<Value> = None;
    let mut not_before = Instant::now();
    loop {
        let may_write = leads_now(&leading);
        tokio::select! {
            event = objects.next() => match event {
                Some(Ok(object)) => {
                    if object.is_none() {
                        tracing::warn!(name, "no MutatingWebhookConfiguration of this name: no pod is injected");
                    }
                    seen = object;
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, name, "cannot watch the MutatingWebhookConfiguration");
                    continue;
                }
                None => return,
            },
            Ok(()) = trusted.changed() => {}
            Ok(()) = leading.changed() => continue,
            () = sleep_until(not_before), if may_write && due.is_some() => {
                let written = match &due {
                    // It may have been paused, and another leads by now.
                    Some(_) if !leads_now(&leading) => continue,
                    Some(patch) => apply(api, name, patch).await,
                    None => true,
                };
                if written {
                    due = None;
                }
                not_before = Instant::now() + if written { PAUSE } else { RETRY };
                continue;
            }
        }
        let Trusted { webhook_bundle: ca_pem, webhook_ca, .. } = trusted.borrow_and_update().clone();
        due = seen.as_ref().and_then(|object| correction(object, name, &ca_pem));
        // A configuration without webhooks has nothing to correct and injects nothing.
        let bundles = || seen.iter().flat_map(bundles);
        let now_told = (due.is_none() && bundles().next().is_some()).then_some(ca_pem);
        told.send_if_modified(|told| std::mem::replace(told, now_told.clone()) != now_told);
        let works = bundles().next().is_some() && bundles().all(|bundle| holds(bundle, &webhook_ca));
        if let Some(in_place) = in_place.take_if(|_| works) {
            // The receiver may have stopped waiting.
            let _ = in_place.send(());
        }
    }
}

/// What each webhook is verified by.
fn bundles(object: &MutatingWebhookConfiguration) -> impl Iterator<Item = Option<&ByteString>> {
    object.webhooks.iter().flatten().map(|webhook| webhook.client_config.ca_bundle.as_ref())
}

/// Whether a bundle holds this certificate, among others or alone.
fn holds(bundle: Option<&ByteString>, ca_pem: &str) -> bool {
    let certificates = |pem: &[u8]| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem).flatten().collect()
    };
    let bundle = bundle.map(|bundle| certificates(&bundle.0)).unwrap_or_default();
    let wanted = certificates(ca_pem.as_bytes());
    !wanted.is_empty() && wanted.iter().all(|ca| bundle.contains(ca))
}

/// Whether the API server took it, or has another version by now: the watch brings that, and it is looked at anew.
async fn apply(api: &Api<MutatingWebhookConfiguration>, name: &str, patch: &Value) -> bool {
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match timeout(API_TIMEOUT, api.patch(name, &params, &Patch::Apply(patch))).await {
        Ok(Ok(_)) => {
            tracing::info!(name, "wrote the webhook's CA into the MutatingWebhookConfiguration");
            return true;
        }
        Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {
            tracing::info!(
                name,
                "the MutatingWebhookConfiguration has changed meanwhile; its next version is looked at"
            );
            return true;
        }
        Ok(Err(error)) => tracing::warn!(%error, name, "cannot write the webhook's CA"),
        Err(_) => tracing::warn!(name, "cannot write the webhook's CA: the API server did not answer"),
    }
    false
}

/// The server-side apply that puts the CA where it is not; nothing when it is everywhere. All webhooks are
/// in it, as a field left out by its manager is removed. It is for the version that was seen: a replica that was paused
/// after it had looked takes nothing back that another has written since.
fn correction(object: &MutatingWebhookConfiguration, name: &str, ca_pem: &str) -> Option<Value> {
    let webhooks = object.webhooks.as_deref().unwrap_or_default();
    if bundles(object).all(|bundle| bundle.is_some_and(|bundle| bundle.0 == ca_pem.as_bytes())) {
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
        "metadata": {"name": name, "resourceVersion": object.metadata.resource_version},
        "webhooks": webhooks,
    }))
}
