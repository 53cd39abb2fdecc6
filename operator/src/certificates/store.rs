//! The Secret that holds the authorities. Whoever creates it first decides; everyone else reads, and whoever
//! replaces it names the version that was read.

use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::timeout;

use super::{API_TIMEOUT, CertificatesError};
use crate::pki::{Asked, Authorities, revive};

/// Annotations of the Secret by which people ask for a rotation. Any value will do; it is taken away with the
/// rotation, so that each is carried out once.
pub const ROTATE_HUB_ROOT: &str = "peerwalk.dev/rotate-hub-root";
const ROTATE_WEBHOOK_CA: &str = "peerwalk.dev/rotate-webhook-ca";
/// How often a replacement is tried that others are faster with.
const TRIES: usize = 5;

/// Reads the authorities from the Secret of that name, or makes them when there is none or they have ended. Needs
/// `get` and `update` on that Secret and `create` on Secrets, in the operator's namespace.
pub async fn load_or_create(
    secrets: &Api<Secret>,
    name: &str,
    now: Timestamp,
) -> Result<Authorities, CertificatesError> {
    for _ in 0..TRIES {
        let Some(secret) = call("read", name, secrets.get_opt(name)).await? else {
            return create(secrets, name, now).await;
        };
        let mut authorities = from_secret(&secret, name)?;
        if !revive(&mut authorities, now).map_err(CertificatesError::Pki)? {
            return Ok(authorities);
        }
        tracing::warn!(
            secret = name,
            "authorities had expired: pods that were injected under them need a restart"
        );
        if replace(secrets, &secret, &authorities, Asked::default()).await?.is_some() {
            return Ok(authorities);
        }
    }
    Err(CertificatesError::Contended { secret: name.to_owned() })
}

async fn create(secrets: &Api<Secret>, name: &str, now: Timestamp) -> Result<Authorities, CertificatesError> {
    let authorities = Authorities::create(now).map_err(CertificatesError::Pki)?;
    if put_new(secrets, name, &authorities).await? {
        tracing::info!(secret = name, "made the hub's root and the webhook's CA");
        return Ok(authorities);
    }
    // Another replica was faster: its authorities are the ones in use.
    match call("read", name, secrets.get_opt(name)).await? {
        Some(secret) => from_secret(&secret, name),
        None => Err(CertificatesError::Vanished { secret: name.to_owned() }),
    }
}

/// Creates the Secret. False when there is one by now.
pub(super) async fn put_new(
    secrets: &Api<Secret>,
    name: &str,
    authorities: &Authorities,
) -> Result<bool, CertificatesError> {
    let secret = to_secret(authorities, name);
    match call("create", name, secrets.create(&PostParams::default(), &secret)).await {
        Ok(_) => Ok(true),
        Err(CertificatesError::Api { source: kube::Error::Api(status), .. })
            if status.is_already_exists() =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Replaces what the Secret holds, in the version that was read, and takes away what was asked for. `None` when there
/// is another version by now.
pub(super) async fn replace(
    secrets: &Api<Secret>,
    read: &Secret,
    authorities: &Authorities,
    answers: Asked,
) -> Result<Option<Secret>, CertificatesError> {
    let name = read.metadata.name.clone().unwrap_or_default();
    let mut secret = read.clone();
    let data = secret.data.get_or_insert_default();
    data.retain(|key, _| !Authorities::owns(key));
    data.extend(authorities.to_data().into_iter().map(|(key, value)| (key, ByteString(value))));
    if let Some(annotations) = &mut secret.metadata.annotations {
        for (annotation, answered) in
            [(ROTATE_HUB_ROOT, answers.hub_root), (ROTATE_WEBHOOK_CA, answers.webhook_ca)]
        {
            if answered {
                annotations.remove(annotation);
            }
        }
    }
    match call("replace", &name, secrets.replace(&name, &PostParams::default(), &secret)).await {
        Ok(stored) => Ok(Some(stored)),
        Err(CertificatesError::Api { source: kube::Error::Api(status), .. })
            if status.is_conflict() || status.is_not_found() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What people ask for by annotations of the Secret.
pub(super) fn asked(secret: &Secret) -> Asked {
    let annotations = secret.metadata.annotations.as_ref();
    let has = |annotation| annotations.is_some_and(|all| all.contains_key(annotation));
    Asked { hub_root: has(ROTATE_HUB_ROOT), webhook_ca: has(ROTATE_WEBHOOK_CA) }
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

pub(super) fn from_secret(secret: &Secret, name: &str) -> Result<Authorities, CertificatesError> {
    let data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
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
