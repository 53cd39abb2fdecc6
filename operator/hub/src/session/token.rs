//! A token as a stream presents it, and when it is to be reviewed again.

use std::time::Duration;

use peerwalk_model::Timestamp;

use super::Action;
use crate::expiry::expiry;

/// When to ask again about a token that could not be reviewed, or that should have expired and has not: API
/// servers grant a minute.
const REVIEW_RETRY: Duration = Duration::from_mins(1);

/// A token. Moments are on the clock of the stream.
pub(super) struct Token {
    text: String,
    /// When it says that it expires.
    expires: Option<Duration>,
}

impl Token {
    /// A token that arrived at `at` of the wall clock, which is `now`.
    pub(super) fn new(text: String, at: Timestamp, now: Duration) -> Self {
        let expires = expiry(&text).map(|end| now.saturating_add(end.since(at)));
        Self { text, expires }
    }

    pub(super) fn review(&self, afresh: bool) -> Action {
        Action::Review { token: self.text.clone(), afresh }
    }

    /// When to review it again after it was found good: after `again`, and when it expires.
    pub(super) fn due(&self, again: Duration, now: Duration) -> Duration {
        let due = now + again;
        match self.expires {
            Some(expires) if expires > now => due.min(expires),
            Some(_) => due.min(now + REVIEW_RETRY),
            None => due,
        }
    }

    /// When to review it again after nobody could tell.
    pub(super) fn retry_due(now: Duration) -> Duration {
        now + REVIEW_RETRY
    }
}
