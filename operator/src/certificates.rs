//! The operator's certificates at work: kept in a Secret that replicas share, served by the hub and the
//! webhook, replaced in time, and told to the API server.
//!
//! Only the authorities are stored. Each process makes leaves of its own, which no one else needs to know, and what
//! leads from them to old roots.

mod ca_bundle;
mod given;
mod keep;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::pki::{Authorities, AuthoritiesError, Authority, Leaf, PkiError, SecretData};
use given::{Given, GivenError};

pub use ca_bundle::{Bundle, keep_ca_bundle};
pub use given::watch_given;
pub use keep::Keeping;
pub use store::load_or_create;

/// For one call to the API server; kube has no timeout of its own.
const API_TIMEOUT: Duration = Duration::from_secs(10);
const WEBHOOK_ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Why there are no certificates to serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// The API server did not give or take the Secret.
    #[error("cannot {action} Secret {secret}")]
    Api {
        /// `read`, `create` or `replace`.
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
        /// `read`, `create` or `replace`.
        action: &'static str,
        /// Its name.
        secret: String,
    },
    /// Somebody else changes the Secret each time.
    #[error("Secret {secret} is changed by something else all the time")]
    Contended {
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

/// What others are to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// What new pods verify the hub by, PEM.
    pub hub_root: String,
    /// The fingerprints of all roots by which pods can verify it.
    pub hub_fingerprints: BTreeSet<String>,
    /// What the API server verifies the webhook by, PEM.
    pub webhook_bundle: String,
    /// The authority of it that signs what this replica serves from its start on, PEM: with this alone the API server
    /// can call it.
    pub webhook_ca: String,
}

/// What is served, and what it is signed by.
pub struct Certificates {
    authorities: Authorities,
    hub: Served,
    webhook: Served,
    /// Somebody else's certificate for the webhook.
    given: Option<Given>,
    trusted: watch::Sender<Trusted>,
}

/// Makes a server's TLS of its chain and key.
type Configure =
    fn(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error>;

/// One server's certificate.
struct Served {
    names: Vec<String>,
    configure: Configure,
    leaf: Leaf,
    own: Arc<ServerConfig>,
    /// What is served instead of its own.
    instead: Option<Arc<ServerConfig>>,
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
        let (hub, webhook) = (names(services.hub), names(services.webhook));
        let hub = Served::issue(Signer::of_hub(&authorities), hub, peerwalk_hub::server_config, now)?;
        let webhook = Served::issue(Signer::of_webhook(&authorities), webhook, webhook_config, now)?;
        let trusted = watch::Sender::new(trusted(&authorities, None));
        Ok(Self { authorities, hub, webhook, given: None, trusted })
    }

    /// The hub's TLS (1.3 only, HTTP/2), renewed in place by [`Self::keep`].
    pub fn hub_tls(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.hub.tls)
    }

    /// The webhook's TLS (HTTP/2 and HTTP/1.1), renewed in place by [`Self::keep`].
    pub fn webhook_tls(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.webhook.tls)
    }

    /// What others are to trust, from now on.
    pub fn trusted(&self) -> watch::Receiver<Trusted> {
        self.trusted.subscribe()
    }

    /// Serves by other authorities from now on. On an error everything stays as it is.
    fn adopt(&mut self, authorities: Authorities, now: Timestamp) -> Result<(), CertificatesError> {
        let hub = self.hub.prepare(Signer::of_hub(&authorities), now)?;
        let webhook = self.webhook.prepare(Signer::of_webhook(&authorities), now)?;
        self.hub.take(hub);
        self.webhook.take(webhook);
        self.authorities = authorities;
        self.trust();
        Ok(())
    }

    /// Tells what others are to trust, where that has changed.
    fn trust(&self) {
        let now = trusted(&self.authorities, self.given.as_ref());
        self.trusted.send_if_modified(|trusted| std::mem::replace(trusted, now.clone()) != now);
    }

    /// What the API server is to verify the webhook by, PEM.
    fn bundle(&self) -> String {
        self.trusted.borrow().webhook_bundle.clone()
    }

    /// Takes a certificate for the webhook that somebody else has made; `None` is that there is none. It is not served
    /// yet. What cannot be used is not taken, and what was taken before stays.
    fn offer(&mut self, data: Option<&SecretData>, now: Timestamp) -> Result<(), GivenError> {
        let given = data.map(|data| Given::parse(data, self.webhook.configure)).transpose()?;
        if let Some(given) = &given {
            given.verify(self.webhook.name(), now)?;
        }
        self.given = given;
        self.trust();
        Ok(())
    }

    /// Serves the certificate that was given while it is good and the API server has been told what verifies it, and
    /// otherwise the webhook's own. Says which, when that has changed.
    fn choose(&mut self, told: bool, now: Timestamp) -> Option<&'static str> {
        let good = |given: &&Given| told && given.verify(self.webhook.name(), now).is_ok();
        let instead = self.given.as_ref().filter(good).map(|given| Arc::clone(&given.config));
        let before = std::mem::replace(&mut self.webhook.instead, instead);
        self.webhook.show();
        match (before.is_some(), self.webhook.instead.is_some()) {
            (false, true) => Some("the one that was given"),
            (true, false) => Some("the operator's own"),
            _ => None,
        }
    }

    /// Replaces the leaves that are due, and says how many were. New connections take new leaves; open ones stay.
    fn renew_due(&mut self, now: Timestamp) -> Result<usize, CertificatesError> {
        let hub = self.hub.renew_if_due(Signer::of_hub(&self.authorities), now)?;
        let webhook = self.webhook.renew_if_due(Signer::of_webhook(&self.authorities), now)?;
        Ok(usize::from(hub) + usize::from(webhook))
    }
}

