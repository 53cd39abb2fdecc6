//! A copy of a check, made to be walked and judged as new: the status of a new object begins as Unknown, so whatever it
//! says was found after it was made.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions};
use peerwalk_api::ConnectivityCheck;
use serde_json::json;
use tokio::time::timeout;

use crate::check::{self, Check};
use crate::connect::Session;
use crate::print;

/// For the API server to take the copy away.
const DELETED_WITHIN: Duration = Duration::from_secs(10);
/// Says whose copy it is.
const ANNOTATION: &str = "peerwalk.dev/fresh-copy-of";

/// A copy that is there.
pub(super) struct Copy {
    /// As it was made.
    pub(super) check: Check,
    api: Api<DynamicObject>,
}

impl Copy {
    /// Makes one. It belongs to the check, so that it goes with it should nobody delete it before.
    pub(super) async fn make(session: &Session, of: &Check) -> Result<Self> {
        let api = check::api(&session.client, Some(&of.namespace));
        let resource = ApiResource::erase::<ConnectivityCheck>(&());
        let owner = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "name": of.name, "uid": of.uid,
        });
        let object = serde_json::from_value(json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "generateName": format!("{}-fresh-", of.name),
                "namespace": of.namespace,
                "annotations": { ANNOTATION: of.name },
                "ownerReferences": [owner],
            },
            "spec": of.raw_spec,
        }));
        let object: DynamicObject = object.context("the check cannot be copied")?;
        let made = api
            .create(&PostParams::default(), &object)
            .await
            .map_err(|e| anyhow::anyhow!(check::told(&e)))?;
        Ok(Self { check: Check::read(made)?, api })
    }

    /// Takes it away; says how where that fails.
    pub(super) async fn delete(self) {
        let Check { namespace, name, uid, .. } = &self.check;
        let this = Preconditions { uid: Some(uid.clone()), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
        let error = match timeout(DELETED_WITHIN, self.api.delete(name, &parameters)).await {
            Ok(Ok(_)) => return,
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => return,
            Ok(Err(error)) => check::told(&error),
            Err(_) => format!("no answer within {} s", DELETED_WITHIN.as_secs()),
        };
        print::note(&format!(
            "the copy could not be deleted ({error}): `kubectl -n {namespace} delete connectivitycheck {name}`"
        ));
    }
}
