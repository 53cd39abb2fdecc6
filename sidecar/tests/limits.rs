//! Whatever a name, an answer or a plan holds, the walk fits into a message: evidence that is never sent
//! would leave the hub with what was true before.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_model::evidence::{
    Connect, Dial, DialOutcome, DialPurpose, IcmpError, Pair, ProxyAttempt, ProxyUse, Query, QueryOutcome,
    Request, RequestOutcome, Resolve, ResolveSource, Route, Tls, TlsOutcome, Transport, Trigger,
};
use peerwalk_model::plan::{
    DialScope, DnsTarget, HttpMethod, HttpRequest, PlannedTarget, RecordType, Retries, ServiceTarget,
    TargetKind, UrlTarget,
};
use peerwalk_model::{TargetKey, Timestamp, Walk};
use peerwalk_probe::{DialRules, Environment, Prober};
use peerwalk_wire::{FromSidecar, limits};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// A name server that answers every question with so many addresses, or that no name exists.
struct NameServer(SocketAddr);

impl NameServer {
    async fn start(addresses: u16) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = tcp.local_addr().expect("an address");
        let udp = UdpSocket::bind(address).await.expect("the same port");
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let answer = reply(&buffer[..length], addresses, false);
                udp.send_to(&answer, from).await.expect("an answer is taken");
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let length = stream.read_u16().await.expect("a length");
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.expect("a question");
                let answer = reply(&question, addresses, true);
                stream.write_u16(u16::try_from(answer.len()).expect("it fits")).await.expect("sent");
                stream.write_all(&answer).await.expect("sent");
            }
        });
        Self(address)
    }
}

/// An answer by hand (RFC 1035, section 4.1): the question, then records that point back to its name.
fn reply(question: &[u8], addresses: u16, over_tcp: bool) -> Vec<u8> {
    let flags: u16 = match (addresses, over_tcp) {
        (0, _) => 0x8183,
        (_, false) => 0x8380,
        (_, true) => 0x8180,
    };
    let count = if over_tcp { addresses } else { 0 };
    let mut answer = question.to_vec();
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    answer[6..8].copy_from_slice(&count.to_be_bytes());
    let kind: [u8; 2] = [question[question.len() - 4], question[question.len() - 3]];
    let prefix: &[u8] =
        if kind == [0, 1] { &[10, 1] } else { &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] };
    for number in 0..count {
        answer.extend([0xc0, 12]);
        answer.extend(kind);
        answer.extend([0, 1, 0, 0, 0, 30, 0, u8::try_from(prefix.len() + 2).expect("small")]);
        answer.extend(prefix);
        answer.extend(number.to_be_bytes());
    }
    answer
}

/// An environment of two files, which live as long as it is used.
fn environment(resolv_conf: &str, hosts: &str) -> (Environment, [NamedTempFile; 2]) {
    let files = [resolv_conf, hosts].map(|text| {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    });
    let [resolv_conf, hosts] = [0, 1].map(|n: usize| files[n].path().to_owned());
    (Environment { resolv_conf, hosts, ..Environment::default() }, files)
}

fn planned(kind: TargetKind, http: Option<HttpRequest>) -> PlannedTarget {
    PlannedTarget {
        kind,
        http,
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(10),
        interval: Duration::from_secs(10),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: Vec::new(),
    }
}

/// A URL of which no address may be dialled.
fn url(url: &str) -> PlannedTarget {
    let kind = UrlTarget { url: url.to_owned(), roots_pem: None, scope: DialScope::default() };
    planned(TargetKind::Url(kind), None)
}

fn key() -> TargetKey {
    TargetKey { check: "c".repeat(limits::STRING_BYTES), target: "t".repeat(limits::STRING_BYTES) }
}

async fn walk(environment: Environment, target: &PlannedTarget) -> Walk {
    let walk = Prober::new(environment).walk(key(), target, 1, Trigger::Event, |_| {}).await;
    assert_sent(&walk);
    walk
}

