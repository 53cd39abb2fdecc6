//! Writing to the API server: statuses and events. The only place of the controller that writes.
//!
//! Of each check the latest status waits, and checks take turns; one task writes, with a timeout for each,
//! and with the resourceVersion of the object that was judged. A conflict is no error: the watch brings the
//! newer object, which is judged again. Right before each write it is asked whether this replica still leads: a process
//! may have been paused for any time, and another leads by now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use peerwalk_api::condition::READY;
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::cluster::record::ObjectKey;
use crate::leading::{Leading, leads_now};
use crate::metrics::{Metrics, WriteResult};

/// Field manager and event reporter.
const MANAGER: &str = "peerwalk-operator";
/// For one write. kube has no timeout of its own and retries some answers for minutes. A lease is longer than a leader may
/// go without a renewal by this.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A status to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    /// The object that was judged.
    pub resource_version: String,
    /// Its new status.
    pub status: ConnectivityCheckStatus,
    /// The transition in it, to be told once it is stored.
    pub event: Option<EventRecord>,
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
        /// Its uid.
        uid: String,
    },
    /// A source pod.
    Pod(peerwalk_model::PodRef),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The check.
    pub check: ObjectKey,
    /// What was to be written.
    pub write: Box<StatusWrite>,
    /// What became of it.
    pub result: WriteResult,
}

/// Statuses that wait to be written, in the order in which their checks came.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<ObjectKey>,
    writes: BTreeMap<ObjectKey, StatusWrite>,
}

impl Outbox {
    /// Puts a status in. It replaces one of the same check that still waits, and takes its place; whether there
    /// was one.
    pub fn put(&self, check: ObjectKey, write: StatusWrite) -> bool {
        let mut waiting = self.waiting();
        let replaced = waiting.writes.insert(check.clone(), write).is_some();
        if !replaced {
            waiting.order.push_back(check);
        }
        drop(waiting);
        self.0.arrived.notify_one();
        replaced
    }

    /// Nothing of it is written any more: this replica does not lead.
    pub fn clear(&self, metrics: &Metrics) {
        let mut waiting = self.waiting();
        waiting.order.clear();
        for _ in std::mem::take(&mut waiting.writes) {
            metrics.status_write(WriteResult::Fenced);
        }
    }

