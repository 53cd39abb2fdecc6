//! Watches what namespaces ask of their pods, for the webhook: an admission must not wait for the API server.
//!
//! LimitRanges, ResourceQuotas and the annotations of namespaces, as raw JSON, of which the webhook reads what it
//! needs once. While a kind cannot be watched, what was last heard of it counts; of what was never heard, nothing
//! does, and pods are injected as configured.

use std::collections::BTreeSet;

use futures::{StreamExt as _, join};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use peerwalk_webhook::Namespaces;
use peerwalk_webhook::namespaces::{Kind, Rule};
use peerwalk_webhook::room;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Where OpenShift says which users a namespace's containers run as.
const UID_RANGE: &str = "openshift.io/sa.scc.uid-range";
/// How long one watch request lasts, in seconds. A connection that died without a word is noticed 5 seconds after
/// this; until then room in a quota may be there that is not.
const WATCH_SECONDS: u32 = 60;

/// Follows all namespaces until `shutdown`. Needs `list` and `watch` on namespaces, limitranges and resourcequotas.
pub async fn watch_namespaces(client: Client, namespaces: Namespaces, shutdown: CancellationToken) {
    let all = async {
        join!(
            follow::<Namespace>(&client, &namespaces, Kind::Namespace),
            follow::<LimitRange>(&client, &namespaces, Kind::LimitRange),
            follow::<ResourceQuota>(&client, &namespaces, Kind::ResourceQuota),
        )
    };
    shutdown.run_until_cancelled(all).await;
}

/// Follows one kind for ever.
async fn follow<K: kube::Resource<DynamicType = ()>>(client: &Client, namespaces: &Namespaces, kind: Kind) {
    let api = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    let mut events = watcher(api, Config::default().timeout(WATCH_SECONDS)).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => take(namespaces, kind, &mut listed, event),
            Err(error) => warn!(%error, kind = %K::kind(&()), "cannot watch; what was heard last counts"),
        }
    }
}

/// Takes in one event; `listed` is what a list named so far.
fn take(
    namespaces: &Namespaces,
    kind: Kind,
    listed: &mut BTreeSet<(String, String)>,
    event: Event<DynamicObject>,
) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(object) => {
            listed.insert(key(kind, &object));
            apply(namespaces, kind, &object);
        }
        Event::InitDone => namespaces.listed(kind, &std::mem::take(listed)),
        Event::Apply(object) => apply(namespaces, kind, &object),
        Event::Delete(object) => {
            let (namespace, name) = key(kind, &object);
            namespaces.delete(kind, &namespace, &name);
        }
    }
}

/// The namespace an object is about, and its name.
fn key(kind: Kind, object: &DynamicObject) -> (String, String) {
    let name = object.name_any();
    match kind {
        Kind::Namespace => (name.clone(), name),
        Kind::LimitRange | Kind::ResourceQuota => (object.namespace().unwrap_or_default(), name),
    }
}

fn apply(namespaces: &Namespaces, kind: Kind, object: &DynamicObject) {
    let (namespace, name) = key(kind, object);
    let rule = match kind {
        Kind::Namespace => Rule::Namespace(object.annotations().get(UID_RANGE).cloned()),
        Kind::LimitRange => Rule::LimitRange(room::LimitRange::read(&name, &object.data["spec"])),
        Kind::ResourceQuota => Rule::Quota(room::Quota::read(&name, &object.data)),
    };
    namespaces.apply(&namespace, &name, rule);
}

#[cfg(test)]
mod tests;