fn trusted(authorities: &Authorities, given: Option<&Given>) -> Trusted {
    Trusted {
        hub_root: authorities.hub_root.certificate_pem().to_owned(),
        hub_fingerprints: authorities.hub_fingerprints(),
        webhook_bundle: authorities.webhook_bundle() + given.map_or("", Given::ca),
        webhook_ca: authorities.webhook_ca.certificate_pem().to_owned(),
    }
}

/// Who signs a leaf, and who vouches for that.
#[derive(Clone, Copy)]
struct Signer<'a> {
    authority: &'a Authority,
    old: &'a [Authority],
}

impl<'a> Signer<'a> {
    fn of_hub(authorities: &'a Authorities) -> Self {
        Self { authority: &authorities.hub_root, old: &authorities.old_hub_roots }
    }

    /// The API server is told of each CA: none needs to vouch for another.
    fn of_webhook(authorities: &'a Authorities) -> Self {
        Self { authority: &authorities.webhook_ca, old: &[] }
    }

    /// What is sent after the leaf: the word of each old root that has not ended.
    fn between(&self, now: Timestamp) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        let valid = self.old.iter().filter(|old| now < old.not_after());
        valid.map(|old| old.vouch(self.authority, now)).collect()
    }
}

impl Served {
    fn issue(
        signer: Signer<'_>,
        names: Vec<String>,
        configure: Configure,
        now: Timestamp,
    ) -> Result<Self, CertificatesError> {
        let (leaf, tls) = serve(signer, &names, configure, now)?;
        let own = Arc::new(tls);
        let tls = Arc::new(ArcSwap::new(Arc::clone(&own)));
        Ok(Self { names, configure, leaf, own, instead: None, tls })
    }

    fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    fn prepare(&self, signer: Signer<'_>, now: Timestamp) -> Result<(Leaf, ServerConfig), CertificatesError> {
        serve(signer, &self.names, self.configure, now)
    }

    fn take(&mut self, (leaf, tls): (Leaf, ServerConfig)) {
        self.own = Arc::new(tls);
        self.leaf = leaf;
        self.show();
    }

    fn show(&self) {
        self.tls.store(Arc::clone(self.instead.as_ref().unwrap_or(&self.own)));
    }

    fn renew_if_due(&mut self, signer: Signer<'_>, now: Timestamp) -> Result<bool, CertificatesError> {
        if !self.leaf.needs_renewal(now) {
            return Ok(false);
        }
        let renewed = self.prepare(signer, now)?;
        self.take(renewed);
        Ok(true)
    }
}

fn serve(
    signer: Signer<'_>,
    names: &[String],
    configure: Configure,
    now: Timestamp,
) -> Result<(Leaf, ServerConfig), CertificatesError> {
    let leaf = signer.authority.issue(names, now).map_err(CertificatesError::Pki)?;
    let mut chain = vec![leaf.certificate().clone()];
    chain.extend(signer.between(now).map_err(CertificatesError::Pki)?);
    let failed = |source| CertificatesError::Tls { name: names.first().cloned().unwrap_or_default(), source };
    let tls = configure(chain, leaf.key()).map_err(failed)?;
    Ok((leaf, tls))
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
