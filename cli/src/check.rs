//! A live `ConnectivityCheck`, as far as this version can read it.

use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, Resource as _};
use peerwalk_api::condition::{Condition, READY};
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckSpec, ConnectivityCheckStatus};
use serde::Serialize;
use serde_json::Value;

/// A check that was read. Its JSON is a contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether the status and Ready are said of this generation.
    pub current: bool,
    /// What is said of it, as the object has it.
    pub status: ConnectivityCheckStatus,
    /// What is asked; none where a later version wrote what this one cannot read.
    #[serde(skip)]
    pub spec: Option<ConnectivityCheckSpec>,
    /// The spec as it is, for a copy.
    #[serde(skip)]
    pub raw_spec: Value,
    /// `metadata.uid`.
    #[serde(skip)]
    pub uid: String,
}

/// Where the checks are.
pub fn api(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<ConnectivityCheck>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

impl Check {
    /// Reads an object.
    ///
    /// # Errors
    /// Where its status is of a form that this version does not know, with the field.
    pub fn read(object: DynamicObject) -> Result<Self, UnreadableCheck> {
        let metadata = object.metadata;
        let namespace = metadata.namespace.unwrap_or_default();
        let name = metadata.name.unwrap_or_default();
        let mut data = object.data;
        let status: ConnectivityCheckStatus = match data.get_mut("status").map(Value::take) {
            None | Some(Value::Null) => ConnectivityCheckStatus::default(),
            Some(status) => serde_json::from_value(status)
                .map_err(|error| UnreadableCheck { check: format!("{namespace}/{name}"), error })?,
        };
        let raw_spec = data.get_mut("spec").map(Value::take).unwrap_or_default();
        let generation = metadata.generation.unwrap_or_default();
        let of_this = |observed: Option<i64>| observed == Some(generation);
        let ready = status.condition(READY);
        let current = of_this(status.observed_generation)
            && ready.is_some_and(|ready| ready.observed_generation.is_none_or(|g| g == generation));
        Ok(Self {
            current,
            spec: serde_json::from_value(raw_spec.clone()).ok(),
            uid: metadata.uid.unwrap_or_default(),
            namespace,
            name,
            generation,
            status,
            raw_spec,
        })
    }

    /// The condition that has the verdict.
    pub fn ready(&self) -> Option<&Condition> {
        self.status.condition(READY)
    }
}

/// A status of a form that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error(
    "ConnectivityCheck {check}: its status cannot be read ({error}): use the version of peerwalk that the operator has"
)]
pub struct UnreadableCheck {
    check: String,
    error: serde_json::Error,
}

/// Why checks could not be asked for, with the remedy.
pub fn explained(error: &kube::Error, verb: &str, namespace: Option<&str>) -> anyhow::Error {
    let resource = format!("{}.{}", ConnectivityCheck::plural(&()), ConnectivityCheck::group(&()));
    let place = namespace.map_or("--all-namespaces".to_owned(), |n| format!("--namespace {n}"));
    let remedy = match error {
        kube::Error::Api(status) if status.is_forbidden() => format!(
            "you may not {verb} {resource} there, as `kubectl auth can-i {verb} {resource} {place}` says: ask for the \
             chart's role peerwalk-view, which `view` has where rbac.aggregate is set"
        ),
        kube::Error::Api(status) if status.code == 404 => {
            format!(
                "the cluster knows no {resource}: install the chart, or choose another cluster with --context"
            )
        }
        _ => "the cluster cannot be asked: look at --context, and at the server that it names".to_owned(),
    };
    anyhow::anyhow!("{remedy} ({})", told(error))
}

/// What a server says, without the frame of the client.
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        // It has its sources in its words already.
        error => error.to_string(),
    }
}
