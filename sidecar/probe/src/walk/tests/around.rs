//! Ways around the rules of dialling, each with a server behind it that nothing may reach.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType as WireType};
use tokio::net::UdpSocket;

use super::*;
use crate::connect::{Choice, Order};
use crate::url::TargetUrl;

/// A server on all addresses of loopback that counts its connections.
async fn forbidden() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let (port, reached) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&reached);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, reached)
}

/// A URL target that the operator's configuration allows to lead anywhere.
fn anywhere(url: String) -> PlannedTarget {
    let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap()).to_vec();
    let scope = DialScope { networks, any_address: true };
    target(TargetKind::Url(UrlTarget { url, roots_pem: None, scope }), Some("/"))
}

/// How many dials were made; those that were not allowed are told as such.
fn dialled(walk: &Walk) -> usize {
    let all = outcomes(walk);
    all.iter().filter(|(_, _, outcome)| *outcome != DialOutcome::NotAllowed).count()
}

#[tokio::test]
async fn no_host_leads_to_what_is_never_dialled() {
    // What name servers and files may say of a name, and what a URL may say itself.
    let hosts = "127.0.0.1 2130706433 0177.0.0.1 0x7f000001 127.1 rebound.example short\n\
                 ::ffff:127.0.0.1 mapped.example\n\
                 64:ff9b::7f00:1 translated.example\n\
                 2002:7f00:1::1 sixtofour.example\n\
                 169.254.169.254 metadata.example\n\
                 0.0.0.0 unspecified.example\n\
                 fd00:ec2::254 metadata6.example\n";
    for host in [
        // Forms that some resolvers read as 127.0.0.1: names like any other here, wherever they lead.
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "127.1",
        "rebound.example",
        "short",
        "mapped.example",
        "translated.example",
        "sixtofour.example",
        "metadata.example",
        "unspecified.example",
        "metadata6.example",
        // Addresses.
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",
        "255.255.255.255",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
    ] {
        let (port, served) = forbidden().await;
        let (prober, _file) = prober(hosts, vec![], DialRules::Plan);
        let walk = walk(&prober, &anywhere(format!("http://{host}:{port}/"))).await;
        assert_eq!(walk.local, None, "{host} is a target that can be walked");
        assert_eq!((dialled(&walk), served.load(Ordering::Relaxed)), (0, 0), "{host}: {:?}", walk.connect);
        assert!(walk.resolve.is_none_or(|resolve| !resolve.addresses.is_empty()), "{host} leads somewhere");
    }
}

#[test]
fn no_url_hides_its_host() {
    for (url, host) in [
        ("http://api.example.com/@127.0.0.1", Some("api.example.com")),
        ("http://api.example.com/?@127.0.0.1", Some("api.example.com")),
        ("http://api.example.com@127.0.0.1/", None),
        ("http://api.example.com:80@127.0.0.1/", None),
        ("http://127.0.0.1\\@api.example.com/", None),
        ("http://127.0.0.1 api.example.com/", None),
        // With a zone it is no address, and as a name nobody knows it.
        ("http://[::1%25eth0]/", Some("::1%25eth0")),
        ("file:///etc/passwd", None),
        ("gopher://127.0.0.1/", None),
    ] {
        let read = TargetUrl::parse(url).ok().map(|read| read.host);
        assert_eq!(read.as_deref(), host, "{url}");
    }
}

#[test]
fn what_is_dialled_is_what_was_checked() {
    let planned = anywhere("http://rebound.example:80/".into());
    let resolved: Vec<IpAddr> =
        ["127.0.0.1", "10.244.0.9", "::1", "169.254.169.254"].map(|ip| ip.parse().unwrap()).to_vec();
    let order = Order { turn: 0, failed: &[], all: true };
    let choice = Choice::new(&planned.kind, 80, &resolved, DialRules::Plan, order);
    // Addresses and no name: nothing is left to resolve when they are dialled.
    let dialled: Vec<SocketAddr> = choice.first.iter().chain(&choice.rest).map(|want| want.remote).collect();
    assert_eq!(dialled, ["10.244.0.9:80".parse().unwrap()]);
    assert_eq!(choice.refused.len(), 3);
}

