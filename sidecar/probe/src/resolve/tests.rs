//! The resolver against a name server on loopback that answers as it is told.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType as WireType};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// For late answers.
const LATER: Duration = Duration::from_secs(2);

/// What the server does with a question.
#[derive(Clone)]
enum Does {
    Answers(Vec<IpAddr>),
    Code(ResponseCode),
    Truncates(Vec<IpAddr>),
    Garbles,
    Keeps,
    /// Answers the question before, once it is asked another.
    Late(Box<Does>),
    /// Answers what is the first question of its port.
    First(Box<Does>),
}

type Script = Arc<dyn Fn(&str, WireType) -> Does + Send + Sync>;

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: impl Fn(&str, WireType) -> Does + Send + Sync + 'static) -> Self {
        let script: Script = Arc::new(script);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve_udp(udp, script.clone(), asked.clone()));
        tokio::spawn(serve_tcp(tcp, script));
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve_udp(udp: UdpSocket, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 512];
    let (mut ports, mut late) = (BTreeSet::new(), None);
    while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
        let known = !ports.insert(from.port());
        let replied = reply(&buffer[..length], &script, known, false);
        asked.lock().unwrap().push(replied.question);
        let now = replied.bytes.map(|bytes| (bytes, from));
        let now = if replied.late { std::mem::replace(&mut late, now) } else { now };
        if let Some((bytes, to)) = now {
            udp.send_to(&bytes, to).await.unwrap();
        }
    }
}

