//! What the released program probes in its benchmark: a hub that gives it a plan, servers, and a name server.

use std::collections::BTreeMap;
use std::io::{BufRead as _, stdin};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType as Type};
use peerwalk_hub::{Config, HubEvent};
use peerwalk_model::plan::{
    DialScope, DnsTarget, HttpMethod, HttpRequest, PlannedTarget, RecordType, Retries, ServiceTarget,
    TargetKind, UrlTarget,
};
use peerwalk_model::{Plan, TargetKey};
use peerwalk_probe::now;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::Result;
use crate::link::SERVER;
use crate::support::{Ca, NAME, TestHub, pod};

pub const HUB_PORT: u16 = 9443;
/// Who accepts and closes at once.
const OPEN: u16 = 8080;
/// Who answers HTTP.
const HTTP: u16 = 8081;
/// Nobody listens.
const CLOSED: u16 = 8089;
/// Services have addresses 10.96.0.x, endpoints 10.244.x.y: all of them end here. 10.97.0.0/16 leads nowhere.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);
const ENDPOINTS: u8 = 3;
const LAN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(3)];

/// Serves until standard input ends. Each line of it is answered with the number of DNS queries so far; when every
/// target has evidence it says `round`.
pub fn run(plan: &str, folder: &Path) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(plan, folder))
}

async fn serve(plan: &str, folder: &Path) -> Result<()> {
    let ca = Ca::new();
    std::fs::write(folder.join("root.pem"), ca.pem())?;
    let plan = planned(plan)?;
    let config = Config { heartbeat_interval: Duration::from_secs(2), ..Config::new(now) };
    let mut hub = TestHub::start_with(ca.server(NAME), config, &format!("{SERVER}:{HUB_PORT}")).await;
    hub.handle.set_plan(&pod("web"), plan.clone())?;
    for (port, answer) in [(OPEN, false), (HTTP, true)] {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        tokio::spawn(accept(listener, answer));
    }
    let queries = Arc::new(AtomicU64::new(0));
    tokio::spawn(name_server(UdpSocket::bind((SERVER, 53)).await?, Arc::clone(&queries)));
    std::thread::spawn(move || {
        for _ in stdin().lock().lines() {
            println!("{}", queries.load(Ordering::Relaxed));
        }
        std::process::exit(0);
    });
    println!("ready");
    let mut missing: Vec<TargetKey> = plan.targets.keys().cloned().collect();
    while let Some(event) = hub.events.recv().await {
        if let HubEvent::Evidence { walk, .. } = event
            && !walk.interim
            && !missing.is_empty()
        {
            missing.retain(|key| *key != walk.target);
            if missing.is_empty() {
                println!("round");
            }
        }
    }
    Ok(())
}

async fn accept(listener: TcpListener, answer: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        if answer {
            tokio::spawn(respond(stream));
        }
    }
}

async fn respond(mut stream: TcpStream) -> std::io::Result<()> {
    if stream.read(&mut [0; 4096]).await? > 0 {
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await?;
    }
    Ok(())
}

/// Knows `svc-N.shop.svc.cluster.local` as 10.96.0.N, and nothing else.
async fn name_server(socket: UdpSocket, queries: Arc<AtomicU64>) {
    let mut datagram = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
        queries.fetch_add(1, Ordering::Relaxed);
        let Some(answer) = Message::from_vec(&datagram[..length]).ok().and_then(|asked| answer(&asked))
        else {
            continue;
        };
        // Whoever asked may have gone.
        let _ = socket.send_to(&answer, from).await;
    }
}

