//! Everything that a condition has said over a time.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use peerwalk_api::{ConditionStatus, ConnectivityCheck};
use tokio::task::JoinHandle;

use super::ready;

/// What Ready of a check has said, as status and reason, in order.
pub struct History {
    seen: Arc<Mutex<Vec<(ConditionStatus, String)>>>,
    watching: JoinHandle<()>,
}

impl History {
    pub(super) fn of(checks: Api<ConnectivityCheck>, name: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let writer = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            let mut changes = watcher(checks, config).applied_objects().boxed();
            while let Some(change) = changes.next().await {
                // The watcher begins again by itself after an error.
                if let Some(ready) = change.ok().as_ref().and_then(ready) {
                    let entry = (ready.status, ready.reason.clone());
                    let mut seen = writer.lock().unwrap_or_else(PoisonError::into_inner);
                    if seen.last() != Some(&entry) {
                        seen.push(entry);
                    }
                }
            }
        });
        Self { seen, watching }
    }

    /// All of it, up to now.
    pub fn seen(&self) -> Vec<(ConditionStatus, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
