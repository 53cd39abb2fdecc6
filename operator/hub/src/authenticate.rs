//! The question who a sidecar is, asked of whoever can answer it.

use std::time::Duration;

use futures::future::BoxFuture;
use peerwalk_model::PodRef;

/// Says who a token belongs to. The operator asks TokenReview; tests answer themselves.
pub trait Authenticator: Send + Sync + 'static {
    /// The pod that the token is bound to. The token's audience has been checked.
    ///
    /// Called once for a token every few minutes: the hub remembers the answers.
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodRef, AuthError>>;

    /// Whether the operator has seen the pod. A good token of a pod it has not seen yet is asked to come
    /// back, not refused.
    fn knows(&self, pod: &PodRef) -> bool;
}

/// Why a token tells nothing. No variant repeats the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not valid: expired, of another audience, not bound to a pod.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be judged before something has started.
    #[error("tokens cannot be judged yet")]
    NotReady {
        /// When to ask again.
        retry: Duration,
    },
    /// The API server does not answer.
    #[error("tokens cannot be judged now")]
    Unavailable,
}
