//! The operator's certificates at work: kept in a Secret that replicas share, served by the hub and the
//! webhook, replaced in time, and told to the API server.
//!
//! Only the authorities are stored. Each process makes leaves of its own, which no one else needs to know.

mod ca_bundle;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::pki::{Authorities, AuthoritiesError, Authority, Leaf, PkiError};

pub use ca_bundle::keep_ca_bundle;
pub use store::load_or_create;

/// For one call to the API server; kube has no timeout of its own.
const API_TIMEOUT: Duration = Duration::from_secs(10);
/// How often leaves are looked at. By the wall clock each time, so that a clock that was set is noticed.
const RENEWAL_INTERVAL: Duration = Duration::from_hours(1);
const WEBHOOK_ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Why there are no certificates to serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// The API server did not give or take the Secret.
    #[error("cannot {action} Secret {secret}")]
    Api {
        /// `read` or `create`.
        action: &'static str,
        /// Its name.
        secret: String,
        /// What kube says.
        #[source]
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("cannot {action} Secret {secret}: the API server did not answer within {API_TIMEOUT:?}")]
    Timeout {
        /// `read` or `create`.
        action: &'static str,
        /// Its name.
        secret: String,
    },
    /// The Secret vanished between being refused as existing and being read.
    #[error("Secret {secret} existed and is gone: something else deletes it")]
    Vanished {
        /// Its name.
        secret: String,
    },
    /// The Secret does not hold the authorities.
    #[error("Secret {secret} cannot be used")]
    Data {
        /// Its name.
        secret: String,
        /// Which key, why, and what to do.
        #[source]
        source: AuthoritiesError,
    },
    /// A certificate cannot be made.
    #[error("cannot make certificates")]
    Pki(#[source] PkiError),
    /// The TLS library refuses a certificate.
    #[error("cannot serve the certificate of {name}")]
    Tls {
        /// Its first name.
        name: String,
        /// What the library says.
        #[source]
        source: rustls::Error,
    },
}

/// The Services that certificates are for.
#[derive(Clone, Debug)]
pub struct Services<'a> {
    /// The operator's namespace.
    pub namespace: &'a str,
    /// The hub's Service.
    pub hub: &'a str,
    /// The webhook's Service.
    pub webhook: &'a str,
}

/// What is served, and what it is signed by.
pub struct Certificates {
    authorities: Authorities,
    hub: Served,
    webhook: Served,
}

/// Makes a server's TLS of its chain and key.
type Configure =
    fn(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error>;

/// One server's certificate.
struct Served {
    names: Vec<String>,
    configure: Configure,
    leaf: Leaf,
    tls: Arc<ArcSwap<ServerConfig>>,
}

impl Certificates {
    /// Issues a leaf for each server.
    pub fn issue(
        authorities: Authorities,
        services: &Services<'_>,
        now: Timestamp,
    ) -> Result<Self, CertificatesError> {
        let names = |service: &str| {
            let name = format!("{service}.{}.svc", services.namespace);
            vec![name.clone(), format!("{name}.cluster.local")]
        };
        let hub =
            Served::issue(&authorities.hub_root, names(services.hub), peerwalk_hub::server_config, now)?;
        let webhook = Served::issue(&authorities.webhook_ca, names(services.webhook), webhook_config, now)?;
        Ok(Self { authorities, hub, webhook })
    }

    /// The hub's TLS (1.3 only, HTTP/2), renewed in place by [`Self::keep_renewed`].
    pub fn hub_tls(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.hub.tls)
    }

    /// The webhook's TLS (HTTP/2 and HTTP/1.1), renewed in place by [`Self::keep_renewed`].
    pub fn webhook_tls(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.webhook.tls)
    }

    /// What sidecars verify the hub by, PEM.
    pub fn hub_root_pem(&self) -> &str {
        self.authorities.hub_root.certificate_pem()
    }

    /// What the API server verifies the webhook by, PEM.
    pub fn webhook_ca_pem(&self) -> &str {
        self.authorities.webhook_ca.certificate_pem()
    }

    /// Replaces leaves in time until `shutdown`. New connections take new leaves; open ones stay.
    pub async fn keep_renewed(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(RENEWAL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.renew_due(Timestamp::now()) {
                Ok(0) => {}
                Ok(renewed) => tracing::info!(renewed, "serving certificates renewed"),
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::error!(error, "serving certificates not renewed; the next try is in an hour");
                }
            }
        }
    }

    /// Replaces the leaves that are due, and says how many were.
    fn renew_due(&mut self, now: Timestamp) -> Result<usize, CertificatesError> {
        let hub = self.hub.renew_if_due(&self.authorities.hub_root, now)?;
        let webhook = self.webhook.renew_if_due(&self.authorities.webhook_ca, now)?;
        Ok(usize::from(hub) + usize::from(webhook))
    }
}

impl Served {
    fn issue(
        authority: &Authority,
        names: Vec<String>,
        configure: Configure,
        now: Timestamp,
    ) -> Result<Self, CertificatesError> {
        let leaf = authority.issue(&names, now).map_err(CertificatesError::Pki)?;
        let tls = Arc::new(ArcSwap::from_pointee(serve(configure, &names, &leaf)?));
        Ok(Self { names, configure, leaf, tls })
    }

    fn renew_if_due(&mut self, authority: &Authority, now: Timestamp) -> Result<bool, CertificatesError> {
        if !self.leaf.needs_renewal(now) {
            return Ok(false);
        }
        let leaf = authority.issue(&self.names, now).map_err(CertificatesError::Pki)?;
        self.tls.store(Arc::new(serve(self.configure, &self.names, &leaf)?));
        self.leaf = leaf;
        Ok(true)
    }
}

fn serve(configure: Configure, names: &[String], leaf: &Leaf) -> Result<ServerConfig, CertificatesError> {
    configure(vec![leaf.certificate().clone()], leaf.key())
        .map_err(|source| CertificatesError::Tls { name: names.first().cloned().unwrap_or_default(), source })
}

/// The webhook's TLS. The other end is an API server of any age, so TLS 1.2 is served as well.
fn webhook_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = WEBHOOK_ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}
