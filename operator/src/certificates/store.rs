//! The Secret that holds the authorities. Whoever creates it first decides; everyone else reads.

use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::timeout;

use super::{API_TIMEOUT, CertificatesError};
use crate::pki::Authorities;

/// Reads the authorities from the Secret of that name, or makes them when there is none. Needs `get` on
/// that Secret and `create` on Secrets, in the operator's namespace.
pub async fn load_or_create(
    secrets: &Api<Secret>,
    name: &str,
    now: Timestamp,
) -> Result<Authorities, CertificatesError> {
    if let Some(secret) = call("read", name, secrets.get_opt(name)).await? {
        return from_secret(secret, name);
    }
    let authorities = Authorities::create(now).map_err(CertificatesError::Pki)?;
    match call("create", name, secrets.create(&PostParams::default(), &to_secret(&authorities, name))).await {
        Ok(_) => {
            tracing::info!(secret = name, "made the hub's root and the webhook's CA");
            Ok(authorities)
        }
        // Another replica was faster: its authorities are the ones in use.
        Err(CertificatesError::Api { source: kube::Error::Api(status), .. })
            if status.is_already_exists() =>
        {
            match call("read", name, secrets.get_opt(name)).await? {
                Some(secret) => from_secret(secret, name),
                None => Err(CertificatesError::Vanished { secret: name.to_owned() }),
            }
        }
        Err(error) => Err(error),
    }
}

async fn call<T>(
    action: &'static str,
    secret: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, CertificatesError> {
    match timeout(API_TIMEOUT, request).await {
        Ok(result) => {
            result.map_err(|source| CertificatesError::Api { action, secret: secret.to_owned(), source })
        }
        Err(_) => Err(CertificatesError::Timeout { action, secret: secret.to_owned() }),
    }
}

fn from_secret(secret: Secret, name: &str) -> Result<Authorities, CertificatesError> {
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    Authorities::from_data(&data)
        .map_err(|source| CertificatesError::Data { secret: name.to_owned(), source })
}

fn to_secret(authorities: &Authorities, name: &str) -> Secret {
    let data = authorities.to_data().into_iter().map(|(key, value)| (key, ByteString(value))).collect();
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(
                [
                    ("app.kubernetes.io/part-of", "peerwalk"),
                    ("app.kubernetes.io/managed-by", "peerwalk-operator"),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}
