//! The operator's authorities, and how a Secret holds them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Authority, PairError, PkiError, fingerprint};

/// The `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

const HUB_ROOT: &str = "hub-root";
/// Followed by the fingerprint.
const OLD_HUB_ROOT: &str = "hub-root-old-";
const WEBHOOK_CA: &str = "webhook-ca";
const NEXT_WEBHOOK_CA: &str = "webhook-ca-next";
const OLD_WEBHOOK_CA: &str = "webhook-ca-old.crt";

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
        name: String,
        /// What is wrong.
        #[source]
        source: PairError,
    },
}

/// Nothing damaged is replaced by itself: injected pods trust the hub's root, and another one costs their reports
/// until they are restarted.
const REMEDY: &str = "restore the Secret from a backup, or scale the operator to zero, delete the Secret, scale it up \
                      again and then restart the injected workloads";

/// What sidecars and what the API server verify the operator by.
pub struct Authorities {
    /// Signs the hub's certificate. Injected into every new pod.
    pub hub_root: Authority,
    /// Roots before it, which vouch for it to the pods that were injected under them.
    pub old_hub_roots: Vec<Authority>,
    /// Signs the webhook's certificate. Told to the API server as `caBundle`.
    pub webhook_ca: Authority,
    /// Takes the place of the webhook's CA once the API server has been told of it.
    pub next_webhook_ca: Option<Authority>,
    /// The certificate, PEM, of the webhook's CA before this one, which others may still serve by.
    pub old_webhook_ca: Option<String>,
}

impl Authorities {
    /// Makes both.
    pub fn create(now: Timestamp) -> Result<Self, PkiError> {
        Ok(Self {
            hub_root: new_hub_root(now)?,
            old_hub_roots: Vec::new(),
            webhook_ca: new_webhook_ca(now)?,
            next_webhook_ca: None,
            old_webhook_ca: None,
        })
    }

    /// The fingerprints of the roots by which the hub can be verified.
    pub fn hub_fingerprints(&self) -> BTreeSet<String> {
        let all = [&self.hub_root].into_iter().chain(&self.old_hub_roots);
        all.map(|root| root.fingerprint().to_owned()).collect()
    }

    /// What the API server is to verify the webhook by, PEM: the CA in use, and the ones that come and go.
    pub fn webhook_bundle(&self) -> String {
        let next = self.next_webhook_ca.as_ref().map(Authority::certificate_pem);
        let all = [Some(self.webhook_ca.certificate_pem()), next, self.old_webhook_ca.as_deref()];
        let lines = all.into_iter().flatten().map(|pem| format!("{}\n", pem.trim_end()));
        lines.collect()
    }

    /// As the data of a Secret: `hub-root.crt`, `hub-root.key`, `webhook-ca.crt`, `webhook-ca.key`; while something
    /// rotates also `hub-root-old-<fingerprint>` and `webhook-ca-next`, of which each has both, and
    /// `webhook-ca-old.crt`.
    pub fn to_data(&self) -> SecretData {
        let old = self.old_hub_roots.iter().map(|root| (old_name(root), root));
        let next = self.next_webhook_ca.iter().map(|next| (NEXT_WEBHOOK_CA.to_owned(), next));
        let pairs = [(HUB_ROOT.to_owned(), &self.hub_root), (WEBHOOK_CA.to_owned(), &self.webhook_ca)];
        let pairs = pairs.into_iter().chain(old).chain(next);
        let mut data: SecretData = pairs
            .flat_map(|(name, authority)| {
                [
                    (format!("{name}.crt"), authority.certificate_pem().as_bytes().to_vec()),
                    (format!("{name}.key"), authority.key_pem().into_bytes()),
                ]
            })
            .collect();
        let old = self.old_webhook_ca.as_ref();
        data.extend(old.map(|pem| (OLD_WEBHOOK_CA.to_owned(), pem.as_bytes().to_vec())));
        data
    }

    /// From the data of a Secret. Other keys are left alone.
    pub fn from_data(data: &SecretData) -> Result<Self, AuthoritiesError> {
        let old = data.keys().filter_map(|key| key.strip_suffix(".crt"));
        let old = old.filter(|name| name.starts_with(OLD_HUB_ROOT)).map(|name| pair(data, name));
        let has = |name: &str| data.keys().any(|key| key.strip_prefix(name).is_some_and(is_part));
        let old_webhook_ca = data.contains_key(OLD_WEBHOOK_CA).then(|| certificate(data, OLD_WEBHOOK_CA));
        Ok(Self {
            hub_root: pair(data, HUB_ROOT)?,
            old_hub_roots: old.collect::<Result<_, _>>()?,
            webhook_ca: pair(data, WEBHOOK_CA)?,
            next_webhook_ca: has(NEXT_WEBHOOK_CA).then(|| pair(data, NEXT_WEBHOOK_CA)).transpose()?,
            old_webhook_ca: old_webhook_ca.transpose()?,
        })
    }

    /// Whether a key of a Secret is one of ours, there or not.
    pub fn owns(key: &str) -> bool {
        let names = [HUB_ROOT, WEBHOOK_CA, NEXT_WEBHOOK_CA];
        let plain = names.iter().any(|name| key.strip_prefix(name).is_some_and(is_part));
        plain || key == OLD_WEBHOOK_CA || key.starts_with(OLD_HUB_ROOT)
    }
}

/// A root for the hub.
pub(super) fn new_hub_root(now: Timestamp) -> Result<Authority, PkiError> {
    Authority::create("Peerwalk hub root", now)
}

/// A CA for the webhook.
pub(super) fn new_webhook_ca(now: Timestamp) -> Result<Authority, PkiError> {
    Authority::create("Peerwalk webhook CA", now)
}

fn old_name(root: &Authority) -> String {
    format!("{OLD_HUB_ROOT}{}", root.fingerprint())
}

fn is_part(rest: &str) -> bool {
    rest == ".crt" || rest == ".key"
}

fn pair(data: &SecretData, name: &str) -> Result<Authority, AuthoritiesError> {
    let certificate = text(data, format!("{name}.crt"))?;
    let key = text(data, format!("{name}.key"))?;
    Authority::parse(certificate, key)
        .map_err(|source| AuthoritiesError::Pair { name: name.to_owned(), source })
}

/// A certificate without a key.
fn certificate(data: &SecretData, key: &str) -> Result<String, AuthoritiesError> {
    let pem = text(data, key.to_owned())?;
    fingerprint(pem).map_err(|_| AuthoritiesError::NotText { key: key.to_owned() })?;
    Ok(pem.to_owned())
}

fn text(data: &SecretData, key: String) -> Result<&str, AuthoritiesError> {
    let Some(bytes) = data.get(&key) else { return Err(AuthoritiesError::Missing { key }) };
    std::str::from_utf8(bytes).map_err(|_| AuthoritiesError::NotText { key })
}
