//! What is injected, as configured. Checked when it is made: the API server refuses a pod whose patched
//! form is invalid whatever the webhook's `failurePolicy`, so a wrong quantity here would stop every
//! opted-in pod from being created.

pub(crate) mod amount;
mod resources;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

pub use resources::{ContainerResources, Quantity, Resource, ResourceList};

/// Why a configuration cannot be used. Each names the field, the value and the remedy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The image reference is empty or holds white space.
    #[error("image {0:?} is not an image reference: use registry/name:tag or registry/name@sha256:digest")]
    Image(String),
    /// Not one of the pull policies of the Pod API.
    #[error("pullPolicy {0:?} is unknown: use Always, IfNotPresent or Never")]
    PullPolicy(String),
    /// Not a quantity, or one that is zero.
    #[error("{resource} {value:?} is not a usable quantity: use {}", .resource.example())]
    Quantity {
        /// Which resource it is for.
        resource: Resource,
        /// As it was given.
        value: String,
    },
    /// The API server refuses containers whose request is above the limit.
    #[error("{resource} request {request} is above the limit {limit}: raise the limit or lower the request")]
    RequestAboveLimit {
        /// Which resource it is for.
        resource: Resource,
        /// The request, as given.
        request: String,
        /// The limit, as given.
        limit: String,
    },
    /// The hub's root holds no certificate.
    #[error("the hub's root is not a PEM certificate: it has to hold a BEGIN CERTIFICATE block")]
    HubRoot,
}

/// Everything the injected container is made of that does not come from the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectConfig {
    image: String,
    /// When the kubelet pulls the image.
    pub pull_policy: PullPolicy,
    /// Secrets, of the pods' own namespaces, with which the kubelet may pull it.
    pub pull_secrets: Vec<String>,
    /// The name sidecars dial and verify, with the port: `<service>.<namespace>.svc:9443`.
    pub hub: String,
    /// The ClusterIP and port of the same Service, so that denied DNS alone does not lose the report.
    pub hub_address: Option<SocketAddr>,
    /// What sidecars trust the hub by.
    pub hub_root: HubRoot,
    /// Where the operator runs. Pods there are never injected.
    pub operator_namespace: String,
    /// What the container asks for and may use.
    pub resources: ContainerResources,
}

impl InjectConfig {
    /// A configuration with `IfNotPresent`, the default resources and no hub address.
    pub fn new(
        image: impl Into<String>,
        hub: impl Into<String>,
        hub_root: HubRoot,
        operator_namespace: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let image = image.into();
        if image.is_empty() || image.contains(char::is_whitespace) {
            return Err(ConfigError::Image(image));
        }
        Ok(Self {
            image,
            pull_policy: PullPolicy::IfNotPresent,
            pull_secrets: Vec::new(),
            hub: hub.into(),
            hub_address: None,
            hub_root,
            operator_namespace: operator_namespace.into(),
            resources: ContainerResources::default(),
        })
    }

    /// The sidecar's image reference.
    pub fn image(&self) -> &str {
        &self.image
    }
}

/// `imagePullPolicy` of the Pod API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry at each start.
    Always,
    /// Use the node's copy when there is one.
    IfNotPresent,
    /// Only the node's copy.
    Never,
}

impl PullPolicy {
    /// As the Pod API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl FromStr for PullPolicy {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| ConfigError::PullPolicy(text.to_owned()))
    }
}

/// The certificate, or certificates, sidecars trust the hub by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubRoot {
    pem: String,
    fingerprint: String,
}

impl HubRoot {
    /// Takes PEM with at least one certificate.
    pub fn parse(pem: &str) -> Result<Self, ConfigError> {
        let mut hash = Sha256::new();
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            hash.update(certificate.map_err(|_| ConfigError::HubRoot)?.as_ref());
            found = true;
        }
        if !found {
            return Err(ConfigError::HubRoot);
        }
        let head = hash.finalize().iter().take(8).fold(0_u64, |head, byte| (head << 8) | u64::from(*byte));
        Ok(Self { pem: pem.to_owned(), fingerprint: format!("{head:016x}") })
    }

    /// The PEM, as it was given.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the certificate's DER form: what
    /// `openssl x509 -fingerprint -sha256` begins with. Pods carry it as an annotation, which tells
    /// which root they were injected under.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}
