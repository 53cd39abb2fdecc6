//! The hub of a case: the real one, with an authenticator that believes what tokens say.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use peerwalk_hub::{AuthError, Authenticator, Config, Hub, HubEvent, HubHandle, server_config};
use peerwalk_model::{PodRef, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::lab::{At, Lab};

/// The name that its certificate is for.
pub(super) const NAME: &str = "peerwalk-hub.peerwalk-system.svc";
/// Where it listens, and its Service too.
pub(super) const PORT: u16 = 9443;
/// As the operator has it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A hub at work; it ends with this.
pub(super) struct Serving {
    pub(super) handle: HubHandle,
    pub(super) events: mpsc::Receiver<HubEvent>,
    /// What signed its certificate, PEM.
    pub(super) root: String,
    shutdown: CancellationToken,
}

/// Takes `NAMESPACE/NAME/UID` for the token of that pod.
struct Names;

impl Authenticator for Names {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodRef, AuthError>> {
        let mut parts = token.trim().split('/').map(str::to_owned);
        let pod = match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(name), Some(uid)) => Ok(PodRef { namespace, name, uid }),
            _ => Err(AuthError::Invalid("it names no pod".to_owned())),
        };
        Box::pin(std::future::ready(pod))
    }

    fn knows(&self, _pod: &PodRef) -> bool {
        true
    }
}

impl Serving {
    /// Begins to listen in the node's namespace, at an address of its own.
    pub(super) fn start(lab: &Lab, address: SocketAddr) -> Result<Self> {
        let listener = lab.within(At::Node, || TcpListener::bind(address))?;
        let listener = listener.with_context(|| format!("the hub cannot listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (root, tls) = certificates().context("no certificate for the hub")?;
        let config = Config { heartbeat_interval: HEARTBEAT, ..Config::new(now) };
        let (hub, events) = Hub::new(config, Arc::new(Names));
        let (handle, shutdown) = (hub.handle(), CancellationToken::new());
        tokio::spawn(hub.serve(listener, Arc::new(ArcSwap::from_pointee(tls)), shutdown.clone()));
        Ok(Self { handle, events, root, shutdown })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A root, and a configuration with a certificate of it.
fn certificates() -> Result<(String, rustls::ServerConfig)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &root)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow::anyhow!(error))?;
    Ok((root.pem(), server_config(vec![leaf.der().clone()], key)?))
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
