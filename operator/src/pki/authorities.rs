//! The operator's two authorities, and how a Secret holds them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Authority, PairError, PkiError};

/// The `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

const HUB_ROOT: &str = "hub-root";
const WEBHOOK_CA: &str = "webhook-ca";

/// Why a Secret's data are not the authorities. Each names the key and the remedy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuthoritiesError {
    /// A key of the data is not there.
    #[error("key {key} is missing: {REMEDY}")]
    Missing {
        /// The key.
        key: String,
    },
    /// A key's value is not text.
    #[error("key {key} is not PEM text: {REMEDY}")]
    NotText {
        /// The key.
        key: String,
    },
    /// A certificate and its key are no authority.
    #[error("keys {name}.crt and {name}.key are not an authority: {REMEDY}")]
    Pair {
        /// What their names have in common.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: PairError,
    },
}

/// Nothing is replaced by itself: injected pods trust the hub's root, and a new one costs their reports
/// until they are restarted.
const REMEDY: &str = "restore the Secret from a backup, or delete it, restart the operator and then the \
                      injected workloads";

/// What sidecars and what the API server verify the operator by.
pub struct Authorities {
    /// Signs the hub's certificate. Injected into every pod.
    pub hub_root: Authority,
    /// Signs the webhook's certificate. Told to the API server as `caBundle`.
    pub webhook_ca: Authority,
}

impl Authorities {
    /// Makes both.
    pub fn create(now: Timestamp) -> Result<Self, PkiError> {
        Ok(Self {
            hub_root: Authority::create("Peerwalk hub root", now)?,
            webhook_ca: Authority::create("Peerwalk webhook CA", now)?,
        })
    }

    /// As the data of a Secret: `hub-root.crt`, `hub-root.key`, `webhook-ca.crt`, `webhook-ca.key`.
    pub fn to_data(&self) -> SecretData {
        let pairs = [(HUB_ROOT, &self.hub_root), (WEBHOOK_CA, &self.webhook_ca)];
        pairs
            .into_iter()
            .flat_map(|(name, authority)| {
                [
                    (format!("{name}.crt"), authority.certificate_pem().as_bytes().to_vec()),
                    (format!("{name}.key"), authority.key_pem().into_bytes()),
                ]
            })
            .collect()
    }

    /// From the data of a Secret. Other keys are left alone.
    pub fn from_data(data: &SecretData) -> Result<Self, AuthoritiesError> {
        Ok(Self { hub_root: pair(data, HUB_ROOT)?, webhook_ca: pair(data, WEBHOOK_CA)? })
    }
}

fn pair(data: &SecretData, name: &'static str) -> Result<Authority, AuthoritiesError> {
    let certificate = text(data, format!("{name}.crt"))?;
    let key = text(data, format!("{name}.key"))?;
    Authority::parse(certificate, key).map_err(|source| AuthoritiesError::Pair { name, source })
}

fn text(data: &SecretData, key: String) -> Result<&str, AuthoritiesError> {
    let Some(bytes) = data.get(&key) else { return Err(AuthoritiesError::Missing { key }) };
    std::str::from_utf8(bytes).map_err(|_| AuthoritiesError::NotText { key })
}
