//! A connection to the hub: TCP, TLS with the one root that was injected, HTTP/2. Until the server is
//! verified nothing is sent, least of all the token.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use peerwalk_wire::grpc::HubClient;
use peerwalk_wire::limits;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use tracing::{debug, info};

use super::Chain;

/// Time for one TCP connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for one resolution of the hub's name.
const RESOLVE: Duration = Duration::from_secs(5);
/// Time for the TLS handshake, and for HTTP/2 after it.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The hub is asked for a sign of life this often, and has as long to give it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where the hub is, and how it is verified.
#[derive(Clone)]
pub struct HubAddress {
    /// The name its certificate is verified for.
    pub name: String,
    /// Its port, where the name is resolved.
    pub port: u16,
    /// Its Service's address, dialled first: denied DNS alone does not lose the report.
    pub address: Option<SocketAddr>,
    /// From [`client_config`].
    pub tls: Arc<ClientConfig>,
}

/// Why the injected root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It is not PEM.
    #[error("the hub's root is no PEM certificate")]
    Pem(#[source] PemError),
    /// It holds no certificate.
    #[error("the hub's root holds no certificate")]
    Empty,
    /// A certificate in it cannot be used.
    #[error("the hub's root cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// TLS 1.3 that trusts the certificates in `root_pem` and nothing else.
pub fn client_config(root_pem: &str) -> Result<ClientConfig, RootError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(certificate.map_err(RootError::Pem)?).map_err(RootError::Unusable)?;
    }
    if roots.is_empty() {
        return Err(RootError::Empty);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(RootError::Unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the hub's name {name} is no DNS name")]
    Name {
        name: String,
        #[source]
        source: InvalidDnsNameError,
    },
    #[error("{host} does not resolve")]
    Resolve {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("{address} does not accept the connection")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{address} is not our hub, or the handshake failed")]
    Tls {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{address} does not speak HTTP/2")]
    Http {
        address: SocketAddr,
        #[source]
        source: tonic::transport::Error,
    },
}

impl HubAddress {
    /// Opens a connection: to where a redirect points, else to the Service's address, else to what the name
    /// resolves to.
    pub(super) async fn open(&self, redirect: Option<String>) -> Result<HubClient<Channel>, DialError> {
        if let Some(host) = redirect {
            return self.first_of(resolve(&host).await?).await;
        }
        let by_name = format!("{}:{}", self.name, self.port);
        let Some(address) = self.address else {
            return self.first_of(resolve(&by_name).await?).await;
        };
        match self.open_at(address).await {
            Ok(client) => Ok(client),
            // Whoever answers there is not our hub; a name that resolves elsewhere may be.
            Err(first) => match resolve(&by_name).await {
                Ok(others) if others.iter().any(|other| *other != address) => {
                    info!(error = %Chain(&first), "the injected address fails, trying what the name resolves to");
                    self.first_of(others).await
                }
                Ok(_) => Err(first),
                Err(error) => {
                    debug!(error = %Chain(&error), "the hub's name does not help");
                    Err(first)
                }
            },
        }
    }

    async fn first_of(&self, addresses: Vec<SocketAddr>) -> Result<HubClient<Channel>, DialError> {
        let mut last = Err(DialError::Resolve {
            host: self.name.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, "no addresses"),
        });
        for address in addresses {
            last = self.open_at(address).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    async fn open_at(&self, address: SocketAddr) -> Result<HubClient<Channel>, DialError> {
        let connecting = timeout(CONNECT, TcpStream::connect(address)).await.unwrap_or_else(|_| timed_out());
        let stream = connecting.map_err(|source| DialError::Connect { address, source })?;
        // Small messages: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(self.name.clone())
            .map_err(|source| DialError::Name { name: self.name.clone(), source })?;
        let shaking = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let stream = timeout(HANDSHAKE, shaking)
            .await
            .unwrap_or_else(|_| timed_out())
            .map_err(|source| DialError::Tls { address, source })?;
        let http = |source| DialError::Http { address, source };
        // The transport is encrypted below: for tonic this is a plain connection.
        let endpoint = Endpoint::from_shared(format!("http://{}:{}", self.name, self.port)).map_err(http)?;
        // The connector is asked once; a channel that wants another connection is told that this one ended.
        let once = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
        let connector = service_fn(move |_| {
            let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(io.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        let channel = endpoint
            .connect_timeout(HANDSHAKE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
            .map_err(http)?;
        Ok(HubClient::new(channel).max_decoding_message_size(limits::HUB_FRAME_BYTES))
    }
}

/// Resolves `host:port` as any program in the pod would.
async fn resolve(host: &str) -> Result<Vec<SocketAddr>, DialError> {
    let resolving = async { lookup_host(host).await.map(Iterator::collect) };
    let resolved = timeout(RESOLVE, resolving).await.unwrap_or_else(|_| timed_out());
    resolved.map_err(|source| DialError::Resolve { host: host.to_owned(), source })
}

fn timed_out<T>() -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}