fn answer(asked: &Message) -> Option<Vec<u8>> {
    let question = asked.queries.first()?;
    let mut answer = asked.clone();
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_available = true;
    let name = question.name().to_utf8();
    let known = name.strip_suffix(".shop.svc.cluster.local.").and_then(|host| host.strip_prefix("svc-"));
    match known.and_then(|number| number.parse().ok()) {
        Some(number) if question.query_type() == Type::A => {
            let address = RData::A(A(Ipv4Addr::new(10, 96, 0, number)));
            answer.answers.push(Record::from_rdata(question.name().clone(), 30, address));
        }
        Some(_) => {}
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.to_vec().ok()
}

fn planned(plan: &str) -> Result<Plan> {
    let ten = Duration::from_secs(10);
    let targets = match plan {
        "kinds" => kinds(),
        "20-addresses" => (1..=20).map(|n| (format!("tcp-{n}"), target(address(n), ten))).collect(),
        "20-services" => (1..=20).map(|n| (format!("svc-{n}"), target(service(n), ten))).collect(),
        "200-targets" => (1..=200).map(|n| (format!("svc-{n}"), target(service(n), ten))).collect(),
        "budget" => (1..=200)
            .map(|n| (format!("svc-{n}"), target(service(n), Duration::from_secs(5))))
            .collect::<BTreeMap<_, _>>(),
        other => return Err(format!("no plan is named {other}").into()),
    };
    let keyed = targets.into_iter().enumerate().map(|(number, (target, planned))| {
        // A check has 64 targets at most.
        (TargetKey { check: format!("bench-{}", number / 50), target }, planned)
    });
    Ok(Plan { generation: 1, targets: keyed.collect() })
}

/// One of every kind of probe: with and without a request, a handshake, a datagram, a name, silence, a refusal.
fn kinds() -> BTreeMap<String, PlannedTarget> {
    let minute = Duration::from_mins(1);
    let http = |kind| PlannedTarget {
        http: Some(HttpRequest { method: HttpMethod::Get, path: "/".into(), status_below: 500 }),
        ..target(kind, minute)
    };
    let url = |url: String| {
        TargetKind::Url(UrlTarget {
            url,
            roots_pem: None,
            scope: DialScope { networks: Vec::new(), any_address: true },
        })
    };
    let with_port = |kind, port| match kind {
        TargetKind::Service(service) => {
            let moved = |endpoint: SocketAddr| SocketAddr::new(endpoint.ip(), port);
            let endpoints = service.endpoints.into_iter().map(moved).collect();
            TargetKind::Service(ServiceTarget { port, endpoints, ..service })
        }
        other => other,
    };
    let silent = TargetKind::Service(ServiceTarget {
        hostname: "svc-9.shop.svc".into(),
        port: OPEN,
        addresses: vec![NOWHERE.into()],
        endpoints: vec![SocketAddr::new(NOWHERE.into(), OPEN)],
        tls: None,
    });
    let dns = DnsTarget { name: "svc-1.shop.svc".into(), record: RecordType::A };
    BTreeMap::from([
        ("tcp".into(), target(service(1), minute)),
        ("http".into(), http(with_port(service(2), HTTP))),
        ("refused".into(), target(with_port(service(3), CLOSED), minute)),
        ("silent".into(), target(silent, minute)),
        ("url".into(), http(url(format!("http://svc-4.shop.svc:{HTTP}/")))),
        ("tls".into(), http(url(format!("https://svc-5.shop.svc:{HTTP}/")))),
        ("dns".into(), target(TargetKind::Dns(dns), minute)),
    ])
}

/// A target with one address, which needs no name and is only connected to.
fn address(n: u8) -> TargetKind {
    TargetKind::Url(UrlTarget {
        url: format!("http://10.96.0.{n}:{OPEN}/"),
        roots_pem: None,
        scope: DialScope { networks: Vec::new(), any_address: true },
    })
}

fn service(n: u8) -> TargetKind {
    let endpoint = |of| SocketAddr::new(Ipv4Addr::new(10, 244, of, n).into(), OPEN);
    TargetKind::Service(ServiceTarget {
        hostname: format!("svc-{n}.shop.svc"),
        port: OPEN,
        addresses: vec![IpAddr::from([10, 96, 0, n])],
        endpoints: (1..=ENDPOINTS).map(endpoint).collect(),
        tls: None,
    })
}

fn target(kind: TargetKind, interval: Duration) -> PlannedTarget {
    let [connect_timeout, total_timeout] = LAN;
    PlannedTarget {
        kind,
        http: None,
        connect_timeout,
        total_timeout,
        interval,
        retries: Retries {
            attempts: 2,
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(2),
        },
        controls: Vec::new(),
    }
}
