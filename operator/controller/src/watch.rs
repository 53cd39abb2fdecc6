//! The watches: one task a kind, each sending decoded records to the engine.
//!
//! Records are made here, so the wide API types live no longer than one event. kube's shared streams are not
//! used: they lose deletions (kube-rs/kube#1590).

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::{Instrument as _, info_span, warn};

use crate::cluster::decode::{
    Decode, Kind, SlimEndpointSlice, SlimNamespace, SlimNode, SlimPod, SlimService, SomeCheck,
};
use crate::cluster::record::{Named, Object, ObjectKey};
use crate::run::Tasks;

/// What a watch tells.
#[derive(Debug)]
pub enum WatchEvent {
    /// An object was added or changed.
    Applied(Named<Object>),
    /// An object was deleted.
    Deleted(Kind, ObjectKey),
    /// A list is complete; it named these.
    Listed(Kind, BTreeSet<ObjectKey>),
}

/// Starts a watch for each kind among `tasks`. They run until the channel closes. One that ends leaves its
/// kind as it was for ever, so whoever holds the set has to look.
pub(crate) fn spawn(client: &Client, events: &mpsc::Sender<WatchEvent>, tasks: &mut Tasks) {
    start::<SlimPod>(tasks, client, events);
    start::<SlimService>(tasks, client, events);
    start::<SlimEndpointSlice>(tasks, client, events);
    start::<SlimNamespace>(tasks, client, events);
    start::<SlimNode>(tasks, client, events);
    start::<DeserializeGuard<NetworkPolicy>>(tasks, client, events);
    start::<SomeCheck>(tasks, client, events);
}

fn start<K>(tasks: &mut Tasks, client: &Client, events: &mpsc::Sender<WatchEvent>)
where
    K: Decode + kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<K>::all(client.clone());
    let span = info_span!("watch", kind = %K::kind(&()));
    tasks.spawn(run(api, events.clone()).map(|()| "watching").instrument(span));
}

async fn run<K>(api: Api<K>, events: mpsc::Sender<WatchEvent>)
where
    K: Decode + kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let backoff = watcher::DefaultBackoff::default();
    let mut stream =
        kube::runtime::utils::StreamBackoff::new(watcher(api, watcher::Config::default()), backoff)
            .map_err(|error| warn!(%error, "watch interrupted, trying again"))
            .boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = stream.next().await {
        let Ok(event) = event else { continue };
        let told = match event {
            Event::Init => {
                listed.clear();
                continue;
            }
            Event::InitApply(object) => {
                let object = object.named();
                listed.insert(object.key.clone());
                WatchEvent::Applied(object)
            }
            Event::InitDone => WatchEvent::Listed(K::KIND, std::mem::take(&mut listed)),
            Event::Apply(object) => WatchEvent::Applied(object.named()),
            Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                WatchEvent::Deleted(K::KIND, ObjectKey::new(namespace, object.name_any()))
            }
        };
        if events.send(told).await.is_err() {
            return;
        }
    }
}
