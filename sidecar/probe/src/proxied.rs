//! The target tried through the proxy that the application's variables name.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::Uri;
use peerwalk_model::evidence::{
    Connect, Dial, DialOutcome, DialPurpose, LocalTrouble, ProxyAttempt, ProxyUse, Route,
};
use peerwalk_model::plan::HttpRequest;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout_at};

use crate::budget::Pace;
use crate::connect::{Dialling, Series, Spoken, Want, not_dialled};
use crate::request::{AGENT, Form, exchange};
use crate::tls;
use crate::url::{Scheme, TargetUrl};

/// The head of an answer to `CONNECT`, at most.
const HEAD_LIMIT: usize = 16 * 1024;

/// What a proxied attempt needs besides the dialling.
pub(crate) struct Through<'a> {
    pub(crate) used: &'a ProxyUse,
    pub(crate) url: &'a TargetUrl,
    pub(crate) http: Option<&'a HttpRequest>,
    pub(crate) config: Option<Arc<ClientConfig>>,
    /// What the proxy's name resolved to.
    pub(crate) addresses: Vec<IpAddr>,
}

/// The proxy to try: of those that can be walked, the one that most clients would use.
pub(crate) fn choice(route: &Route) -> Option<&ProxyUse> {
    let walkable = route.proxied.iter().filter(|used| used.is_walkable());
    walkable.min_by_key(|used| Reverse(used.clients.len()))
}

/// Host and port of a proxy.
pub(crate) fn host_and_port(proxy: &str) -> Option<(String, u16)> {
    let uri: Uri = proxy.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, uri.port_u16()?))
}

/// Dials the proxy and asks it for the target: the whole URL for `http`, a tunnel for `https`.
pub(crate) async fn attempt(
    dialling: &Dialling<'_>,
    through: Through<'_>,
) -> Result<ProxyAttempt, LocalTrouble> {
    let begun = Instant::now();
    let mut attempt = ProxyAttempt {
        container: through.used.container.clone(),
        proxy: through.used.proxy.clone(),
        dials: Vec::new(),
        connect_status: None,
        tls: None,
        request: None,
        elapsed: Duration::ZERO,
    };
    let (dials, stream) = dial(dialling, &through).await?;
    attempt.dials = dials;
    if let Some(Spoken { stream, held, .. }) = stream {
        speak(dialling, through, stream, &mut attempt).await;
        drop(held);
    }
    attempt.elapsed = begun.elapsed();
    Ok(attempt)
}

/// Dials the first address of each family; the first that connects is spoken to.
async fn dial(
    dialling: &Dialling<'_>,
    through: &Through<'_>,
) -> Result<(Vec<Dial>, Option<Spoken>), LocalTrouble> {
    let Some((_, port)) = host_and_port(&through.used.proxy) else { return Ok((Vec::new(), None)) };
    let mut series = Series::new(dialling.locals.clone(), dialling.gate.census().clone());
    let mut tried: Vec<IpAddr> = Vec::new();
    let mut granted = Vec::new();
    for ip in &through.addresses {
        if tried.iter().any(|other| other.is_ipv4() == ip.is_ipv4()) {
            continue;
        }
        tried.push(*ip);
        let remote = SocketAddr::new(*ip, port);
        if !dialling.rules.permitted_proxy(*ip) {
            series.push_done(not_dialled(DialPurpose::Proxy, remote, DialOutcome::NotAllowed));
        } else if dialling.gate.connect(remote, Pace::Immediate, dialling.allowance).await {
            // Every target behind it is asked for through it, each at its own interval: a distance between them would
            // leave most of them without a walk.
            granted.push(Want { purpose: DialPurpose::Proxy, remote });
        } else {
            series.push_done(not_dialled(DialPurpose::Proxy, remote, DialOutcome::Skipped));
        }
    }
    dialling.dial_out(&granted, &mut series).await?;
    let Connect { dials, .. } = dialling.evidence(&series);
    Ok((dials, series.take_stream(DialPurpose::Proxy)))
}

async fn speak(
    dialling: &Dialling<'_>,
    through: Through<'_>,
    mut stream: TcpStream,
    attempt: &mut ProxyAttempt,
) {
    let deadline = dialling.allowance.deadline();
    if through.url.scheme == Scheme::Http {
        if let Some(http) = through.http {
            attempt.request = exchange(stream, through.url, http, Form::Absolute, deadline).await.ok();
        }
        return;
    }
    let status = timeout_at(deadline, tunnel(&mut stream, through.url)).await;
    attempt.connect_status = status.ok().flatten();
    let (Some(200..=299), Some(config)) = (attempt.connect_status, through.config) else { return };
    let (tls, request) =
        tls::handshake_and_exchange(stream, config, through.url, through.http, deadline).await;
    (attempt.tls, attempt.request) = (Some(tls), request);
}

/// Asks for a tunnel (RFC 9110, section 9.3.6) and returns the status of the answer, reading not one byte
/// beyond its head: what follows belongs to the tunnel.
async fn tunnel(stream: &mut TcpStream, url: &TargetUrl) -> Option<u16> {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let authority = format!("{host}:{}", url.port);
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {AGENT}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        head.push(stream.read_u8().await.ok()?);
    }
    status_of(&head)
}

/// The status code of `HTTP/1.1 200 …`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok().filter(|status| (100..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_head_of_an_answer_only() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407 Proxy Authentication Required\r\n\r\n", Some(407)),
            ("HTTP/1.1 999 x\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n", None),
            ("", None),
        ] {
            assert_eq!(status_of(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn the_proxy_of_most_clients_is_tried() {
        let used = |scheme: &str, proxy: &str, clients: &[&str]| ProxyUse {
            container: "web".into(),
            variable: "http_proxy".into(),
            scheme: scheme.into(),
            proxy: proxy.into(),
            credentials: false,
            exceptions: None,
            clients: clients.iter().map(ToString::to_string).collect(),
            direct_clients: vec![],
            entry: ".svc".into(),
        };
        let uses = [
            used("socks5", "a:1", &["curl", "go", "axios"]),
            used("http", "b:1", &["curl"]),
            used("http", "c:1", &["curl", "go"]),
            used("http", "d:1", &["curl", "go"]),
        ];
        for (uses, expected) in [(&uses[..], Some("c:1")), (&uses[..2], Some("b:1")), (&uses[..1], None)] {
            let route = Route { proxied: uses.to_vec(), not_visible: vec![] };
            assert_eq!(choice(&route).map(|used| used.proxy.as_str()), expected, "of {uses:?}");
        }
    }

    #[test]
    fn proxies_have_a_host_and_a_port() {
        assert_eq!(host_and_port("p.corp:3128"), Some(("p.corp".into(), 3128)));
        assert_eq!(host_and_port("[fd00::1]:8"), Some(("fd00::1".into(), 8)));
        assert_eq!(host_and_port(""), None);
    }
}
