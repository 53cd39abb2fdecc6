//! The TLS handshake. Verification is never off.

use std::io;
use std::sync::{Arc, OnceLock};

use peerwalk_model::evidence::{Request, Tls, TlsOutcome};
use peerwalk_model::plan::HttpRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::request::{Form, clamp, exchange, told_by_others};
use crate::url::TargetUrl;

/// Roots that cannot be used.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The text is no PEM.
    #[error("the given roots are no PEM certificates")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// A certificate cannot be a root.
    #[error("a given root is no certificate that can be trusted")]
    Certificate(#[source] rustls::Error),
    /// There is none.
    #[error("the given roots hold no certificate")]
    Empty,
}

/// A client configuration that trusts the given roots, or the built-in ones.
pub(crate) fn config(roots_pem: Option<&str>) -> Result<Arc<ClientConfig>, RootsError> {
    static BUILT_IN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let Some(pem) = roots_pem else {
        if let Some(config) = BUILT_IN.get() {
            return Ok(config.clone());
        }
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = with_roots(roots)?;
        return Ok(BUILT_IN.get_or_init(|| config).clone());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(RootsError::Pem)?).map_err(RootsError::Certificate)?;
    }
    if roots.is_empty() {
        return Err(RootsError::Empty);
    }
    with_roots(roots)
}

fn with_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, RootsError> {
    // The provider is named: a process-wide default may be missing, or not ours.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(RootsError::Certificate)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Shakes hands over a connection, for the name or address.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: Arc<ClientConfig>,
    host: &str,
    deadline: Instant,
) -> (Tls, Option<TlsStream<S>>) {
    let begun = Instant::now();
    let (outcome, stream) = match ServerName::try_from(host.trim_end_matches('.').to_owned()) {
        Err(_) => (TlsOutcome::Failed(clamp("the host is no name that a certificate can have")), None),
        Ok(name) => match timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await {
            Err(_) => (TlsOutcome::Timeout, None),
            Ok(Ok(stream)) => (TlsOutcome::Established, Some(stream)),
            Ok(Err(error)) => (failed(&error), None),
        },
    };
    (Tls { server_name: host.to_owned(), outcome, elapsed: begun.elapsed() }, stream)
}

/// Shakes hands, then makes the request, where there is one to make. What the peer says against us when the
/// handshake is over for us belongs to the handshake all the same.
pub(crate) async fn handshake_and_exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    config: Arc<ClientConfig>,
    url: &TargetUrl,
    http: Option<&HttpRequest>,
    deadline: Instant,
) -> (Tls, Option<Request>) {
    let (mut tls, stream) = handshake(stream, config, &url.host, deadline).await;
    let (Some(stream), Some(http)) = (stream, http) else { return (tls, None) };
    match exchange(stream, url, http, Form::Origin, deadline).await {
        Ok(request) => (tls, Some(request)),
        Err(outcome) => {
            tls.outcome = outcome;
            (tls, None)
        }
    }
}

fn failed(error: &io::Error) -> TlsOutcome {
    refused(error).unwrap_or_else(|| match error.kind() {
        _ if told_by_others(error) => TlsOutcome::Timeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => TlsOutcome::Reset,
        _ => TlsOutcome::Failed(clamp(&error.to_string())),
    })
}

/// What TLS itself says, on either side; `None` for an error of the connection below it.
pub(crate) fn refused(error: &io::Error) -> Option<TlsOutcome> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        // A root that was made anew under its old name is found, and did not sign.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Some(TlsOutcome::UntrustedIssuer),
        error => Some(TlsOutcome::Failed(clamp(&words(error)))),
    }
}

/// The words of the library, without the time of the check, which differs from one walk to the next.
fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("invalid peer certificate: expired, not valid after {} (UNIX)", not_after.as_secs())
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!(
                "invalid peer certificate: not valid yet, not valid before {} (UNIX)",
                not_before.as_secs()
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn words_do_not_change_while_time_passes() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = |time| CertificateError::ExpiredContext { time: at(time), not_after: at(500) };
        let early = |time| CertificateError::NotValidYetContext { time: at(time), not_before: at(9_000) };
        let outcome = |error| failed(&io::Error::other(rustls::Error::InvalidCertificate(error)));
        for (one, two, said) in [
            (expired(600), expired(610), "not valid after 500"),
            (early(1), early(2), "not valid before 9000"),
        ] {
            let (one, two) = (outcome(one), outcome(two));
            assert_eq!(one, two, "the same finding ten seconds later");
            assert!(matches!(&one, TlsOutcome::Failed(words) if words.contains(said)), "{said} in {one:?}");
        }
    }
}