/// A name server that answers each further question with the next address.
async fn rebinding(answers: &'static [&'static str]) -> (SocketAddr, Arc<AtomicUsize>) {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (udp.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let question = query.queries[0].clone();
            let mut message = Message::response(query.metadata.id, OpCode::Query);
            message.add_query(question.clone());
            if question.query_type == WireType::A {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                let ip = answers[number.min(answers.len() - 1)].parse().unwrap();
                message.add_answer(Record::from_rdata(question.name.clone(), 0, RData::A(A(ip))));
            }
            udp.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    (address, asked)
}

/// A prober that asks that name server, with more in its resolv.conf.
fn asking(server: SocketAddr, more: &str) -> (Prober, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(format!("nameserver [127.0.0.1]:{}\n{more}", server.port()).as_bytes()).unwrap();
    let environment = Environment {
        resolv_conf: file.path().to_owned(),
        hosts: "/nonexistent".into(),
        rules: DialRules::Plan,
        ..Environment::default()
    };
    (Prober::new(environment), file)
}

#[tokio::test]
async fn a_search_list_leads_nowhere_else() {
    let (port, served) = forbidden().await;
    let (server, asked) = rebinding(&["127.0.0.1"]).await;
    let (prober, _file) = asking(server, "search evil.test cluster.local\noptions ndots:5\n");
    for host in ["short", "api.shop.svc"] {
        let walk = walk(&prober, &anywhere(format!("http://{host}:{port}/"))).await;
        let resolve = walk.resolve.clone().expect("resolved");
        assert_eq!(resolve.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()], "{host}");
        assert!(
            resolve
                .queries
                .iter()
                .any(|query| query.name.trim_end_matches('.') == format!("{host}.evil.test")),
            "{host} by the search list: {resolve:?}"
        );
        assert_eq!((dialled(&walk), served.load(Ordering::Relaxed)), (0, 0), "{host}: {:?}", walk.connect);
    }
    assert!(asked.load(Ordering::Relaxed) >= 2, "it is the name server that was asked");
}

/// A name server for which every name is another's, as a Service of type ExternalName is, whose address is that.
async fn aliasing(leads_to: Ipv4Addr) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let question = query.queries[0].clone();
            let mut message = Message::response(query.metadata.id, OpCode::Query);
            message.add_query(question.clone());
            let alias = Name::from_ascii("outside.example.").unwrap();
            let cname = RData::CNAME(CNAME(alias.clone()));
            message.add_answer(Record::from_rdata(question.name.clone(), 0, cname));
            if question.query_type == WireType::A {
                message.add_answer(Record::from_rdata(alias, 0, RData::A(A(leads_to))));
            }
            udp.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn an_alias_leads_to_nothing_that_may_not_be_dialled() {
    for forbidden_address in ["127.0.0.1", "169.254.169.254", "0.0.0.0"] {
        let (port, served) = forbidden().await;
        let server = aliasing(forbidden_address.parse().unwrap()).await;
        let (prober, _file) = asking(server, "");
        let walk = walk(&prober, &anywhere(format!("http://alias.shop.svc.cluster.local.:{port}/"))).await;
        let resolve = walk.resolve.clone().expect("resolved");
        assert_eq!(resolve.addresses, [forbidden_address.parse::<IpAddr>().unwrap()], "it is followed");
        assert_eq!((dialled(&walk), served.load(Ordering::Relaxed)), (0, 0), "{:?}", walk.connect);
    }
}

#[tokio::test]
async fn a_name_that_changes_is_resolved_once_for_a_walk() {
    let (port, served) = forbidden().await;
    // Documentation addresses: out of scope, so nothing is sent there.
    let (server, asked) = rebinding(&["192.0.2.1", "127.0.0.1"]).await;
    let (prober, _file) = asking(server, "");
    let scope = DialScope { networks: vec!["198.51.100.0/24".parse().unwrap()], any_address: false };
    let url = format!("http://rebound.example.:{port}/");
    let kind = TargetKind::Url(UrlTarget { url, roots_pem: None, scope });
    let walked = walk(&prober, &target(kind, Some("/"))).await;
    let resolve = walked.resolve.clone().expect("resolved");
    assert_eq!(resolve.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    let led_to: Vec<IpAddr> = outcomes(&walked).iter().map(|(_, remote, _)| remote.ip()).collect();
    assert_eq!(led_to, resolve.addresses, "what other questions are answered later leads nowhere");
    assert_eq!((dialled(&walked), served.load(Ordering::Relaxed)), (0, 0));
    assert!(asked.load(Ordering::Relaxed) >= 1, "it is the name server that was asked");
}
