//! Reviews of tokens, remembered for a while and bounded in number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::{PodRef, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::authenticate::{AuthError, Authenticator};
use crate::config::Config;
use crate::expiry::expiry;
use crate::metrics::{Metrics, ReviewLabels, ReviewResult};

/// How long a token that is not valid is remembered: it may become so only by a mistake of ours.
const INVALID_TTL: Duration = Duration::from_secs(30);

/// Asks the authenticator, and remembers what it said.
pub(crate) struct Reviews {
    authenticator: Arc<dyn Authenticator>,
    metrics: Metrics,
    clock: fn() -> Timestamp,
    permits: Semaphore,
    timeout: Duration,
    ttl: Duration,
    capacity: usize,
    /// By SHA-256 of the token: tokens themselves are not kept.
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    result: Result<PodRef, AuthError>,
    until: Instant,
}

impl Reviews {
    pub(crate) fn new(authenticator: Arc<dyn Authenticator>, config: &Config, metrics: Metrics) -> Self {
        Self {
            authenticator,
            metrics,
            clock: config.clock,
            permits: Semaphore::new(config.reviews_in_flight),
            timeout: config.review_timeout,
            ttl: config.review_ttl,
            capacity: config.max_streams.saturating_mul(2),
            remembered: Mutex::default(),
        }
    }

    pub(crate) fn knows(&self, pod: &PodRef) -> bool {
        self.authenticator.knows(pod)
    }

    /// Who the token belongs to. With `afresh`, what is remembered does not count.
    pub(crate) async fn review(&self, token: &str, afresh: bool) -> Result<PodRef, AuthError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if !afresh && let Some(result) = self.recall(&digest) {
            self.count(ReviewResult::Remembered);
            return result;
        }
        let asked = async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            self.authenticator.authenticate(token).await
        };
        let result = timeout(self.timeout, asked).await.unwrap_or(Err(AuthError::Unavailable));
        self.count(match &result {
            Ok(_) => ReviewResult::Valid,
            Err(AuthError::Invalid(_)) => ReviewResult::Invalid,
            Err(AuthError::NotReady { .. }) => ReviewResult::NotReady,
            Err(AuthError::Unavailable) => ReviewResult::Unavailable,
        });
        match &result {
            Ok(_) => self.remember(digest, result.clone(), self.ttl.min(self.left_of(token))),
            Err(AuthError::Invalid(_)) => self.remember(digest, result.clone(), INVALID_TTL.min(self.ttl)),
            Err(_) => {}
        }
        result
    }

    /// How long a token says that it is still valid.
    fn left_of(&self, token: &str) -> Duration {
        expiry(token).map_or(Duration::MAX, |at| at.since((self.clock)()))
    }

    fn recall(&self, digest: &[u8; 32]) -> Option<Result<PodRef, AuthError>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(digest)?;
        (Instant::now() < found.until).then(|| found.result.clone())
    }

    fn remember(&self, digest: [u8; 32], result: Result<PodRef, AuthError>, ttl: Duration) {
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= self.capacity && !remembered.contains_key(&digest) {
            remembered.retain(|_, old| now < old.until);
            // Tokens made up to fill the memory are not valid, and go first.
            if remembered.len() >= self.capacity {
                remembered.retain(|_, old| old.result.is_ok());
            }
            if remembered.len() >= self.capacity {
                return;
            }
        }
        remembered.insert(digest, Remembered { result, until: now + ttl });
    }

    fn count(&self, result: ReviewResult) {
        self.metrics.reviews.get_or_create(&ReviewLabels { result }).inc();
    }
}

#[cfg(test)]
mod tests;
