//! Watches what namespaces ask of their pods, for the webhook: an admission must not wait for the API server.
//!
//! LimitRanges, ResourceQuotas, the annotations of namespaces, and what makes pods, as raw JSON, of which the webhook
//! reads what it needs once. While a kind cannot be watched, what was last heard of it counts; until all were listed, no
//! pod is injected and the operator is not ready.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt as _, join};
use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use kube::api::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use peerwalk_webhook::Namespaces;
use peerwalk_webhook::namespaces::{Kind, Rule};
use peerwalk_webhook::room::{self, Workload, WorkloadKind};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Where OpenShift says which users a namespace's containers run as.
const UID_RANGE: &str = "openshift.io/sa.scc.uid-range";
/// How long one watch request lasts, in seconds. A connection that died without a word is noticed 5 seconds after
/// this; until then room in a quota may be there that is not.
const WATCH_SECONDS: u32 = 60;

/// Follows all namespaces until `shutdown`, and tells once every kind has been listed. Needs `list` and `watch` on each.
pub async fn watch_namespaces(
    client: Client,
    namespaces: Namespaces,
    complete: oneshot::Sender<()>,
    shutdown: CancellationToken,
) {
    let told = Told { namespaces, complete: Mutex::new(Some(complete)) };
    let all = async {
        join!(
            follow::<Namespace>(&client, &told, Kind::Namespace),
            follow::<LimitRange>(&client, &told, Kind::LimitRange),
            follow::<ResourceQuota>(&client, &told, Kind::ResourceQuota),
            follow::<ReplicaSet>(&client, &told, Kind::Workload(WorkloadKind::ReplicaSet)),
            follow::<StatefulSet>(&client, &told, Kind::Workload(WorkloadKind::StatefulSet)),
            follow::<DaemonSet>(&client, &told, Kind::Workload(WorkloadKind::DaemonSet)),
            follow::<Job>(&client, &told, Kind::Workload(WorkloadKind::Job)),
        )
    };
    shutdown.run_until_cancelled(all).await;
}

/// Who is told.
struct Told {
    namespaces: Namespaces,
    complete: Mutex<Option<oneshot::Sender<()>>>,
}

impl Told {
    /// A list came to its end.
    fn listed(&self) {
        if self.namespaces.is_complete()
            && let Some(complete) = self.complete.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Who waits may have ended.
            let _ = complete.send(());
        }
    }
}

/// Follows one kind for ever.
async fn follow<K: kube::Resource<DynamicType = ()>>(client: &Client, told: &Told, kind: Kind) {
    let api = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    let mut events = watcher(api, Config::default().timeout(WATCH_SECONDS)).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                take(&told.namespaces, kind, &mut listed, event);
                told.listed();
            }
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

/// The namespace an object is about, and what it is known by there.
fn key(kind: Kind, object: &DynamicObject) -> (String, String) {
    let name = object.name_any();
    match kind {
        Kind::Namespace => (name.clone(), name),
        Kind::LimitRange | Kind::ResourceQuota => (object.namespace().unwrap_or_default(), name),
        Kind::Workload(_) => (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default()),
    }
}

fn apply(namespaces: &Namespaces, kind: Kind, object: &DynamicObject) {
    let (namespace, name) = key(kind, object);
    let rule = match kind {
        Kind::Namespace => Rule::Namespace(object.annotations().get(UID_RANGE).cloned()),
        Kind::LimitRange => Rule::LimitRange(room::LimitRange::read(&name, &object.data["spec"])),
        Kind::ResourceQuota => Rule::Quota(room::Quota::read(&name, &object.data)),
        Kind::Workload(of) => match Workload::read(of, &object.data) {
            Some(workload) => Rule::Workload(workload),
            None => return namespaces.delete(kind, &namespace, &name),
        },
    };
    namespaces.apply(&namespace, &name, rule);
}

#[cfg(test)]
mod tests;
