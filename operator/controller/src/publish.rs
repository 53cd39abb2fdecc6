//! Writing to the API server: statuses and events. The only place of the controller that writes.
//!
//! Statuses wait in a map by check, so the latest wins; one task writes them, each with a timeout, each with
//! the resourceVersion of the object that was judged. A conflict is no error: the watch brings the newer
//! object, which is judged again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use peerwalk_api::condition::READY;
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::cluster::record::ObjectKey;
use crate::metrics::{Metrics, WriteResult};

/// Field manager and event reporter.
const MANAGER: &str = "peerwalk-operator";
/// For one write. kube has no timeout of its own and retries some answers for minutes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A status to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    /// The object that was judged.
    pub resource_version: String,
    /// Its new status.
    pub status: ConnectivityCheckStatus,
}

/// An event to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The object it is about.
    pub regarding: Regarding,
    /// A warning rather than a note.
    pub warning: bool,
    /// A reason code or the reason of a condition.
    pub reason: String,
    /// At most 1,024 bytes; cut here when longer.
    pub note: String,
}

/// The object an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regarding {
    /// A check.
    Check {
        /// Which one.
        key: ObjectKey,
        /// Its uid; empty when the object could not be decoded.
        uid: String,
    },
    /// A source pod.
    Pod(peerwalk_model::PodRef),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The check.
    pub check: ObjectKey,
    /// Whether the API server has it. If not, the check is judged and written again.
    pub stored: bool,
}

/// Statuses that wait to be written.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: std::sync::Mutex<BTreeMap<ObjectKey, StatusWrite>>,
    arrived: Notify,
}

impl Outbox {
    /// Puts a status in; it replaces one of the same check that still waits.
    pub fn put(&self, check: ObjectKey, write: StatusWrite) {
        self.waiting().insert(check, write);
        self.0.arrived.notify_one();
    }

    fn take(&self) -> Option<(ObjectKey, StatusWrite)> {
        self.waiting().pop_first()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectKey, StatusWrite>> {
        // A poisoned map is still a map of whole statuses.
        self.0.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Writes statuses one after the other until shutdown.
pub async fn write_statuses(
    client: Client,
    outbox: Outbox,
    results: mpsc::Sender<Written>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    loop {
        while let Some((check, write)) = outbox.take() {
            let result = write_status(&client, &check, write).await;
            metrics.status_write(result);
            let stored = result == WriteResult::Stored;
            if results.send(Written { check, stored }).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = outbox.0.arrived.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn write_status(client: &Client, check: &ObjectKey, write: StatusWrite) -> WriteResult {
    let api: Api<ConnectivityCheck> = Api::namespaced(client.clone(), &check.namespace);
    let body = serde_json::json!({
        "apiVersion": ConnectivityCheck::api_version(&()),
        "kind": ConnectivityCheck::kind(&()),
        "metadata": { "name": check.name, "resourceVersion": write.resource_version },
        "status": write.status,
    });
    let params = PatchParams::apply(MANAGER).force();
    match timeout(WRITE_TIMEOUT, api.patch_status(&check.name, &params, &Patch::Apply(&body))).await {
        Ok(Ok(_)) => {
            let ready = write.status.condition(READY);
            info!(
                %check,
                ready = ready.map(|c| c.status.as_str()),
                reason = ready.map(|c| c.reason.as_str()),
                "status written"
            );
            WriteResult::Stored
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
            debug!(%check, "the object changed while it was judged, judging again");
            WriteResult::Conflict
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => WriteResult::Gone,
        Ok(Err(error)) => {
            warn!(%check, %error, "status not written, trying again");
            WriteResult::Failed
        }
        Err(_) => {
            warn!(%check, timeout = ?WRITE_TIMEOUT, "status not written in time, trying again");
            WriteResult::Timeout
        }
    }
}

/// Publishes events until the channel closes. A lost event is counted and never tried again: the status
/// holds the same information.
pub async fn publish_events(client: Client, mut events: mpsc::Receiver<EventRecord>, metrics: Metrics) {
    let recorder =
        Recorder::new(client, Reporter { controller: "peerwalk.dev/operator".into(), instance: None });
    while let Some(event) = events.recv().await {
        let reference = event.regarding.reference();
        let published = Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason,
            note: Some(peerwalk_api::condition::clamp(&event.note, 1024)),
            action: "Judge".into(),
            secondary: None,
        };
        match timeout(WRITE_TIMEOUT, recorder.publish(&published, &reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                metrics.event_lost();
                warn!(%error, "event not published");
            }
            Err(_) => {
                metrics.event_lost();
                warn!(timeout = ?WRITE_TIMEOUT, "event not published in time");
            }
        }
    }
}

impl Regarding {
    fn reference(&self) -> k8s_openapi::api::core::v1::ObjectReference {
        let (api_version, kind, namespace, name, uid) = match self {
            Self::Check { key, uid } => (
                ConnectivityCheck::api_version(&()).into_owned(),
                ConnectivityCheck::kind(&()).into_owned(),
                &key.namespace,
                &key.name,
                uid,
            ),
            Self::Pod(pod) => ("v1".to_owned(), "Pod".to_owned(), &pod.namespace, &pod.name, &pod.uid),
        };
        k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(api_version),
            kind: Some(kind),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
            ..Default::default()
        }
    }
}
