//! Whole walks on loopback. What needs a network that drops or refuses is in `tests/netns.rs`.

mod around;
mod broken;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::evidence::{DialOutcome, DialPurpose, ResolveSource};
use peerwalk_model::plan::{
    DialScope, DnsTarget, HttpMethod, HttpRequest, Retries, ServiceTarget, ServiceTls, UrlTarget,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::environment::ContainerEnv;
use crate::rules::DialRules;

const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };

fn key() -> TargetKey {
    TargetKey { check: "shop".into(), target: "catalog".into() }
}

fn target(kind: TargetKind, http: Option<&str>) -> PlannedTarget {
    PlannedTarget {
        kind,
        http: http.map(|path| HttpRequest { method: HttpMethod::Head, path: path.into(), status_below: 500 }),
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(3),
        interval: Duration::from_secs(10),
        retries: Retries {
            attempts: 2,
            backoff: Duration::from_millis(10),
            max_backoff: Duration::from_millis(20),
        },
        controls: vec![],
    }
}

fn url(text: String, roots_pem: Option<String>) -> TargetKind {
    TargetKind::Url(UrlTarget { url: text, roots_pem, scope: DialScope::default() })
}

fn prober(hosts: &str, containers: Vec<ContainerEnv>, rules: DialRules) -> (Prober, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(hosts.as_bytes()).unwrap();
    let environment = Environment {
        resolv_conf: "/nonexistent".into(),
        hosts: file.path().to_owned(),
        containers,
        rules,
        ..Environment::default()
    };
    (Prober::new(environment), file)
}

async fn walk(prober: &Prober, target: &PlannedTarget) -> Walk {
    prober.walk(key(), target, 7, Trigger::Event, |_| {}).await
}

fn outcomes(walk: &Walk) -> Vec<(DialPurpose, SocketAddr, DialOutcome)> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials.map(|dial| (dial.purpose, dial.remote, dial.outcome.clone())).collect()
}

/// An HTTP server that answers each request with the next status of the list, then with the last again.
async fn http_server(statuses: &'static [u16]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut next = statuses.iter().chain(std::iter::repeat(statuses.last().unwrap()));
        let mut status = *next.next().unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            // A connection without a request (an endpoint that is only dialled) takes no status.
            if answer(stream, status).await.is_some() {
                status = *next.next().unwrap();
            }
        }
    });
    address
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: u16) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()
}

fn status(walk: &Walk) -> Option<RequestOutcome> {
    walk.request.as_ref().map(|request| request.outcome.clone())
}

#[tokio::test]
async fn a_service_is_walked_by_its_address_and_an_endpoint() {
    let server = http_server(&[200]).await;
    let (prober, _file) = prober("127.0.0.1 catalog.shop.svc\n", vec![], DialRules::Anything);
    let service = ServiceTarget {
        hostname: "catalog.shop.svc".into(),
        port: server.port(),
        addresses: vec![server.ip()],
        endpoints: vec![server],
        tls: None,
    };
    let walk = walk(&prober, &target(TargetKind::Service(service), Some("/healthz"))).await;
    let resolve = walk.resolve.as_ref().expect("a name is resolved");
    assert_eq!((resolve.source, &resolve.addresses[..]), (ResolveSource::HostsFile, &[server.ip()][..]));
    assert_eq!(
        outcomes(&walk),
        [(DialPurpose::ServiceAddress, server, CONNECTED), (DialPurpose::Endpoint, server, CONNECTED)]
    );
    assert_eq!(status(&walk), Some(RequestOutcome::Status(200)));
    let request = walk.request.as_ref().unwrap();
    assert_eq!(request.url, format!("http://catalog.shop.svc:{}/healthz", server.port()));
    assert_eq!((walk.plan_generation, walk.interim, walk.local.clone()), (7, false, None));
    assert!(walk.started <= walk.ended, "{} to {}", walk.started, walk.ended);
}

#[tokio::test]
async fn many_endpoints_do_not_wait_for_each_other() {
    let mut endpoints = Vec::new();
    for _ in 0..16 {
        endpoints.push(http_server(&[200]).await);
    }
    let (prober, _file) = prober("127.0.0.1 catalog.shop.svc\n", vec![], DialRules::Anything);
    let service = ServiceTarget {
        hostname: "catalog.shop.svc".into(),
        port: endpoints[0].port(),
        addresses: vec![endpoints[0].ip()],
        endpoints: endpoints.clone(),
        tls: None,
    };
    let walk = walk(&prober, &target(TargetKind::Service(service), None)).await;
    let found = outcomes(&walk);
    assert_eq!(found.len(), 17, "the service address and every endpoint: {found:?}");
    assert!(found.iter().all(|(.., outcome)| *outcome == CONNECTED), "none was left out: {found:?}");
}

