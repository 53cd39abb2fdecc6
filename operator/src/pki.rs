//! Certificates: authorities that last, leaves that do not. Pure but for the randomness of keys; `now` is
//! an argument.
//!
//! Two authorities, because they end differently: every injected pod carries the hub's root for as long
//! as it lives, while only the API server knows the webhook's CA and can be told a new one at any time.

mod authorities;
mod rotation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use peerwalk_webhook::HubRoot;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub use authorities::{Authorities, AuthoritiesError, SecretData};
pub use rotation::{Asked, Situation, Step, TOLD_FOR, revive, step};

/// Longer than pods and clusters usually live.
const AUTHORITY_LIFE: Duration = Duration::from_hours(24 * 365 * 10);
/// How long a leaf is valid from when it is made.
const LEAF_LIFE: Duration = Duration::from_hours(24 * 30);
/// When a leaf is replaced: two thirds of its life.
const LEAF_RENEWAL: Duration = Duration::from_hours(24 * 20);
/// How far validity begins in the past, for nodes whose clock is behind.
const BACKDATED: Duration = Duration::from_hours(24);

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Making the key or signing failed.
    #[error("cannot make a certificate for {name}")]
    Make {
        /// Who it is for.
        name: String,
        /// What the library says.
        #[source]
        source: rcgen::Error,
    },
    /// An authority that has ended signs nothing that would be accepted.
    #[error(
        "the authority {name} has expired at {not_after}: it has to be replaced, and with it what trusts it"
    )]
    Expired {
        /// Which authority.
        name: String,
        /// When it ended.
        not_after: Timestamp,
    },
    /// What was just made does not read back.
    #[error("the certificate made for {name} cannot be used")]
    Unusable {
        /// Who it is for.
        name: String,
        /// What is wrong with it.
        #[source]
        source: PairError,
    },
}

/// Why a certificate and a key are not an authority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PairError {
    /// The certificate cannot be read.
    #[error("the certificate is not PEM of an X.509 certificate")]
    Certificate,
    /// The certificate is a leaf.
    #[error("the certificate is not one of an authority (basicConstraints CA:TRUE is missing)")]
    NotAuthority,
    /// The key cannot be read.
    #[error("the key is not PEM of a PKCS #8 private key")]
    Key,
    /// They do not belong together.
    #[error("the key is not the one of the certificate")]
    Mismatch,
}

/// A certificate that signs others, with its key. ECDSA P-256.
pub struct Authority {
    name: String,
    common_name: String,
    certificate_pem: String,
    fingerprint: String,
    not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a self-signed authority of that common name, valid for ten years.
    pub fn create(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Make { name: name.to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        set_validity(&mut params, before(now, BACKDATED), after(now, AUTHORITY_LIFE));
        // One authority below it: the next one, when it vouches for that.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Self::parse(&certificate.pem(), &key.serialize_pem())
            .map_err(|source| PkiError::Unusable { name: name.to_owned(), source })
    }

    /// Takes a certificate and its PKCS #8 key, both PEM.
    pub fn parse(certificate_pem: &str, key_pem: &str) -> Result<Self, PairError> {
        let der =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| PairError::Certificate)?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| PairError::Certificate)?;
        if !certificate.is_ca() {
            return Err(PairError::NotAuthority);
        }
        let key = KeyPair::from_pem(key_pem).map_err(|_| PairError::Key)?;
        if certificate.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(PairError::Mismatch);
        }
        let mut names = certificate.subject().iter_common_name();
        let common_name = names.next().and_then(|name| name.as_str().ok()).unwrap_or_default();
        let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp())
            .map_err(|_| PairError::Certificate)?;
        Ok(Self {
            name: certificate.subject().to_string(),
            common_name: common_name.to_owned(),
            certificate_pem: certificate_pem.to_owned(),
            fingerprint: fingerprint(certificate_pem)?,
            not_after,
            issuer: Issuer::from_ca_cert_der(&der, key).map_err(|_| PairError::Certificate)?,
        })
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS #8 PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What pods that were injected under it carry: [`HubRoot::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Vouches for another authority: its name and key, signed by this one. Whoever trusts this one then trusts what
    /// the other signs, until this one ends.
    pub fn vouch(&self, other: &Self, now: Timestamp) -> Result<CertificateDer<'static>, PkiError> {
        self.still_valid(now)?;
        let failed = |source| PkiError::Make { name: other.name.clone(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&other.common_name);
        set_validity(&mut params, before(now, BACKDATED), self.not_after);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(other.issuer.key(), &self.issuer).map_err(failed)?;
        Ok(certificate.der().clone())
    }

    fn still_valid(&self, now: Timestamp) -> Result<(), PkiError> {
        if now >= self.not_after {
            return Err(PkiError::Expired { name: self.name.clone(), not_after: self.not_after });
        }
        Ok(())
    }

    /// Makes a serving certificate, with a key of its own, for these DNS names: valid for 30 days, or
    /// until the authority ends.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<Leaf, PkiError> {
        self.still_valid(now)?;
        let label = names.first().cloned().unwrap_or_default();
        let failed = |source| PkiError::Make { name: label.clone(), source };
        let not_before = before(now, BACKDATED);
        let not_after = after(now, LEAF_LIFE).min(self.not_after);

        let mut params = CertificateParams::new(names).map_err(failed)?;
        // Verifiers read the alternative names; a common name is at most 64 characters (RFC 5280).
        params.distinguished_name = DistinguishedName::new();
        set_validity(&mut params, not_before, not_after);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key),
            not_before,
            renew_at: after(now, LEAF_RENEWAL).min(not_after),
        })
    }
}

/// A serving certificate with its key.
pub struct Leaf {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    not_before: Timestamp,
    renew_at: Timestamp,
}

impl Leaf {
    /// Whether to replace it: from two thirds of its life on, and when the clock has gone back to before
    /// its beginning.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        now < self.not_before || now >= self.renew_at
    }

    /// The certificate alone, without what leads from it to an authority.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

fn fingerprint(certificate_pem: &str) -> Result<String, PairError> {
    let root = HubRoot::parse(certificate_pem).map_err(|_| PairError::Certificate)?;
    Ok(root.fingerprint().to_owned())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, not_before: Timestamp, not_after: Timestamp) {
    // A clock before 1970 makes certificates that begin then.
    let x509 = |at: Timestamp| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
    };
    params.not_before = x509(not_before);
    params.not_after = x509(not_after);
}

/// Bounded by the last moment there is; only calendar units could fail, and a `Duration` has none.
fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_sub(by).unwrap_or(at)
}
