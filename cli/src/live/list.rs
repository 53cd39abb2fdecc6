//! Listing, a page at a time.

use std::time::Duration;

use kube::Client;
use kube::api::{ListParams, Request};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::kind::Kind;
use crate::check::told;
use crate::progress::Progress;

/// Objects of one page.
const PAGE: u32 = 500;
/// For one page.
const WITHIN: Duration = Duration::from_mins(1);
/// Of a pod, what nothing here reads is most of it.
const UNREAD: [&str; 15] = [
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeDevices",
    "volumeMounts",
];

/// What came of a list.
#[derive(Debug)]
pub(super) enum Listed {
    /// Every object, as the server gives it, without what nothing here reads.
    All(Vec<Value>),
    /// That is not allowed; what the server says.
    Forbidden(String),
    /// The server knows no such kind.
    NotServed,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The server says so, or cannot be asked.
    #[error("{}", told(.0))]
    Request(kube::Error),
    /// It says nothing.
    #[error("no answer within {} s", WITHIN.as_secs())]
    Timeout,
}

/// Lists a kind everywhere, or in a namespace.
pub(super) async fn list(
    client: &Client,
    kind: &Kind,
    namespace: Option<&str>,
    progress: &mut Progress,
) -> Result<Listed, Error> {
    let mut objects = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        progress.says(format!("reading {}: {}", kind.resource, objects.len()));
        let request = Request::new(kind.path(namespace));
        let request = if kind.only_metadata { request.list_metadata(&page) } else { request.list(&page) };
        let request = request.map_err(|error| Error::Request(kube::Error::BuildRequest(error)))?;
        let answer = timeout(WITHIN, client.request::<Value>(request)).await;
        let mut list = match answer.map_err(|_| Error::Timeout)? {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Ok(Listed::Forbidden(status.message));
            }
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Listed::NotServed),
            // The moment of which the first page was is forgotten: all of it at once.
            Err(kube::Error::Api(status)) if status.code == 410 && page.continue_token.is_some() => {
                objects.clear();
                page = ListParams::default();
                continue;
            }
            Err(error) => return Err(Error::Request(error)),
        };
        if let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) {
            objects.extend(items.into_iter().map(|item| slim(kind, item)));
        }
        match list["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token.to_owned()),
            None => return Ok(Listed::All(objects)),
        }
    }
}

/// An object of a list as one by itself, without what is large and read by nobody.
fn slim(kind: &Kind, mut object: Value) -> Value {
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    without(&mut object, "/metadata", &["annotations", "managedFields"]);
    if kind.kind == "Pod" {
        without(&mut object, "/spec", &["affinity", "tolerations", "volumes"]);
        without(
            &mut object,
            "/status",
            &["containerStatuses", "ephemeralContainerStatuses", "initContainerStatuses"],
        );
        for containers in ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"] {
            let given = object.pointer_mut(containers).and_then(Value::as_array_mut);
            for container in given.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.retain(|field, _| !UNREAD.contains(&field.as_str()));
            }
        }
    }
    if kind.kind == "Node" {
        without(&mut object, "/status", &["images", "volumesInUse", "volumesAttached", "nodeInfo"]);
    }
    object
}

fn without(object: &mut Value, place: &str, fields: &[&str]) {
    if let Some(Value::Object(map)) = object.pointer_mut(place) {
        map.retain(|field, _| !fields.contains(&field.as_str()));
    }
}

#[cfg(test)]
mod tests;