#[tokio::test]
async fn targets_that_lead_to_one_address_share_what_was_found() {
    let server = http_server(&[200]).await;
    let (prober, _file) = prober("", vec![], DialRules::Anything);
    let bare = target(url(format!("tcp://{server}"), None), None);
    let speaking = target(url(format!("http://{server}/"), None), Some("/"));
    let interval = async |name: &str, target: &PlannedTarget| {
        let key = TargetKey { target: name.into(), ..key() };
        prober.walk(key, target, 1, Trigger::Interval, |_| {}).await
    };
    let dial = |walk: &Walk| walk.connect.as_ref().unwrap().dials[0].clone();
    let first = interval("first", &bare).await;
    let second = interval("second", &PlannedTarget { interval: Duration::from_secs(7), ..bare }).await;
    assert_eq!(dial(&second), dial(&first), "the dial of a moment ago, socket and all");
    tokio::time::pause();
    let third = interval("third", &speaking).await;
    assert_ne!(dial(&third).local, dial(&first).local, "who has something to say needs a connection");
    assert_eq!(status(&third), Some(RequestOutcome::Status(200)));
}

#[tokio::test]
async fn a_plan_cannot_lead_to_loopback() {
    let server = http_server(&[200]).await;
    let (prober, _file) = prober("127.0.0.1 catalog.shop.svc\n", vec![], DialRules::Plan);
    let service = ServiceTarget {
        hostname: "catalog.shop.svc".into(),
        port: server.port(),
        addresses: vec![server.ip()],
        endpoints: vec![server],
        tls: None,
    };
    let walk = walk(&prober, &target(TargetKind::Service(service), Some("/"))).await;
    assert_eq!(outcomes(&walk), [(DialPurpose::Address, server, DialOutcome::NotAllowed)]);
    assert_eq!(walk.request, None, "nothing was dialled, nothing asked");
}

#[tokio::test]
async fn a_refused_port_is_dialled_once_more() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (prober, _file) = prober("", vec![], DialRules::Anything);
    let walk = walk(&prober, &target(url(format!("tcp://{closed}"), None), None)).await;
    let found = outcomes(&walk);
    assert_eq!(found.len(), 2, "one repetition: {found:?}");
    for (_, _, outcome) in found {
        let refused = matches!(&outcome, DialOutcome::Failed { errno: libc::ECONNREFUSED, queue, .. } if queue.is_empty());
        assert!(refused, "an RST: {outcome:?}");
    }
    assert_eq!(walk.resolve, None, "an address needs no resolution");
}

#[tokio::test]
async fn a_failed_request_is_tried_again_on_a_new_connection() {
    for (statuses, expected) in [(&[503, 200][..], 200), (&[404], 404), (&[503, 503], 503)] {
        let server = http_server(statuses).await;
        let (prober, _file) = prober("", vec![], DialRules::Anything);
        let walk = walk(&prober, &target(url(format!("http://{server}/"), None), Some("/"))).await;
        assert_eq!(status(&walk), Some(RequestOutcome::Status(expected)), "{statuses:?}");
    }
}

#[tokio::test]
async fn a_name_that_must_resolve_is_only_resolved() {
    let (prober, _file) = prober("192.0.2.1 db\n2001:db8::1 db\n", vec![], DialRules::Plan);
    let dns = DnsTarget { name: "db".into(), record: RecordType::Aaaa };
    let walk = walk(&prober, &target(TargetKind::Dns(dns), None)).await;
    let expected: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(walk.resolve.expect("resolved").addresses, [expected], "of the type asked for");
    assert_eq!(walk.connect, None, "a name is not dialled");
}

/// A root in PEM, and a server's acceptor with a certificate for `catalog.test` under it.
fn tls() -> (String, TlsAcceptor) {
    tls_asking(false)
}

