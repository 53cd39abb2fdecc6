//! A certificate for the webhook that somebody else makes and renews, as cert-manager keeps it in a Secret.
//!
//! The operator's own one stays beside it: it is served until the other is there, and whenever that cannot be used. The
//! API server is told of both authorities all the time, so going from one to the other refuses no call.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Configure;
use crate::pki::SecretData;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// What it is verified by. cert-manager writes it where the issuer says it.
const CA: &str = "ca.crt";

/// Why a Secret's certificate cannot be served. Each names the key and the remedy.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GivenError {
    /// A key of the data is not there.
    #[error("key {key} is missing: use an issuer that gives {CERTIFICATE}, {KEY} and {CA}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key's value is not what it should be.
    #[error("key {key} is not PEM of {what}: delete the Secret, so that its issuer makes it anew")]
    NotPem {
        /// The key.
        key: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// Certificate and key cannot be served.
    #[error("{CERTIFICATE} and {KEY} cannot be served: delete the Secret, so that its issuer makes it anew")]
    NotServed(#[source] rustls::Error),
    /// The API server would refuse it.
    #[error(
        "{CERTIFICATE} is no certificate of {name} by {CA}: correct the Certificate's dnsNames, or its issuer"
    )]
    NotVerified {
        /// The webhook's name.
        name: String,
        /// What the verifier says.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate that was given, ready to be served.
pub(super) struct Given {
    chain: Vec<CertificateDer<'static>>,
    ca: String,
    pub(super) config: Arc<ServerConfig>,
}

impl Given {
    /// Takes what a Secret of type `kubernetes.io/tls` holds, and the authority beside it.
    pub(super) fn parse(data: &SecretData, configure: Configure) -> Result<Self, GivenError> {
        let value = |key| data.get(key).filter(|v| !v.is_empty()).ok_or(GivenError::Missing { key });
        let chain = certificates(value(CERTIFICATE)?, CERTIFICATE)?;
        let not_key = |_| GivenError::NotPem { key: KEY, what: "a private key" };
        let key = PrivateKeyDer::from_pem_slice(value(KEY)?).map_err(not_key)?;
        let ca = value(CA)?;
        certificates(ca, CA)?;
        let ca = String::from_utf8(ca.clone()).map_err(|_| not_certificates(CA))?;
        let config = configure(chain.clone(), key).map_err(GivenError::NotServed)?;
        Ok(Self { chain, ca: format!("{}\n", ca.trim_end()), config: Arc::new(config) })
    }

    /// What it is verified by, PEM.
    pub(super) fn ca(&self) -> &str {
        &self.ca
    }

    /// Whether the API server would accept it at that moment, for that name.
    pub(super) fn verify(&self, name: &str, now: Timestamp) -> Result<(), GivenError> {
        verify(&self.chain, &self.ca, name, now)
            .map_err(|source| GivenError::NotVerified { name: name.to_owned(), source })
    }
}

fn verify(chain: &[CertificateDer<'_>], ca: &str, name: &str, now: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca.as_bytes()).flatten());
    let general = |error: &dyn std::fmt::Display| rustls::Error::General(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| general(&error))?;
    let name = ServerName::try_from(name).map_err(|error| general(&error))?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    let (leaf, between) = chain.split_first().ok_or_else(|| general(&"no certificate"))?;
    verifier.verify_server_cert(leaf, between, &name, &[], at).map(|_| ())
}

fn not_certificates(key: &'static str) -> GivenError {
    GivenError::NotPem { key, what: "X.509 certificates" }
}

fn certificates(pem: &[u8], key: &'static str) -> Result<Vec<CertificateDer<'static>>, GivenError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| not_certificates(key))
}

/// Tells what the Secret of that name holds, and `None` while there is none, until `shutdown`. Needs `list` and `watch`
/// on that Secret.
pub async fn watch_given(
    secrets: Api<Secret>,
    name: &str,
    given: watch::Sender<Option<SecretData>>,
    shutdown: CancellationToken,
) {
    let watching = async {
        let mut objects = pin!(watcher::watch_object(secrets, name).default_backoff());
        while let Some(event) = objects.next().await {
            match event {
                Ok(object) => {
                    if object.is_none() {
                        tracing::info!(
                            secret = name,
                            "no certificate for the webhook is given yet: its own is served"
                        );
                    }
                    let data = object.and_then(|secret| secret.data).map(|data| {
                        data.into_iter().map(|(key, value)| (key, value.0)).collect::<SecretData>()
                    });
                    given.send_if_modified(|given| std::mem::replace(given, data.clone()) != data);
                }
                Err(error) => {
                    tracing::warn!(%error, secret = name, "cannot watch the Secret of the webhook's certificate");
                }
            }
        }
    };
    shutdown.run_until_cancelled(watching).await;
}
