//! The AdmissionReview protocol (`admission.k8s.io/v1`): a question in, an answer out.
//!
//! Own types, because the pod has to stay raw JSON: a typed pod would lose what a newer API server sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Why a body is not a question that can be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error("the body is not an AdmissionReview with a request")]
    Json(#[source] serde_json::Error),
    #[error("apiVersion {api_version:?}, kind {kind:?}: this webhook answers {API_VERSION} {KIND}")]
    Version { api_version: String, kind: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    api_version: String,
    kind: String,
    request: Request,
}

/// What of a request is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) uid: String,
    pub(crate) operation: String,
    resource: Resource,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    pub(crate) namespace: String,
    /// `None` and `null` stand for false.
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    pub(crate) object: Value,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(default)]
    group: String,
    resource: String,
}

impl Request {
    /// Reads the body of a call.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        let question: Question = serde_json::from_slice(body).map_err(ReviewError::Json)?;
        if question.api_version != API_VERSION || question.kind != KIND {
            return Err(ReviewError::Version { api_version: question.api_version, kind: question.kind });
        }
        Ok(question.request)
    }

    /// Whether nothing is stored of what is answered.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }

    /// Whether a pod is about to be created; subresources (`pods/binding`, `pods/eviction`) are not that.
    pub(crate) fn creates_pod(&self) -> bool {
        let resource = &self.resource;
        self.operation == "CREATE"
            && resource.group.is_empty()
            && resource.resource == "pods"
            && self.sub_resource.is_empty()
    }
}

/// The answer. Always `allowed`: this webhook adds or does not add, it never refuses.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    api_version: &'static str,
    kind: &'static str,
    response: Response,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Answer {
    /// Let the object pass as it is.
    pub(crate) fn unchanged(uid: String) -> Self {
        Self::new(Response { uid, allowed: true, patch_type: None, patch: None, warnings: Vec::new() })
    }

    /// Let the object pass as it is, and tell whoever created it.
    pub(crate) fn unchanged_with_warning(uid: String, warning: &str) -> Self {
        Self::unchanged(uid).with_warning(warning.to_owned())
    }

    /// Let the object pass with this JSON Patch.
    pub(crate) fn patched(uid: String, patch: &[u8]) -> Self {
        let mut answer = Self::unchanged(uid);
        answer.response.patch_type = Some("JSONPatch");
        answer.response.patch = Some(STANDARD.encode(patch));
        answer
    }

    /// The same, and tell whoever created the object.
    pub(crate) fn with_warning(mut self, warning: String) -> Self {
        self.response.warnings.push(warning);
        self
    }

    fn new(response: Response) -> Self {
        Self { api_version: API_VERSION, kind: KIND, response }
    }
}
