//! Everything that the statuses of a namespace's checks say over a time, held against what is true meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use peerwalk_api::ConnectivityCheck;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::measure::progress;

mod record;

use record::Record;
pub use record::{Counts, Expected, Truth};

/// After a watch that failed. Nothing is missed meanwhile: the next begins where it ended, unless it says otherwise.
const AGAIN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(200);

/// Watches all checks of a namespace until it goes.
pub struct Observer {
    record: Arc<Mutex<Record>>,
    watching: JoinHandle<()>,
}

impl Observer {
    /// Begins to watch.
    pub fn of(checks: Api<ConnectivityCheck>) -> Self {
        let record = Arc::<Mutex<Record>>::default();
        let watching = tokio::spawn(watch(checks, Arc::clone(&record)));
        Self { record, watching }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        locked(&self.record)
    }

    /// From now on, these are the confident answers that are true; a target of a check, or its condition Ready or
    /// Covered. What is not told here is recorded and not judged.
    pub fn expect(&self, check: &str, of: &str, truths: &[Truth]) {
        self.record().expect(check, of, truths);
    }

    /// Forgets counts, and begins new ones.
    pub fn begin(&self) {
        self.record().counts = Counts::default();
    }

    /// What was counted since the beginning.
    pub fn counts(&self) -> Counts {
        self.record().counts.clone()
    }

    /// How many outages of a target of a check were ever told, each beginning once.
    pub fn outages(&self, check: &str, target: &str) -> usize {
        self.record().outages(check, target)
    }

    /// Waits until all of these are said, whatever else would be true, and gives how long that took.
    ///
    /// # Errors
    ///
    /// What is said instead, when it takes longer than `within`.
    pub async fn say(&self, expected: &[Expected], within: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let missing = self.record().differ(expected);
            if missing.is_empty() {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > within {
                bail!("not so after {} s: {}", within.as_secs(), missing.join("; "));
            }
            sleep(LOOK).await;
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn locked(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(checks: Api<ConnectivityCheck>, record: Arc<Mutex<Record>>) {
    let begun = Instant::now();
    let mut changes = watcher::watcher(checks, watcher::Config::default()).boxed();
    // What is there when a list begins; who is not in it any more is gone.
    let mut listed: Option<BTreeSet<String>> = None;
    while let Some(change) = changes.next().await {
        let lines = match change {
            Ok(Event::Apply(check)) => locked(&record).see(&check),
            Ok(Event::InitApply(check)) => {
                let name = check.metadata.name.clone().unwrap_or_default();
                listed.get_or_insert_default().insert(name);
                locked(&record).see(&check)
            }
            Ok(Event::Delete(check)) => locked(&record).gone(&check.metadata.name.unwrap_or_default()),
            Ok(Event::Init) => {
                listed = Some(BTreeSet::new());
                locked(&record).lists();
                Vec::new()
            }
            Ok(Event::InitDone) => {
                let listed = listed.take().unwrap_or_default();
                locked(&record).only(|check| listed.contains(check))
            }
            Err(_) => {
                sleep(AGAIN).await;
                Vec::new()
            }
        };
        for line in lines {
            progress(&format!("+{:6.1} s  {line}", begun.elapsed().as_secs_f64()));
        }
    }
}
