//! Every version of some objects over a time, in the order in which the API server stored them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::object::with;

/// How long a watch may be behind.
const BEHIND: Duration = Duration::from_secs(20);

/// One object: where it is, its name, and its kind, which the API server leaves out of a list of its own kinds.
pub(super) type Watched = (Api<DynamicObject>, String, Value);

/// What the API server stored of these objects from now on, and what it had.
pub struct Life {
    objects: Vec<Watched>,
    seen: Arc<Mutex<BTreeMap<u64, Value>>>,
    /// How many of the objects' watches have begun.
    begun: watch::Receiver<usize>,
    watching: Vec<JoinHandle<()>>,
}

/// The versions of all kinds are of one sequence, as they are in one etcd.
fn version(object: &DynamicObject) -> Option<u64> {
    object.metadata.resource_version.as_deref()?.parse().ok()
}

impl Life {
    pub(super) fn of(objects: Vec<Watched>) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (listed, begun) = watch::channel(0);
        let watching = objects.iter().map(|(api, name, kind)| {
            let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let (api, kind, writer) = (api.clone(), kind.clone(), Arc::clone(&seen));
            let mut listed = Some(listed.clone());
            tokio::spawn(async move {
                let mut changes = watcher(api, config).boxed();
                while let Some(change) = changes.next().await {
                    let object = match change {
                        Ok(Event::Apply(object) | Event::InitApply(object)) => object,
                        Ok(Event::InitDone) => {
                            if let Some(listed) = listed.take() {
                                listed.send_modify(|number| *number += 1);
                            }
                            continue;
                        }
                        // The watcher begins again by itself after an error.
                        Ok(Event::Init | Event::Delete(_)) | Err(_) => continue,
                    };
                    if let (Some(version), Ok(value)) = (version(&object), serde_json::to_value(&object)) {
                        let value = with(value, &json!({ "kind": kind }));
                        writer.lock().unwrap_or_else(PoisonError::into_inner).insert(version, value);
                    }
                }
            })
        });
        let watching = watching.collect();
        Self { objects, seen, begun, watching }
    }

    /// Waits until nothing that is stored from now on can be missed: a list that comes after two versions has one.
    pub(super) async fn begun(&self) -> Result<()> {
        let (mut begun, all) = (self.begun.clone(), self.objects.len());
        let listed = timeout(BEHIND, begun.wait_for(|number| *number == all)).await;
        listed.context("not every watch has begun")?.context("a watch has ended")?;
        Ok(())
    }

    /// All versions up to now, those that are stored at this moment among them.
    pub async fn up_to_now(&self) -> Result<Vec<Value>> {
        let asked = Instant::now();
        for (api, name, _) in &self.objects {
            let Some(object) = api.get_opt(name).await.with_context(|| format!("cannot read {name}"))? else {
                continue;
            };
            let version = version(&object).context("an object has a version")?;
            while !self.seen().contains_key(&version) {
                ensure!(asked.elapsed() < BEHIND, "{name} is not seen in the version that is stored");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(self.seen().into_values().collect())
    }

    fn seen(&self) -> BTreeMap<u64, Value> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        for watching in &self.watching {
            watching.abort();
        }
    }
}
