//! Answers that may be reused between events, within their TTL.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::evidence::Query;
use peerwalk_model::plan::RecordType;
use tokio::time::Instant;

/// Answers kept; a plan of 64 targets needs eight each.
const KEPT: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<(String, RecordType), (Query, Instant)>>);

impl Cache {
    pub(crate) fn get(&self, name: &str, record: RecordType) -> Option<Query> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (query, expires) = kept.get(&(name.to_ascii_lowercase(), record))?;
        (Instant::now() < *expires).then(|| query.clone())
    }

    pub(crate) fn keep(&self, query: &Query, reuse: Duration) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, (_, expires)| *expires > now);
        }
        if kept.len() < KEPT {
            kept.insert((query.name.to_ascii_lowercase(), query.record), (query.clone(), now + reuse));
        }
    }
}
