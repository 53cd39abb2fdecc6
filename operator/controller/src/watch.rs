//! The watches: one task a kind, each sending decoded records to the engine.
//!
//! Records are made here, so the wide API types live no longer than one event. kube's shared streams are not
//! used: they lose deletions (kube-rs/kube#1590).

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use kube::core::{DeserializeGuard, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{Instrument as _, info_span, warn};

use crate::cluster::decode::{
    Decode, Kind, SlimEndpointSlice, SlimNamespace, SlimNode, SlimPod, SlimService, SomeCheck, cluster_policy,
};
use crate::cluster::record::{Named, Object, ObjectKey};
pub use crate::discovery::PolicyKinds;
use crate::run::Tasks;

/// How long one watch request lasts, in seconds. A connection that died without a word is noticed 5 seconds
/// after this, and until then a policy may come or go unheard. It costs the API server one request a kind and
/// period, 28 a minute, each going on where the one before ended.
const WATCH_SECONDS: u32 = 15;
/// For connecting to the API server.
const CONNECT: Duration = Duration::from_secs(5);
/// For the next byte of an answer: a little more than a watch may be silent, which lasts [`WATCH_SECONDS`].
const READ: Duration = Duration::from_secs(20);
/// Before the next try when the backoff has nothing to say.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a watch tells.
#[derive(Debug)]
pub enum WatchEvent {
    /// An object was added or changed.
    Applied(Named<Object>),
    /// An object was deleted.
    Deleted(Kind, ObjectKey),
    /// A list is complete; it named these.
    Listed(Kind, BTreeSet<ObjectKey>),
    /// A kind cannot be heard of until its next list is complete.
    Interrupted(Kind),
    /// Which kinds of policies discovery found. Those that are served are not heard of before they are listed.
    PolicyKinds(PolicyKinds),
    /// A kind is served no more, so there is nothing of it.
    NotServed(Kind),
}

/// The configuration of a client whose watches notice within [`READ`] that the API server is silent: a request
/// without an answer fails, and is not tried again for minutes where nobody is told.
pub fn bounded(mut config: kube::Config) -> kube::Config {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    // Or the time that a connection rested before would count.
    config.reset_reader_on_write = true;
    config.default_retry = false;
    config
}

/// Starts a watch for each kind among `tasks`. They run until the channel closes. One that ends leaves its
/// kind as it was for ever, so whoever holds the set has to look. Those that not every API server serves are watched
/// while they are `served`.
pub(crate) fn spawn(
    client: &Client,
    events: &mpsc::Sender<WatchEvent>,
    served: &watch::Receiver<BTreeSet<Kind>>,
    tasks: &mut Tasks,
) {
    start::<SlimPod>(tasks, client, events);
    start::<SlimService>(tasks, client, events);
    start::<SlimEndpointSlice>(tasks, client, events);
    start::<SlimNamespace>(tasks, client, events);
    start::<SlimNode>(tasks, client, events);
    start::<DeserializeGuard<NetworkPolicy>>(tasks, client, events);
    start::<SomeCheck>(tasks, client, events);
    for kind in Kind::OPTIONAL {
        if let Some(resource) = kind.api_resource() {
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
            let watched = Watched { api, kind, named: move |object| cluster_policy(kind, object) };
            let span = info_span!("watch", ?kind);
            let task = run_while_served(watched, events.clone(), served.clone());
            tasks.spawn(task.map(|()| "watching").instrument(span));
        }
    }
}

fn start<K>(tasks: &mut Tasks, client: &Client, events: &mpsc::Sender<WatchEvent>)
where
    K: Decode + kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watched = Watched { api: Api::<K>::all(client.clone()), kind: K::KIND, named: K::named };
    let span = info_span!("watch", kind = ?K::KIND);
    let events = events.clone();
    tasks.spawn(async move { run(&watched, &events).await }.map(|()| "watching").instrument(span));
}

/// What is watched, and what becomes of an object.
struct Watched<K, F> {
    api: Api<K>,
    kind: Kind,
    named: F,
}

/// Follows a kind whenever it is served.
async fn run_while_served<K, F>(
    watched: Watched<K, F>,
    events: mpsc::Sender<WatchEvent>,
    mut served: watch::Receiver<BTreeSet<Kind>>,
) where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Fn(K) -> Named<Object>,
{
    let kind = watched.kind;
    // Discovery ends when nobody listens any more.
    while served.wait_for(|kinds| kinds.contains(&kind)).await.is_ok() {
        tokio::select! {
            () = run(&watched, &events) => return,
            gone = served.wait_for(|kinds| !kinds.contains(&kind)) => if gone.is_err() { return },
        }
        if events.send(WatchEvent::NotServed(kind)).await.is_err() {
            return;
        }
    }
}

/// Follows a kind until the channel closes. After an interruption it is told as such, and everything is listed
/// anew: a watch that goes on where it was says nothing before the next change, so nobody would know that it is
/// back.
async fn run<K, F>(watched: &Watched<K, F>, events: &mpsc::Sender<WatchEvent>)
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Fn(K) -> Named<Object>,
{
    // It begins anew by itself when it was not asked for two minutes.
    let mut backoff = watcher::DefaultBackoff::default();
    loop {
        match follow(watched, events).await {
            End::Closed => return,
            End::Interrupted(error) => {
                let again = backoff.next().unwrap_or(LONGEST_WAIT);
                warn!(%error, "watch interrupted, listing anew in {again:?}");
                if events.send(WatchEvent::Interrupted(watched.kind)).await.is_err() {
                    return;
                }
                sleep(again).await;
            }
        }
    }
}

/// Why a watch ended.
enum End {
    /// Nobody listens any more.
    Closed,
    /// The API server cannot be heard.
    Interrupted(watcher::Error),
}

/// Lists and watches a kind until that fails.
async fn follow<K, F>(watched: &Watched<K, F>, events: &mpsc::Sender<WatchEvent>) -> End
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Fn(K) -> Named<Object>,
{
    let Watched { api, kind, named } = watched;
    let mut stream = watcher(api.clone(), watcher::Config::default().timeout(WATCH_SECONDS)).boxed();
    let mut listed = BTreeSet::new();
    let named = |object| {
        let object = named(object);
        if let Object::NetworkPolicy(Err(error)) | Object::ClusterPolicy(_, Err(error)) = &object.value {
            warn!(policy = %object.key, %error, "cannot be read: nothing that it may decide is certain");
        }
        object
    };
    while let Some(event) = stream.next().await {
        let told = match event {
            Err(error) => return End::Interrupted(error),
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let object = named(object);
                listed.insert(object.key.clone());
                WatchEvent::Applied(object)
            }
            Ok(Event::InitDone) => WatchEvent::Listed(*kind, std::mem::take(&mut listed)),
            Ok(Event::Apply(object)) => WatchEvent::Applied(named(object)),
            Ok(Event::Delete(object)) => {
                let namespace = object.namespace().unwrap_or_default();
                WatchEvent::Deleted(*kind, ObjectKey::new(namespace, object.name_any()))
            }
        };
        if events.send(told).await.is_err() {
            return End::Closed;
        }
    }
    // The stream of kube ends only when it is dropped.
    End::Closed
}

#[cfg(test)]
mod tests;
