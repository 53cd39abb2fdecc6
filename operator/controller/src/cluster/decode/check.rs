//! ConnectivityChecks: one that does not fit our types is known as far as it can be read, its status included,
//! so that what is said of it goes on from what was said before.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Decode, Kind};
use crate::cluster::record::{Object, UnreadableCheck};

/// A check, or what is left of one that cannot be read.
#[derive(Clone, Debug)]
pub struct SomeCheck {
    check: DeserializeGuard<ConnectivityCheck>,
    /// The status of one that cannot be read.
    status: ConnectivityCheckStatus,
}

impl<'de> Deserialize<'de> for SomeCheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let check = DeserializeGuard::<ConnectivityCheck>::deserialize(&object).map_err(D::Error::custom)?;
        let status = object.get("status").filter(|_| check.0.is_err());
        // A status that cannot be read either is not one of ours.
        let status = status.and_then(|status| ConnectivityCheckStatus::deserialize(status).ok());
        Ok(Self { check, status: status.unwrap_or_default() })
    }
}

impl kube::Resource for SomeCheck {
    type DynamicType = <ConnectivityCheck as kube::Resource>::DynamicType;
    type Scope = <ConnectivityCheck as kube::Resource>::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        ConnectivityCheck::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        ConnectivityCheck::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        ConnectivityCheck::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        ConnectivityCheck::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.check.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.check.meta_mut()
    }
}

impl Decode for SomeCheck {
    const KIND: Kind = Kind::Check;

    fn decode(self) -> Object {
        let Self { check, status } = self;
        Object::Check(check.0.map(Box::new).map_err(|invalid| UnreadableCheck {
            uid: invalid.metadata.uid.unwrap_or_default(),
            resource_version: invalid.metadata.resource_version.unwrap_or_default(),
            generation: invalid.metadata.generation,
            error: invalid.error,
            status: Box::new(status),
        }))
    }
}