/// Roots and a server whose certificate they signed; with `clients` it wants one from its clients, too.
fn tls_asking(clients: bool) -> (String, TlsAcceptor) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["catalog.test".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(root_certificate.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = if clients { verifier.build().unwrap() } else { Arc::new(NoClientAuth) };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
        )
        .unwrap();
    (root_certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn https_server(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, 200).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn certificates_are_verified() {
    let (pem, acceptor) = tls();
    let (other_pem, _) = tls();
    let server = https_server(acceptor).await;
    let hosts = "127.0.0.1 catalog.test other.test\n";
    for (host, roots, expected) in [
        ("catalog.test", Some(pem.clone()), TlsOutcome::Established),
        ("catalog.test", Some(other_pem), TlsOutcome::UntrustedIssuer),
        ("catalog.test", None, TlsOutcome::UntrustedIssuer),
    ] {
        let of_a_service = TargetKind::Service(ServiceTarget {
            hostname: host.into(),
            port: server.port(),
            addresses: vec![server.ip()],
            endpoints: vec![],
            tls: Some(ServiceTls { roots_pem: roots.clone() }),
        });
        for kind in [url(format!("https://{host}:{}/", server.port()), roots), of_a_service] {
            let (prober, _file) = prober(hosts, vec![], DialRules::Anything);
            for path in [Some("/"), None] {
                let walk = walk(&prober, &target(kind.clone(), path)).await;
                let tls = walk.tls.expect("a handshake was tried");
                assert_eq!(tls.outcome, expected, "{kind:?}");
                let heard = path.is_some() && expected == TlsOutcome::Established;
                assert_eq!(
                    walk.request.is_some(),
                    heard,
                    "a request is made where it is asked for, after a handshake"
                );
            }
        }
    }
    let (prober, _file) = prober(hosts, vec![], DialRules::Anything);
    let kind = url(format!("https://other.test:{}/", server.port()), Some(pem));
    let outcome = walk(&prober, &target(kind, Some("/"))).await.tls.unwrap().outcome;
    assert!(matches!(&outcome, TlsOutcome::Failed(words) if words.contains("other.test")), "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_no_reset() {
    let (pem, acceptor) = tls_asking(true);
    let server = https_server(acceptor).await;
    let (prober, _file) = prober("127.0.0.1 catalog.test\n", vec![], DialRules::Anything);
    let kind = url(format!("https://catalog.test:{}/", server.port()), Some(pem));
    let walk = walk(&prober, &target(kind, Some("/"))).await;
    let outcome = walk.tls.expect("a handshake was tried").outcome;
    assert!(
        matches!(&outcome, TlsOutcome::Failed(words) if words.contains("CertificateRequired")),
        "{outcome:?}"
    );
    assert_eq!(walk.request, None, "it was not heard");
}

#[tokio::test]
async fn roots_that_are_none_void_the_walk() {
    let server = http_server(&[200]).await;
    let (prober, _file) = prober("", vec![], DialRules::Anything);
    let kind = url(format!("https://{server}/"), Some("no PEM".into()));
    let walk = walk(&prober, &target(kind, Some("/"))).await;
    assert!(walk.local.is_some(), "a plan that cannot be walked says nothing of the network: {walk:?}");
}

#[tokio::test]
async fn both_ways_are_walked_where_the_variables_name_a_proxy() {
    let server = http_server(&[200]).await;
    let proxy = http_server(&[502]).await;
    let containers = vec![ContainerEnv {
        name: "web".into(),
        variables: vec![("http_proxy".into(), format!("http://{proxy}"))],
        ..ContainerEnv::default()
    }];
    let (prober, _file) = prober("127.0.0.1 catalog.shop.svc\n", containers, DialRules::Anything);
    let service = ServiceTarget {
        hostname: "catalog.shop.svc".into(),
        port: server.port(),
        addresses: vec![server.ip()],
        endpoints: vec![],
        tls: None,
    };
    let walk = walk(&prober, &target(TargetKind::Service(service), Some("/"))).await;
    assert_eq!(walk.route.as_ref().expect("a route").proxied[0].entry, ".svc");
    assert_eq!(status(&walk), Some(RequestOutcome::Status(200)), "directly");
    let proxied = walk.proxied.expect("the way through the proxy");
    assert_eq!(proxied.dials[0].outcome, CONNECTED);
    let outcome = proxied.request.map(|request| request.outcome);
    assert_eq!(outcome, Some(RequestOutcome::Status(502)), "through the proxy");
}

#[tokio::test]
async fn a_proxy_that_is_not_spoken_to_is_not_tried() {
    let server = http_server(&[200]).await;
    let proxy = http_server(&[200]).await;
    for (scheme, tried) in [("http", true), ("https", false), ("socks5", false)] {
        let containers = vec![ContainerEnv {
            name: "web".into(),
            variables: vec![("all_proxy".into(), format!("{scheme}://user:secret@{proxy}"))],
            ..ContainerEnv::default()
        }];
        let (prober, _file) = prober("", containers, DialRules::Anything);
        let walk = walk(&prober, &target(url(format!("http://{server}/"), None), Some("/"))).await;
        assert_eq!(status(&walk), Some(RequestOutcome::Status(200)), "directly, beside {scheme}");
        let used = &walk.route.as_ref().expect("a route").proxied[0];
        assert_eq!((used.scheme.as_str(), used.proxy.as_str()), (scheme, proxy.to_string().as_str()));
        assert!(used.credentials, "there were some, beside {scheme}");
        assert_eq!(walk.proxied.is_some(), tried, "through a proxy of scheme {scheme}");
        assert!(!format!("{walk:?}").contains("secret"), "no credential in evidence: {walk:?}");
    }
}

#[tokio::test]
async fn targets_behind_one_proxy_do_not_take_it_from_each_other() {
    let proxy = http_server(&[200]).await;
    let containers = vec![ContainerEnv {
        name: "web".into(),
        variables: vec![("http_proxy".into(), format!("http://{proxy}"))],
        ..ContainerEnv::default()
    }];
    let (prober, _file) = prober("", containers, DialRules::Anything);
    let walks = (0..4).map(async |n| {
        let server = http_server(&[200]).await;
        let target = target(url(format!("http://{server}/"), None), Some("/"));
        let key = TargetKey { target: format!("target-{n}"), ..key() };
        prober.walk(key, &target, 1, Trigger::Interval, |_| {}).await
    });
    for walk in futures::future::join_all(walks).await {
        assert!(!walk.is_short_of_budget(), "{walk:?}");
        let outcome = walk.proxied.and_then(|proxied| proxied.request).map(|request| request.outcome);
        assert_eq!(outcome, Some(RequestOutcome::Status(200)), "of {}", walk.target);
    }
}

#[tokio::test]
async fn a_proxy_is_no_way_around_the_scope() {
    let containers = vec![ContainerEnv {
        name: "web".into(),
        variables: vec![("http_proxy".into(), "http://127.0.0.1:1".into())],
        ..ContainerEnv::default()
    }];
    let hosts = "169.254.169.254 metadata.example\n10.0.0.1 internal.example\n";
    for (host, any_address) in
        [("metadata.example", true), ("169.254.169.254", true), ("internal.example", false)]
    {
        let (prober, _file) = prober(hosts, containers.clone(), DialRules::Plan);
        let scope = DialScope { networks: vec!["192.0.2.0/24".parse().unwrap()], any_address };
        let kind = UrlTarget { url: format!("http://{host}/x"), roots_pem: None, scope };
        let walk = walk(&prober, &target(TargetKind::Url(kind), Some("/x"))).await;
        assert_eq!(walk.route.map(|route| route.proxied.len()), Some(1), "{host} is the proxy's");
        assert_eq!(walk.proxied, None, "{host} is not asked for");
    }
}

#[tokio::test]
async fn a_tunnel_is_asked_for_where_the_scheme_is_https() {
    let (pem, acceptor) = tls();
    let server = https_server(acceptor).await;
    for (status, expected) in [(200, Some(TlsOutcome::Established)), (407, None)] {
        let proxy = tunnelling_proxy(server, status).await;
        let containers = vec![ContainerEnv {
            name: "web".into(),
            variables: vec![("HTTPS_PROXY".into(), format!("http://{proxy}"))],
            ..ContainerEnv::default()
        }];
        let (prober, _file) = prober("127.0.0.1 catalog.test\n", containers, DialRules::Anything);
        let kind = url(format!("https://catalog.test:{}/", server.port()), Some(pem.clone()));
        let proxied = walk(&prober, &target(kind, Some("/"))).await.proxied.expect("through the proxy");
        assert_eq!(proxied.connect_status, Some(status));
        assert_eq!(proxied.tls.map(|tls| tls.outcome), expected, "after {status}");
    }
}

async fn tunnelling_proxy(server: SocketAddr, status: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if answer(&mut stream, status).await.is_none() || status != 200 {
                continue;
            }
            let mut onward = tokio::net::TcpStream::connect(server).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    });
    address
}

#[tokio::test]
async fn walks_may_run_on_other_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (prober, _file) = prober("", vec![], DialRules::Plan);
    let target = target(url("tcp://192.0.2.1:9".into(), None), None);
    let walk = is_send(prober.walk(key(), &target, 1, Trigger::Interval, |_| {})).await;
    assert_eq!(outcomes(&walk)[0].2, DialOutcome::NotAllowed, "outside the scope");
}