fn assert_sent(walk: &Walk) {
    let frame = FromSidecar::Evidence(Box::new(walk.clone())).encode(walk.ended).expect("it can be sent");
    let FromSidecar::Evidence(received) = FromSidecar::decode(&frame, walk.ended).expect("and received")
    else {
        panic!("evidence is evidence");
    };
    let (sent, received) = (walk.resolve.as_ref(), received.resolve.as_ref());
    assert_eq!(sent.map(|r| &r.addresses), received.map(|r| &r.addresses));
}

#[tokio::test]
async fn answers_with_very_many_addresses() {
    let server = NameServer::start(2000).await;
    let conf = format!("nameserver [127.0.0.1]:{}\n", server.0.port());
    let hosts: Vec<String> = (0..1000).map(|n: u16| format!("10.2.{}.{} listed", n >> 8, n & 255)).collect();
    for (name, queries) in [("many.test.", 4), ("listed", 0)] {
        let (environment, _files) = environment(&conf, &hosts.join("\n"));
        let walk = walk(environment, &url(&format!("http://{name}/"))).await;
        let resolve = walk.resolve.expect("the name was resolved");
        assert_eq!(resolve.addresses.len(), limits::ADDRESSES, "{name}: no fewer than fit");
        assert_eq!(resolve.queries.len(), queries, "{name}: UDP and TCP, two types");
        let v6 = resolve.addresses.iter().filter(|address| address.is_ipv6()).count();
        assert_eq!(v6, if queries > 0 { limits::ADDRESSES / 2 } else { 0 }, "{name}: half of them IPv6");
    }
}

#[tokio::test]
async fn very_many_queries_and_very_long_names() {
    let server = NameServer::start(0).await;
    let suffixes: Vec<String> = (0..32).map(|n| format!("{}{n}.test", "s".repeat(60))).collect();
    let conf = format!("search {}\nnameserver [127.0.0.1]:{}\n", suffixes.join(" "), server.0.port());
    let (env, _files) = environment(&conf, "");
    let found = walk(env, &url("http://db/")).await.resolve.expect("the name was resolved");
    assert_eq!(found.queries.len(), limits::QUERIES, "33 names, two types");
    assert_eq!(found.queries.last().map(|query| query.name.as_str()), Some("db."), "the last decides");

    let name = "a.".repeat(limits::STRING_BYTES / 2);
    for name in [name.as_str(), name.trim_end_matches('.')] {
        let (env, _files) = environment(&conf, "");
        let kind = TargetKind::Dns(DnsTarget { name: name.to_owned(), record: RecordType::A });
        let found = walk(env, &planned(kind, None)).await.resolve.expect("the name was resolved");
        assert!(found.queries.iter().all(|query| query.outcome == QueryOutcome::NameNotFound), "{found:?}");
    }
}

#[tokio::test]
async fn very_long_urls() {
    let longest = |begin: &str| format!("{begin}{}", "x".repeat(limits::URL_BYTES - begin.len()));
    for text in [longest("https://a?"), longest("https://"), longest("http://a/\u{7f}")] {
        let (env, _files) = environment("", "192.0.2.1 a\n");
        walk(env, &url(&text)).await;
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("sent");
        while stream.read_u8().await.is_ok() {}
    });
    let hostname = "h".repeat(limits::STRING_BYTES);
    let (env, _files) = environment("", &format!("127.0.0.1 {hostname}\n"));
    let service = ServiceTarget {
        hostname,
        port,
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        endpoints: Vec::new(),
        tls: None,
    };
    let http = HttpRequest { method: HttpMethod::Head, path: longest("/"), status_below: 500 };
    let target = planned(TargetKind::Service(service), Some(http));
    let walk = walk(Environment { rules: DialRules::Anything, ..env }, &target).await;
    let request = walk.request.expect("the request was made");
    assert!(
        matches!(request.outcome, RequestOutcome::Status(_) | RequestOutcome::Malformed(_)),
        "{request:?}"
    );
    assert_eq!(request.url.len(), limits::URL_BYTES);
}

