//! Who a sidecar is: asked of the API server by TokenReview, and held against the pods that are known.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use peerwalk_hub::{AuthError, Authenticator};
use peerwalk_model::PodRef;
use peerwalk_webhook::patch::TOKEN_AUDIENCE;
use tokio::time::timeout;
use tracing::warn;

use crate::http::Readiness;

/// For one TokenReview.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);
/// When to come back while the pods are not all listed yet.
const NOT_READY_RETRY: Duration = Duration::from_secs(2);
/// Claims of bound tokens (KEP-1205, KEP-4193).
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The pods that have a plan, shared with the loop that sets plans.
#[derive(Clone, Debug, Default)]
pub struct KnownPods(Arc<RwLock<HashSet<PodRef>>>);

impl KnownPods {
    /// A pod is known from now on.
    pub fn add(&self, pod: PodRef) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(pod);
    }

    /// A pod is gone.
    pub fn remove(&self, pod: &PodRef) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(pod);
    }

    /// Whether a pod is known.
    pub fn contains(&self, pod: &PodRef) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(pod)
    }
}

/// Asks the API server.
pub struct Reviewer {
    client: Client,
    pods: KnownPods,
    readiness: Arc<Readiness>,
}

impl Reviewer {
    /// A reviewer that knows these pods, which are all of them once everything is listed. Before that
    /// nobody is asked: a pod that is not known would be sent away as unknown.
    pub const fn new(client: Client, pods: KnownPods, readiness: Arc<Readiness>) -> Self {
        Self { client, pods, readiness }
    }

    async fn review(&self, token: &str) -> Result<PodRef, AuthError> {
        if !self.readiness.is_listed() {
            return Err(AuthError::NotReady { retry: NOT_READY_RETRY });
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![TOKEN_AUDIENCE.to_owned()]),
            },
            status: None,
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        match timeout(REVIEW_TIMEOUT, api.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) => identity(review.status.unwrap_or_default()),
            Ok(Err(error)) => {
                warn!(%error, "a token cannot be reviewed");
                Err(AuthError::Unavailable)
            }
            Err(_) => {
                warn!(timeout = ?REVIEW_TIMEOUT, "a token was not reviewed in time");
                Err(AuthError::Unavailable)
            }
        }
    }
}

impl Authenticator for Reviewer {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodRef, AuthError>> {
        self.review(token).boxed()
    }

    fn knows(&self, pod: &PodRef) -> bool {
        self.pods.contains(pod)
    }
}

/// The pod that a reviewed token is bound to.
fn identity(status: TokenReviewStatus) -> Result<PodRef, AuthError> {
    let invalid = |why: &str| Err(AuthError::Invalid(why.to_owned()));
    if status.authenticated != Some(true) {
        return invalid("the API server does not accept the token: it is expired, or its pod is gone");
    }
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == TOKEN_AUDIENCE) {
        return invalid("the token is for another audience");
    }
    let user = status.user.unwrap_or_default();
    let extra = user.extra.unwrap_or_default();
    // system:serviceaccount:<namespace>:<name>
    let account = user.username.unwrap_or_default();
    let namespace = account.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match (namespace, one(&extra, POD_NAME), one(&extra, POD_UID)) {
        (Some((namespace, _)), Some(name), Some(uid)) => {
            Ok(PodRef { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() })
        }
        _ => invalid("the token is not bound to a pod"),
    }
}

fn one<'a>(extra: &'a BTreeMap<String, Vec<String>>, key: &str) -> Option<&'a str> {
    match extra.get(key)?.as_slice() {
        [only] if !only.is_empty() => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use axum::{Json, Router};
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn status(audience: &str, username: &str, extra: &[(&str, &str)]) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.to_owned()]),
            user: Some(UserInfo {
                username: Some(username.to_owned()),
                extra: Some(extra.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()])).collect()),
                ..UserInfo::default()
            }),
            error: None,
        }
    }

    const BOUND: [(&str, &str); 2] = [(POD_NAME, "web-1"), (POD_UID, "u-1")];
    const ACCOUNT: &str = "system:serviceaccount:shop:default";

    #[test]
    fn a_bound_token_of_our_audience_names_its_pod() {
        let pod = PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "u-1".into() };
        assert_eq!(identity(status(TOKEN_AUDIENCE, ACCOUNT, &BOUND)), Ok(pod));
    }

    #[tokio::test]
    async fn nobody_is_asked_before_everything_is_listed() {
        let review = async || {
            let status = Some(status(TOKEN_AUDIENCE, ACCOUNT, &BOUND));
            Json(TokenReview { status, ..TokenReview::default() })
        };
        let server = Router::new().route("/apis/authentication.k8s.io/v1/tokenreviews", post(review));
        let readiness = Arc::new(Readiness::default());
        let client = Client::new(server, "peerwalk");
        let reviewer = Reviewer::new(client, KnownPods::default(), Arc::clone(&readiness));
        let early = reviewer.authenticate("token").await;
        assert_eq!(early, Err(AuthError::NotReady { retry: NOT_READY_RETRY }));
        readiness.listed();
        assert_eq!(reviewer.authenticate("token").await.map(|pod| pod.name), Ok("web-1".to_owned()));
    }

    #[test]
    fn anything_else_is_invalid() {
        let refused =
            TokenReviewStatus { authenticated: Some(false), ..status(TOKEN_AUDIENCE, ACCOUNT, &BOUND) };
        for (case, status) in [
            ("not authenticated", refused),
            ("nothing said", TokenReviewStatus::default()),
            ("another audience", status("other", ACCOUNT, &BOUND)),
            ("a person", status(TOKEN_AUDIENCE, "jane", &BOUND)),
            ("no uid", status(TOKEN_AUDIENCE, ACCOUNT, &BOUND[..1])),
            ("an empty name", status(TOKEN_AUDIENCE, ACCOUNT, &[(POD_NAME, ""), BOUND[1]])),
        ] {
            assert!(matches!(identity(status), Err(AuthError::Invalid(_))), "{case} is refused");
        }
    }
}