    fn take(&self) -> Option<(ObjectKey, StatusWrite)> {
        let mut waiting = self.waiting();
        let check = waiting.order.pop_front()?;
        let write = waiting.writes.remove(&check)?;
        Some((check, write))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // What is poisoned still holds whole statuses.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes statuses one after the other until shutdown.
pub async fn write_statuses(
    client: Client,
    outbox: Outbox,
    results: mpsc::Sender<Written>,
    metrics: Metrics,
    leading: watch::Receiver<Leading>,
    shutdown: CancellationToken,
) {
    loop {
        while let Some((check, write)) = outbox.take() {
            let result = if leads_now(&leading) {
                write_status(&client, &check, &write).await
            } else {
                WriteResult::Fenced
            };
            metrics.status_write(result);
            if results.send(Written { check, write: Box::new(write), result }).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = outbox.0.arrived.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn write_status(client: &Client, check: &ObjectKey, write: &StatusWrite) -> WriteResult {
    // The answer holds the whole object, which need not be one that can be read.
    let api: Api<PartialObjectMeta<ConnectivityCheck>> = Api::namespaced(client.clone(), &check.namespace);
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
        Ok(Err(error)) => {
            let result = failed(&error);
            if result == WriteResult::Conflict {
                debug!(%check, "the object changed while it was judged; its next version is judged again");
            } else if result != WriteResult::Gone {
                warn!(%check, %error, "status not written, trying again later");
            }
            result
        }
        Err(_) => {
            warn!(%check, timeout = ?WRITE_TIMEOUT, "status not written in time, trying again later");
            WriteResult::Timeout
        }
    }
}

/// What an error means for the next write.
fn failed(error: &kube::Error) -> WriteResult {
    let kube::Error::Api(status) = error else { return WriteResult::Failed };
    match status.code {
        404 => WriteResult::Gone,
        409 => WriteResult::Conflict,
        // Too slow, too many: both pass.
        408 | 429 => WriteResult::Failed,
        400..500 => WriteResult::Refused,
        _ => WriteResult::Failed,
    }
}

/// Publishes events until the channel closes. A lost event is counted and never tried again: the status
/// holds the same information.
pub async fn publish_events(
    client: Client,
    mut events: mpsc::Receiver<EventRecord>,
    metrics: Metrics,
    leading: watch::Receiver<Leading>,
) {
    let recorder =
        Recorder::new(client, Reporter { controller: "peerwalk.dev/operator".into(), instance: None });
    while let Some(event) = events.recv().await {
        if !leads_now(&leading) {
            metrics.event_lost();
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(version: &str) -> StatusWrite {
        let status = ConnectivityCheckStatus::default();
        StatusWrite { resource_version: version.into(), status, event: None }
    }

    #[test]
    fn what_passes_is_told_from_what_is_refused() {
        for (code, expected) in [
            (404, WriteResult::Gone),
            (409, WriteResult::Conflict),
            (403, WriteResult::Refused),
            (422, WriteResult::Refused),
            (408, WriteResult::Failed),
            (429, WriteResult::Failed),
            (500, WriteResult::Failed),
            (504, WriteResult::Failed),
        ] {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            assert_eq!(failed(&kube::Error::Api(Box::new(status))), expected, "{code}");
        }
        assert_eq!(failed(&kube::Error::LinesCodecMaxLineLengthExceeded), WriteResult::Failed, "no answer");
    }

    /// A client of an API server that takes every write, and counts them.
    fn server() -> (Client, Arc<std::sync::atomic::AtomicUsize>) {
        let writes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&writes);
        let answer = async move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            axum::Json(serde_json::json!({
                "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck", "metadata": {"name": "a"},
            }))
        };
        (Client::new(axum::Router::new().fallback(answer), "shop"), writes)
    }

    #[tokio::test(start_paused = true)]
    async fn who_leads_no_longer_writes_nothing() {
        let (client, writes) = server();
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        let (_leading, leads) = watch::channel(Leading::Leader { term: 1, until });
        let (results, mut written) = mpsc::channel(4);
        let (outbox, metrics) = (Outbox::default(), Metrics::default());
        let stop = CancellationToken::new();
        let writing = write_statuses(
            client.clone(),
            outbox.clone(),
            results,
            metrics.clone(),
            leads.clone(),
            stop.clone(),
        );
        tokio::spawn(writing);
        outbox.put(ObjectKey::new("shop", "a"), write("1"));
        assert_eq!(written.recv().await.map(|written| written.result), Some(WriteResult::Stored));
        // As after a pause: nobody has said that the lead is lost.
        tokio::time::advance(Duration::from_secs(11)).await;
        outbox.put(ObjectKey::new("shop", "a"), write("2"));
        assert_eq!(written.recv().await.map(|written| written.result), Some(WriteResult::Fenced));
        let (events, told) = mpsc::channel(1);
        let namespaced = Regarding::Check { key: ObjectKey::new("shop", "a"), uid: String::new() };
        let event =
            EventRecord { regarding: namespaced, warning: true, reason: String::new(), note: String::new() };
        events.send(event).await.unwrap();
        drop(events);
        publish_events(client, told, metrics, leads).await;
        assert_eq!(writes.load(std::sync::atomic::Ordering::Relaxed), 1, "the one before the pause");
    }

    #[test]
    fn what_waits_is_not_for_the_next_time_it_leads() {
        let (outbox, metrics) = (Outbox::default(), Metrics::default());
        let mut registry = prometheus_client::registry::Registry::default();
        metrics.register(&mut registry);
        outbox.put(ObjectKey::new("shop", "b"), write("3"));
        outbox.put(ObjectKey::new("shop", "c"), write("4"));
        outbox.clear(&metrics);
        assert_eq!(outbox.take(), None);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = "status_writes_total{result=\"Fenced\"} 2\n";
        assert!(text.contains(line), "what is not written is counted: {text}");
    }

    #[test]
    fn checks_take_turns_and_the_latest_status_of_each_is_written() {
        let outbox = Outbox::default();
        for (name, version) in [("z", "1"), ("a", "2"), ("z", "3"), ("m", "4")] {
            let again = outbox.put(ObjectKey::new("shop", name), write(version));
            assert_eq!(again, version == "3", "{name} {version}");
        }
        let taken = || outbox.take().map(|(check, write)| (check.name, write.resource_version));
        assert_eq!(taken(), Some(("z".into(), "3".into())), "it keeps its place with its latest status");
        outbox.put(ObjectKey::new("shop", "a"), write("5"));
        outbox.put(ObjectKey::new("shop", "z"), write("6"));
        let rest: Vec<_> = std::iter::from_fn(taken).collect();
        let expected = [("a", "5"), ("m", "4"), ("z", "6")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(rest, expected, "whoever comes again stands behind the others");
    }
}