fn largest_pair(server: SocketAddr) -> Pair {
    let addresses = QueryOutcome::Addresses(vec![server.ip(); 4]);
    Pair { server, name: "n".repeat(255), tries: u32::MAX, a: addresses.clone(), aaaa: addresses }
}

/// Everything at once, each as large as the probe lets it become.
#[test]
fn the_largest_walk() {
    let v6: IpAddr = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().expect("an address");
    let socket = SocketAddr::new(v6, 65535);
    let (elapsed, at) = (Duration::from_hours(1), Timestamp::from_millis(4_000_000_000_000));
    let icmp = IcmpError { v6: true, kind: 255, code: 255, offender: Some(v6) };
    let query = |outcome| Query {
        server: socket,
        transport: Transport::Tcp,
        name: "n".repeat(255),
        record: RecordType::Aaaa,
        late: Some(QueryOutcome::Unreachable { errno: -1, icmp: Some(icmp.clone()) }),
        outcome,
        elapsed,
    };
    let unreachable = QueryOutcome::Unreachable { errno: -1, icmp: Some(icmp.clone()) };
    let mut queries = vec![query(unreachable); limits::QUERIES - 2];
    queries.extend(vec![query(QueryOutcome::Addresses(vec![v6; limits::ADDRESSES])); 2]);
    let dial = |purpose| Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose,
        remote: socket,
        local: Some(socket),
        started: Timestamp::from_millis(0),
        elapsed,
        retransmits: u32::MAX,
        outcome: DialOutcome::Failed { errno: -1, immediate: true, queue: vec![icmp.clone(); 8] },
    };
    let long = |bytes: usize| "x".repeat(bytes);
    let tls = Tls { server_name: long(255), outcome: TlsOutcome::Failed(long(200)), elapsed };
    let request = Request {
        method: HttpMethod::Get,
        url: long(limits::URL_BYTES),
        status_below: 599,
        outcome: RequestOutcome::Malformed(long(200)),
        elapsed,
    };
    // The values of all containers together have 32 KiB: half of it proxies, half exceptions.
    let used = ProxyUse {
        container: long(63),
        variable: "https_proxy".to_owned(),
        scheme: "socks5h".to_owned(),
        proxy: long(262),
        credentials: true,
        exceptions: Some(("no_proxy".to_owned(), long(256))),
        clients: vec![long(16); 8],
        direct_clients: vec![long(16); 8],
        entry: long(limits::STRING_BYTES),
    };
    let mut walk = Walk::begin(key(), u64::MAX, Trigger::Event, Timestamp::from_millis(0));
    walk.ended = at;
    walk.resolve = Some(Resolve {
        name: long(limits::STRING_BYTES),
        source: ResolveSource::Dns,
        answered: Some(long(255)),
        addresses: vec![v6; limits::ADDRESSES],
        queries,
        elapsed,
        spent: true,
        pair: Some(largest_pair(socket)),
    });
    walk.proxied = Some(ProxyAttempt {
        container: long(63),
        proxy: long(limits::STRING_BYTES),
        dials: vec![dial(DialPurpose::Proxy); limits::DIALS],
        connect_status: Some(599),
        tls: Some(tls.clone()),
        request: Some(request.clone()),
        elapsed,
    });
    walk.route = Some(Route {
        proxied: vec![used; limits::CONTAINERS],
        not_visible: vec![long(63); limits::CONTAINERS],
    });
    walk.connect =
        Some(Connect { dials: vec![dial(DialPurpose::Control); limits::DIALS], ..Connect::default() });
    (walk.tls, walk.request) = (Some(tls), Some(request));
    assert_sent(&walk);
}