async fn serve_tcp(tcp: TcpListener, script: Script) {
    while let Ok((mut stream, _)) = tcp.accept().await {
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        if let Some(bytes) = reply(&bytes, &script, false, true).bytes {
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    }
}

#[derive(Default)]
struct Replied {
    question: String,
    bytes: Option<Vec<u8>>,
    late: bool,
}

fn reply(bytes: &[u8], script: &Script, known_port: bool, over_tcp: bool) -> Replied {
    let query = Message::from_vec(bytes).unwrap();
    let question = query.queries[0].clone();
    let (name, kind) = (question.name.to_ascii(), question.query_type);
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.add_query(question.clone());
    let mut garble = false;
    let mut replied = Replied { question: format!("{name} {kind}"), ..Replied::default() };
    let mut does = script(&name, kind);
    if let Does::First(other) = does {
        does = if known_port { Does::Keeps } else { *other };
    }
    if let Does::Late(other) = does {
        replied.late = true;
        does = *other;
    }
    match does {
        Does::Answers(ips) => answer(&mut message, &question.name, kind, &ips),
        Does::Code(code) => message.metadata.response_code = code,
        Does::Truncates(ips) if over_tcp => answer(&mut message, &question.name, kind, &ips),
        Does::Truncates(_) => message.metadata.truncation = true,
        Does::Garbles => garble = true,
        Does::Keeps | Does::Late(_) | Does::First(_) => return replied,
    }
    let mut bytes = message.to_vec().unwrap();
    if garble {
        bytes.truncate(14);
    }
    Replied { bytes: Some(bytes), ..replied }
}

fn answer(message: &mut Message, name: &hickory_proto::rr::Name, kind: WireType, ips: &[IpAddr]) {
    for ip in ips {
        let data = match (ip, kind) {
            (IpAddr::V4(ip), WireType::A) => RData::A(A(*ip)),
            (IpAddr::V6(ip), WireType::AAAA) => RData::AAAA(AAAA(*ip)),
            _ => continue,
        };
        message.add_answer(Record::from_rdata(name.clone(), 30, data));
    }
}

struct Pod {
    environment: Environment,
    resolver: Resolver,
    gate: Gate,
    _files: [NamedTempFile; 2],
}

fn pod(resolv_conf: &str, hosts: &str) -> Pod {
    let files = [resolv_conf, hosts].map(|text| {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    });
    let environment = Environment {
        resolv_conf: files[0].path().to_owned(),
        hosts: files[1].path().to_owned(),
        ..Environment::default()
    };
    Pod { environment, resolver: Resolver::default(), gate: Gate::default(), _files: files }
}

fn asking(server: SocketAddr) -> Pod {
    pod(
        &format!(
            "search shop.svc.test svc.test\nnameserver [{}]:{}\noptions ndots:3\n",
            server.ip(),
            server.port()
        ),
        "",
    )
}

impl Pod {
    async fn resolve_again(&self, name: &str, reuse: bool) -> Result<Resolve, LocalTrouble> {
        let retries =
            Retries { attempts: 2, backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(2) };
        // Short queries: servers on loopback answer at once or never.
        let patience = Patience {
            retries,
            total: Duration::from_secs(2),
            longest: Duration::from_millis(250),
            late: LATER,
        };
        let allowance = Allowance::new(Duration::from_secs(20));
        let records = [RecordType::A, RecordType::Aaaa];
        self.resolver
            .resolve(&self.environment, name, &records, patience, (&self.gate, &allowance), reuse)
            .await
    }

    async fn resolve(&self, name: &str) -> Resolve {
        self.resolve_again(name, false).await.unwrap()
    }
}

/// The same server, with an option of resolv.conf.
fn asking_with(server: SocketAddr, option: &str) -> Pod {
    pod(&format!("nameserver [{}]:{}\noptions {option}\n", server.ip(), server.port()), "")
}

fn ips(text: &[&str]) -> Vec<IpAddr> {
    text.iter().map(|ip| ip.parse().unwrap()).collect()
}

fn outcomes(resolve: &Resolve, record: RecordType) -> Vec<QueryOutcome> {
    resolve.queries.iter().filter(|q| q.record == record).map(|q| q.outcome.clone()).collect()
}

#[tokio::test]
async fn both_families_and_the_suffix_that_answered() {
    let server = Server::start(|name, _| match name {
        "db.svc.test." => Does::Answers(ips(&["10.0.0.7", "fd00::7"])),
        _ => Does::Code(ResponseCode::NXDomain),
    })
    .await;
    let resolve = asking(server.address).resolve("db").await;
    assert_eq!(resolve.answered.as_deref(), Some("db.svc.test."), "the second suffix answers");
    assert_eq!(resolve.addresses, ips(&["10.0.0.7", "fd00::7"]));
    assert_eq!(resolve.queries.len(), 4, "two names, two types: {:?}", resolve.queries);
    assert!(resolve.queries[..2].iter().all(|q| q.outcome == QueryOutcome::NameNotFound), "the first suffix");
}

#[tokio::test]
async fn each_failure_has_its_own_outcome() {
    for (does, expected, names) in [
        (Does::Code(ResponseCode::NXDomain), QueryOutcome::NameNotFound, 3),
        (Does::Code(ResponseCode::ServFail), QueryOutcome::ServerFailure, 3),
        (Does::Code(ResponseCode::Refused), QueryOutcome::Refused, 1),
        (Does::Code(ResponseCode::NotImp), QueryOutcome::OtherCode(4), 1),
        (Does::Answers(vec![]), QueryOutcome::NoData, 3),
        (Does::Garbles, QueryOutcome::Malformed, 1),
        (Does::Keeps, QueryOutcome::Timeout, 1),
    ] {
        let server = Server::start(move |_, _| does.clone()).await;
        let resolve = asking(server.address).resolve("db").await;
        let found = outcomes(&resolve, RecordType::A);
        assert!(!found.is_empty() && found.iter().all(|o| *o == expected), "{expected:?}: {found:?}");
        let asked: BTreeSet<_> = resolve.queries.iter().map(|q| &q.name).collect();
        assert_eq!(asked.len(), names, "{expected:?} asks for so many names of the search list");
        assert!(resolve.addresses.is_empty(), "{expected:?} is no address");
    }
}

#[tokio::test]
async fn a_truncated_answer_comes_over_tcp() {
    let server = Server::start(|_, _| Does::Truncates(ips(&["10.0.0.7"]))).await;
    let resolve = asking(server.address).resolve("big.example.test.").await;
    assert_eq!(
        outcomes(&resolve, RecordType::A),
        [QueryOutcome::Truncated, QueryOutcome::Addresses(ips(&["10.0.0.7"]))]
    );
    assert_eq!(resolve.queries.iter().filter(|q| q.transport == Transport::Tcp).count(), 2, "A and AAAA");
}

#[tokio::test]
async fn over_tcp_from_the_start_where_the_pod_says_so() {
    // Over UDP it would say that the answer is too long.
    let server = Server::start(|_, _| Does::Truncates(ips(&["10.0.0.7"]))).await;
    let resolve = asking_with(server.address, "use-vc").resolve("db.svc.test.").await;
    assert_eq!(resolve.addresses, ips(&["10.0.0.7"]));
    assert_eq!(server.asked(), Vec::<String>::new(), "nothing over UDP");
    assert!(resolve.queries.iter().all(|query| query.transport == Transport::Tcp), "{:?}", resolve.queries);
}

#[test]
fn a_slow_server_is_not_one_without_tcp() {
    let retries = Retries { attempts: 2, backoff: Duration::ZERO, max_backoff: Duration::ZERO };
    let ms = Duration::from_millis;
    let patience = Patience { retries, total: ms(3000), longest: ms(2000), late: LATER };
    for (left, cut_off, expected) in [
        (3000, false, 1000),
        (3000, true, 1000),
        (400, false, 400),
        (0, false, 0),
        (400, true, 1000),
        (0, true, 1000),
    ] {
        assert_eq!(patience.time(1, ms(left), cut_off), ms(expected), "{left} ms left, cut off: {cut_off}");
    }
}

#[tokio::test]
async fn every_socket_is_counted_while_it_is_open() {
    for (option, does, most) in [
        ("ndots:1", Does::Keeps, 4),
        ("use-vc", Does::Keeps, 2),
        ("ndots:1", Does::Truncates(ips(&["10.0.0.7"])), 2),
    ] {
        let gate = Gate::default();
        let counted = Arc::new(Mutex::new(Vec::new()));
        let (census, seen) = (gate.census().clone(), counted.clone());
        let server = Server::start(move |_, _| {
            seen.lock().unwrap().push(census.count().0);
            does.clone()
        })
        .await;
        let pod = Pod { gate, ..asking_with(server.address, option) };
        pod.resolve("db.test.").await;
        let counted = counted.lock().unwrap();
        assert_eq!(counted.iter().max(), Some(&most), "{option}: {counted:?}");
        assert_eq!(pod.gate.census().count().0, 0, "all are closed");
    }
}

#[tokio::test]
async fn one_silent_type_does_not_hide_the_other() {
    let server = Server::start(|_, kind| match kind {
        WireType::A => Does::Answers(ips(&["10.0.0.7"])),
        _ => Does::Keeps,
    })
    .await;
    let resolve = asking(server.address).resolve("db.shop.svc.test.").await;
    assert_eq!(resolve.addresses, ips(&["10.0.0.7"]));
    assert!(
        outcomes(&resolve, RecordType::Aaaa).iter().all(|o| *o == QueryOutcome::Timeout),
        "AAAA is silent"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_seen_as_such_and_the_next_is_asked() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::start(|_, _| Does::Answers(ips(&["10.0.0.7"]))).await;
    let text = format!(
        "nameserver [127.0.0.1]:{}\nnameserver [127.0.0.1]:{}\n",
        closed.port(),
        server.address.port()
    );
    let resolve = pod(&text, "").resolve("db.test.").await;
    let found = outcomes(&resolve, RecordType::A);
    let [QueryOutcome::Unreachable { errno, icmp: Some(icmp) }, QueryOutcome::Addresses(_)] = &found[..]
    else {
        panic!("an ICMP refusal, then an answer: {found:?}");
    };
    assert_eq!((*errno, icmp.kind, icmp.code), (libc::ECONNREFUSED, 3, 3), "port unreachable");
    assert_eq!(icmp.offender, Some("127.0.0.1".parse().unwrap()), "from the server's own host");
}

#[tokio::test]
async fn the_hosts_file_comes_first() {
    let server = Server::start(|_, _| Does::Answers(ips(&["10.0.0.7"]))).await;
    let text = format!("nameserver [127.0.0.1]:{}\n", server.address.port());
    let resolve = pod(&text, "192.0.2.1 db\n").resolve("db").await;
    assert_eq!((resolve.source, resolve.addresses), (ResolveSource::HostsFile, ips(&["192.0.2.1"])));
    assert_eq!(server.asked(), Vec::<String>::new(), "no server is asked");
}

#[tokio::test]
async fn answers_are_reused_between_events_only() {
    let server = Server::start(|_, _| Does::Answers(ips(&["10.0.0.7", "fd00::7"]))).await;
    let pod = asking(server.address);
    for (reuse, expected) in [(false, 2), (true, 2), (false, 4)] {
        pod.resolve_again("db.test.", reuse).await.unwrap();
        assert_eq!(server.asked().len(), expected, "queries after a resolution with reuse {reuse}");
    }
}

#[tokio::test]
async fn without_budget_an_answer_of_before_does() {
    let server = Server::start(|_, _| Does::Answers(ips(&["10.0.0.7", "fd00::7"]))).await;
    let pod = asking(server.address);
    pod.resolve_again("db.test.", true).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    let allowance = Allowance::new(Duration::from_secs(3));
    while pod.gate.may_query() {
        assert!(pod.gate.query(&allowance).await);
    }
    let resolve = pod.resolve_again("db.test.", true).await.unwrap();
    assert_eq!(resolve.addresses, ips(&["10.0.0.7", "fd00::7"]), "the TTL of 30 s is over");
    assert_eq!(server.asked().len(), 2, "nobody is asked");
}

#[tokio::test]
async fn without_budget_that_there_was_no_address_proves_nothing() {
    for does in [Does::Code(ResponseCode::NXDomain), Does::Answers(vec![])] {
        let server = Server::start(move |_, _| does.clone()).await;
        let pod = asking(server.address);
        assert_eq!(pod.resolve_again("db.test.", true).await.unwrap().addresses, ips(&[]));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        let allowance = Allowance::new(Duration::from_secs(3));
        while pod.gate.may_query() {
            assert!(pod.gate.query(&allowance).await);
        }
        let asked = server.asked().len();
        let trouble = pod.resolve_again("db.test.", true).await.unwrap_err();
        assert_eq!(trouble.what, LocalTrouble::BUDGET, "the name may be there by now");
        assert_eq!(server.asked().len(), asked, "nobody is asked");
        tokio::time::resume();
    }
}

#[tokio::test(start_paused = true)]
async fn without_budget_the_walk_is_void() {
    let pod = pod("nameserver [127.0.0.1]:9\n", "");
    let allowance = Allowance::new(Duration::from_secs(3));
    for _ in 0..crate::budget::QUERY_BURST {
        assert!(pod.gate.query(&allowance).await, "the burst");
    }
    // The patience of the process' other walks is gone too: these take what comes in the next seconds.
    while pod.gate.query(&allowance).await {}
    let retries = Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO };
    let patience =
        Patience { retries, total: Duration::from_secs(3), longest: Duration::from_secs(1), late: LATER };
    let result = pod
        .resolver
        .resolve(&pod.environment, "db.", &[RecordType::A], patience, (&pod.gate, &allowance), false)
        .await;
    assert_eq!(result.unwrap_err().what, "the budget for DNS queries");
}

#[tokio::test]
async fn what_comes_too_late_is_noted_as_such() {
    let answers = || Does::Answers(ips(&["10.0.0.7"]));
    for (does, expected) in [
        (answers(), QueryOutcome::Addresses(ips(&["10.0.0.7"]))),
        (Does::Code(ResponseCode::ServFail), QueryOutcome::ServerFailure),
    ] {
        let server = Server::start(move |_, kind| match kind {
            WireType::A => Does::Late(Box::new(does.clone())),
            _ => Does::Answers(vec![]),
        })
        .await;
        let resolve = asking(server.address).resolve("db.test.").await;
        let of_a: Vec<_> = resolve.queries.iter().filter(|q| q.record == RecordType::A).collect();
        let [first, second] = of_a[..] else { panic!("two attempts: {of_a:?}") };
        assert_eq!(
            (&first.outcome, &first.late),
            (&QueryOutcome::Timeout, &Some(expected)),
            "the first, which was answered during the second"
        );
        assert_eq!((&second.outcome, &second.late), (&QueryOutcome::Timeout, &None), "the second");
        assert!(resolve.addresses.is_empty(), "it was not in time");
    }
}

#[tokio::test]
async fn a_pair_of_which_one_is_lost_every_time() {
    for (first_only, tries, aaaa) in
        [(true, 3, QueryOutcome::Timeout), (false, 1, QueryOutcome::Addresses(ips(&["fd00::7"])))]
    {
        let server = Server::start(move |_, _| {
            let answers = Does::Answers(ips(&["10.0.0.7", "fd00::7"]));
            if first_only { Does::First(Box::new(answers)) } else { answers }
        })
        .await;
        let pod = asking(server.address);
        let resolve = pod.resolve("db.test.").await;
        assert_eq!(resolve.addresses, ips(&["10.0.0.7", "fd00::7"]), "apart, both are answered");
        let a = QueryOutcome::Addresses(ips(&["10.0.0.7"]));
        let expected = Pair { server: server.address, name: "db.test.".into(), tries, a, aaaa };
        assert_eq!(
            pod.resolver.pair(&pod.environment, &resolve, &pod.gate, true).await,
            Some(expected.clone())
        );
        let asked = server.asked().len();
        let again = pod.resolver.pair(&pod.environment, &resolve, &pod.gate, false).await;
        assert_eq!((again, server.asked().len()), (Some(expected), asked), "it stands for a minute");
    }
}

#[tokio::test]
async fn what_is_not_answered_apart_is_not_asked_as_a_pair() {
    let server = Server::start(|_, kind| match kind {
        WireType::A => Does::Answers(ips(&["10.0.0.7"])),
        _ => Does::Keeps,
    })
    .await;
    let pod = asking(server.address);
    let resolve = pod.resolve("db.test.").await;
    assert_eq!(pod.resolver.pair(&pod.environment, &resolve, &pod.gate, true).await, None);
}

#[tokio::test]
async fn who_asks_one_after_the_other_loses_no_pair() {
    for option in ["single-request", "single-request-reopen"] {
        let server =
            Server::start(|_, _| Does::First(Box::new(Does::Answers(ips(&["10.0.0.7", "fd00::7"]))))).await;
        let pod = asking_with(server.address, option);
        let resolve = pod.resolve("db.test.").await;
        assert_eq!(resolve.addresses.len(), 2, "apart, both are answered");
        assert_eq!(pod.resolver.pair(&pod.environment, &resolve, &pod.gate, true).await, None, "{option}");
    }
}
