//! Answers that may be reused between events: within their TTL, and for a minute where the budget for queries is
//! spent. Many names at short intervals take more queries than there may be, and a walk by an older answer says
//! more than none.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::evidence::Query;
use peerwalk_model::plan::RecordType;
use tokio::time::Instant;

/// Answers kept; a plan of 64 targets needs eight each.
const KEPT: usize = 512;

/// How long an answer does for want of a newer one.
const STALE: Duration = Duration::from_mins(1);

/// By name and type; when each was given, and when its TTL is over.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<(String, RecordType), Kept>>);

#[derive(Debug)]
struct Kept {
    query: Query,
    given: Instant,
    expires: Instant,
}

impl Cache {
    /// An answer within its TTL.
    pub(crate) fn get(&self, name: &str, record: RecordType) -> Option<Query> {
        self.find(name, record, |kept, now| now < kept.expires)
    }

    /// An answer that is not too old, whatever its TTL.
    pub(crate) fn stale(&self, name: &str, record: RecordType) -> Option<Query> {
        self.find(name, record, |kept, now| now.saturating_duration_since(kept.given) < STALE)
    }

    fn find(&self, name: &str, record: RecordType, good: impl Fn(&Kept, Instant) -> bool) -> Option<Query> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(&(name.to_ascii_lowercase(), record))?;
        good(found, Instant::now()).then(|| found.query.clone())
    }

    /// Keeps an answer that may be reused for so long, zero included.
    pub(crate) fn keep(&self, query: &Query, reuse: Duration) {
        let now = Instant::now();
        let key = (query.name.to_ascii_lowercase(), query.record);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is newer replaces what is known, however full it is.
        let known = kept.contains_key(&key);
        if kept.len() >= KEPT && !known {
            kept.retain(|_, old| now < old.expires || now.saturating_duration_since(old.given) < STALE / 2);
        }
        if kept.len() < KEPT || known {
            kept.insert(key, Kept { query: query.clone(), given: now, expires: now + reuse });
        }
    }
}

#[cfg(test)]
mod tests {
    use peerwalk_model::evidence::{QueryOutcome, Transport};

    use super::*;

    fn query(name: &str, outcome: QueryOutcome) -> Query {
        Query {
            server: "10.96.0.10:53".parse().unwrap(),
            transport: Transport::Udp,
            name: name.to_owned(),
            record: RecordType::A,
            outcome,
            elapsed: Duration::ZERO,
            late: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_still_takes_newer_answers_of_what_it_knows() {
        let (cache, hour) = (Cache::default(), Duration::from_hours(1));
        let addresses = || QueryOutcome::Addresses(vec!["10.0.0.7".parse().unwrap()]);
        for n in 0..KEPT {
            cache.keep(&query(&format!("db{n}."), addresses()), hour);
        }
        cache.keep(&query("other.", addresses()), hour);
        assert_eq!(cache.stale("other.", RecordType::A), None, "there is no room for another name");
        let gone = query("DB0.", QueryOutcome::NameNotFound);
        cache.keep(&gone, Duration::ZERO);
        assert_eq!(cache.stale("db0.", RecordType::A), Some(gone), "the address of before is over");
        assert_eq!(cache.get("db0.", RecordType::A), None, "nor is the answer reused");
    }
}
