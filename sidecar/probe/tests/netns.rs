//! Walks through a real kernel that drops, refuses, redirects and loses, in both families.
//!
//! Needs root, `ip` and `nft`. Without them the tests say that they are skipped, and fail where `CI` is set.

// The helpers of tests panic like tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "netns/hops.rs"]
mod hops;
#[path = "netns/lab.rs"]
mod lab;
#[path = "netns/late.rs"]
mod late;
#[path = "netns/peer.rs"]
mod peer;
#[path = "netns/steady.rs"]
mod steady;
#[path = "netns/witness.rs"]
mod witness;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::Duration;

use lab::{At, Lab, NO_NEIGHBOUR, NOBODY, NODE, SERVER, at, ip};
use peerwalk_model::evidence::{
    Dial, DialOutcome, DialPurpose, IcmpError, LocalPeer, NeighbourState, QueryOutcome, RequestOutcome,
    Trigger, finding,
};
use peerwalk_model::plan::{
    Control, DialScope, DnsTarget, HttpMethod, HttpRequest, PlannedTarget, RecordType, Retries,
    ServiceTarget, TargetKind, UrlTarget,
};
use peerwalk_model::{TargetKey, Walk};
use peerwalk_probe::{Environment, Prober};
use rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};
use tempfile::NamedTempFile;

const ECONNREFUSED: i32 = 111;
const EPERM: i32 = 1;
const EAFNOSUPPORT: i32 = 97;

fn target(kind: TargetKind) -> PlannedTarget {
    PlannedTarget {
        kind,
        http: None,
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(3),
        interval: Duration::from_secs(10),
        retries: Retries {
            attempts: 2,
            backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(100),
        },
        controls: vec![],
    }
}

fn tcp(remote: SocketAddr) -> PlannedTarget {
    let scope = DialScope { networks: vec![], any_address: true };
    target(TargetKind::Url(UrlTarget { url: format!("tcp://{remote}"), roots_pem: None, scope }))
}

fn with_control(mut target: PlannedTarget, address: SocketAddr) -> PlannedTarget {
    target.controls.push(Control { pod: "shop/ping".into(), address, proves: vec![] });
    target
}

/// Walks in the client's namespace; the last walk is the whole one, those before are interim.
fn walks(lab: &Lab, prober: &Prober, target: &PlannedTarget) -> Vec<Walk> {
    walks_by(lab, prober, target, Trigger::Event)
}

fn walks_by(lab: &Lab, prober: &Prober, target: &PlannedTarget, trigger: Trigger) -> Vec<Walk> {
    in_client(lab, async {
        let reported = Mutex::new(Vec::new());
        let report = |walk| reported.lock().unwrap().push(walk);
        let last = prober.walk(key("db"), target, 1, trigger, report).await;
        let mut walks = reported.into_inner().unwrap();
        walks.push(last);
        walks
    })
}

/// Does something in the client's namespace as the sidecar runs: with another uid, and so without capabilities.
fn in_client<T: Send>(lab: &Lab, what: impl Future<Output = T> + Send) -> T {
    lab.run(At::Client, || {
        set_thread_res_gid(Gid::from_raw(65532), Gid::from_raw(65532), Gid::from_raw(65532)).unwrap();
        set_thread_res_uid(Uid::from_raw(65532), Uid::from_raw(65532), Uid::from_raw(65532)).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
    })
}

fn key(target: &str) -> TargetKey {
    TargetKey { check: "shop".into(), target: target.into() }
}

fn dials(walk: &Walk, purpose: DialPurpose) -> Vec<Dial> {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    dials.filter(|dial| dial.purpose == purpose).cloned().collect()
}

/// The dials of a plain target, walked by a fresh prober.
fn dialled(lab: &Lab, target: &PlannedTarget) -> Vec<Dial> {
    let walks = walks(lab, &Prober::new(Environment::default()), target);
    dials(walks.last().unwrap(), DialPurpose::Address)
}

fn refused(icmp: Option<(u8, u8, &str)>, errno: i32) -> DialOutcome {
    let queue = icmp.map(|(kind, code, offender)| IcmpError {
        v6: offender.contains(':'),
        kind,
        code,
        offender: Some(ip(offender)),
    });
    DialOutcome::Failed { errno, immediate: false, queue: queue.into_iter().collect() }
}

fn odd_and_even(dials: &[Dial]) -> (usize, usize) {
    let ports: BTreeSet<u16> = dials.iter().filter_map(|dial| dial.local).map(|local| local.port()).collect();
    let odd = ports.iter().filter(|port| **port % 2 == 1).count();
    (odd, ports.len() - odd)
}

#[test]
fn refusals_are_told_apart() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 82, 83, 84]);
    lab.forward(
        "tcp dport 82 reject with icmpx admin-prohibited
         tcp dport 83 reject with tcp reset
         tcp dport 84 reject with icmpx port-unreachable
         tcp dport 86 reject with icmpx host-unreachable
         tcp dport 87 reject with icmpx no-route",
    );
    // Type and code, and the error numbers: IPv6's administrative prohibition is EACCES.
    for (family, node) in NODE.iter().enumerate() {
        let v6 = family == 1;
        let icmp = |v4: (u8, u8), code6: u8| if v6 { (1, code6, *node) } else { (v4.0, v4.1, *node) };
        for (port, expected) in [
            (80, DialOutcome::Connected { local_peer: None }),
            (82, refused(Some(icmp((3, 13), 1)), if v6 { 13 } else { 113 })),
            (83, refused(None, ECONNREFUSED)),
            (84, refused(Some(icmp((3, 3), 4)), ECONNREFUSED)),
            (85, refused(None, ECONNREFUSED)),
            (86, refused(Some(icmp((3, 1), 3)), 113)),
            (87, refused(Some(icmp((3, 0), 0)), 101)),
        ] {
            let found = dialled(&lab, &tcp(at(SERVER[family], port)));
            assert_eq!(found[0].outcome, expected, "port {port} of {}", SERVER[family]);
            let again = matches!(&expected, DialOutcome::Failed { queue, .. } if queue.is_empty());
            assert_eq!(found.len(), if again { 2 } else { 1 }, "an RST is repeated, nothing else: {found:?}");
        }
    }
}

#[test]
fn silence_is_diagnosed_with_eight_ports_and_controls() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81]);
    lab.forward("tcp dport 81 drop");
    for server in SERVER {
        let target = with_control(tcp(at(server, 81)), at(server, 80));
        let walks = walks(&lab, &Prober::new(Environment::default()), &target);
        let last = walks.last().unwrap();
        let silent = dials(last, DialPurpose::Address);
        assert!(silent.iter().all(|dial| dial.outcome == DialOutcome::Silent), "{server}: {silent:?}");
        assert_eq!(odd_and_even(&silent), (4, 4), "half of eight source ports are odd: {silent:?}");
        assert!(silent[0].retransmits > 0, "the first SYN was sent again: {:?}", silent[0]);
        let controls = dials(last, DialPurpose::Control);
        assert_eq!(controls.len(), 1, "the control is dialled once: {controls:?}");
        assert_eq!(controls[0].outcome, DialOutcome::Connected { local_peer: None });
        assert_eq!(walks.len(), 2, "one interim report, since the control answers");
        let suspected = dials(&walks[0], DialPurpose::Address);
        assert!(walks[0].interim && suspected.len() >= 3, "three ports are silent by then: {suspected:?}");
        assert!(!last.interim);
    }
}

#[test]
fn endpoints_and_the_service_address_are_dialled_in_the_same_window() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81]);
    lab.forward("ip daddr 10.9.2.2 tcp dport 81 drop\nip daddr 10.96.0.10 drop");
    let hosts = hosts_file("10.96.0.10 db.ledger.svc\n");
    let environment = Environment { hosts: hosts.path().to_owned(), ..Environment::default() };
    for (endpoint_port, silent_purpose) in [(81, DialPurpose::Endpoint), (80, DialPurpose::ServiceAddress)] {
        let service = ServiceTarget {
            hostname: "db.ledger.svc".into(),
            port: 5432,
            addresses: vec![ip("10.96.0.10")],
            endpoints: vec![at("10.9.2.2", endpoint_port)],
            tls: None,
        };
        let prober = Prober::new(environment.clone());
        let walks = walks(&lab, &prober, &target(TargetKind::Service(service)));
        let last = walks.last().unwrap();
        let (service, endpoint) =
            (dials(last, DialPurpose::ServiceAddress), dials(last, DialPurpose::Endpoint));
        assert_eq!(service[0].outcome, DialOutcome::Silent);
        let silent = if silent_purpose == DialPurpose::Endpoint { endpoint } else { service };
        assert_eq!(odd_and_even(&silent), (4, 4), "eight ports at the {silent_purpose:?}: {silent:?}");
        let path_answers = silent_purpose == DialPurpose::ServiceAddress;
        assert_eq!(walks.len(), if path_answers { 2 } else { 3 }, "silence everywhere is waited for");
    }
}

#[test]
fn a_fault_of_the_even_ports_is_seen_as_such() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    lab.forward("tcp dport 80 tcp sport & 1 == 0 drop");
    let found = dialled(&lab, &tcp(at(SERVER[0], 80)));
    for dial in &found {
        let odd = dial.local.unwrap().port() % 2 == 1;
        let connected = matches!(dial.outcome, DialOutcome::Connected { .. });
        assert_eq!(connected, odd, "only odd ports get through: {dial:?}");
    }
    assert_eq!(odd_and_even(&found), (4, 4), "both kinds were tried: {found:?}");
}

#[test]
fn a_pod_that_is_gone_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    lab.forward("");
    for (family, nobody) in NOBODY.iter().enumerate() {
        let found = dialled(&lab, &tcp(at(nobody, 80)));
        let (kind, code) = if family == 0 { (3, 1) } else { (1, 3) };
        let gone = refused(Some((kind, code, NODE[family])), 113);
        assert_eq!(
            found[0].outcome, gone,
            "the node's neighbour lookup fails after three seconds: {found:?}"
        );
    }
}

#[test]
fn the_own_neighbour_of_what_fails_is_named() {
    let Some(lab) = Lab::new() else { return };
    lab.forward("");
    for (family, nobody) in NO_NEIGHBOUR.iter().enumerate() {
        for (remote, next, failed) in [(*nobody, *nobody, true), (NOBODY[family], NODE[family], false)] {
            let walks = walks(&lab, &Prober::new(Environment::default()), &tcp(at(remote, 80)));
            let found = &walks.last().unwrap().connect.as_ref().unwrap().neighbours;
            let told: Vec<_> =
                found.iter().map(|n| (n.address.to_string(), n.state == NeighbourState::Failed)).collect();
            assert_eq!(told, [(next.to_owned(), failed)], "{remote}: {found:?}");
        }
    }
}

#[test]
fn no_route_of_our_own_is_immediate() {
    let Some(lab) = Lab::new() else { return };
    lab.run(At::Client, || {
        let deleted = std::process::Command::new("ip").args(["route", "del", "default"]).status();
        assert!(deleted.unwrap().success());
    });
    let found = dialled(&lab, &tcp(at(SERVER[0], 80)));
    let expected = DialOutcome::Failed { errno: 101, immediate: true, queue: vec![] };
    assert_eq!(found[0].outcome, expected, "ENETUNREACH from connect() itself");
}

#[test]
fn a_pod_without_ipv6_is_walked_by_ipv4() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    lab.forward("");
    lab.run(At::Client, || {
        let off = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
        assert!(std::process::Command::new("sh").args(["-c", off]).status().unwrap().success());
    });
    let hosts = hosts_file(&format!("{} db.test\n{} db.test\n", SERVER[0], SERVER[1]));
    let environment = Environment { hosts: hosts.path().to_owned(), ..Environment::default() };
    let scope = DialScope { networks: vec![], any_address: true };
    let kind = TargetKind::Url(UrlTarget { url: "tcp://db.test:80".into(), roots_pem: None, scope });
    let walk = walks(&lab, &Prober::new(environment), &target(kind)).pop().unwrap();
    assert_eq!(walk.local, None, "we lack nothing that the application has");
    let found = dials(&walk, DialPurpose::Address).into_iter().map(|dial| (dial.remote.ip(), dial.outcome));
    let without = DialOutcome::Failed { errno: EAFNOSUPPORT, immediate: true, queue: vec![] };
    let connected = DialOutcome::Connected { local_peer: None };
    assert_eq!(found.collect::<Vec<_>>(), [(ip(SERVER[0]), connected), (ip(SERVER[1]), without)]);
    let unreachable = QueryOutcome::Unreachable { errno: EAFNOSUPPORT, icmp: None };
    assert_eq!(resolve(&lab, SERVER[1])[0], unreachable, "nor is a name server");
}

#[test]
fn a_redirect_in_the_own_namespace_is_found() {
    let Some(lab) = Lab::new() else { return };
    let _interceptor = lab.listen(At::Client, &[15001]);
    lab.rules(
        At::Client,
        "table inet t { chain o { type nat hook output priority -100; tcp dport 80 redirect to :15001;\n}\n}",
    );
    for (server, loopback) in SERVER.iter().zip(["127.0.0.1", "::1"]) {
        let found = dialled(&lab, &tcp(at(server, 80)));
        let peer = LocalPeer::Socket { address: at(loopback, 15001), uid: 0 };
        let expected = DialOutcome::Connected { local_peer: Some(peer) };
        assert_eq!(found[0].outcome, expected, "something in the pod accepts for {server}");
    }
}

#[test]
fn a_received_refusal_is_not_replaced_by_silence() {
    let Some(lab) = Lab::new() else { return };
    let listeners = lab.listen(At::Server, &[82]);
    let (prober, target) = (Prober::new(Environment::default()), tcp(at(SERVER[0], 82)));
    lab.forward("tcp dport 82 reject with icmpx admin-prohibited");
    let first = dials(walks(&lab, &prober, &target).last().unwrap(), DialPurpose::Address);
    let refusal = refused(Some((3, 13, NODE[0])), 113);
    assert_eq!(first[0].outcome, refusal);
    let steady = || {
        let walk = walks_by(&lab, &prober, &target, Trigger::Interval).pop().unwrap();
        dials(&walk, DialPurpose::Address)
    };
    // Its host was asked a moment ago: nothing is dialled, though it would connect.
    lab.forward("");
    assert_eq!(steady(), first, "the refusal is reported again, with its own start");
    lab.forward("tcp dport 82 drop");
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(steady(), first, "silence does not count");
    lab.forward("");
    std::thread::sleep(Duration::from_millis(3100));
    let connected = dials(walks(&lab, &prober, &target).last().unwrap(), DialPurpose::Address);
    assert_eq!(connected[0].outcome, DialOutcome::Connected { local_peer: None }, "an answer forgets it");
    drop(listeners);
}

fn hosts_file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
    file
}

fn resolve(lab: &Lab, server: &str) -> Vec<QueryOutcome> {
    let conf = hosts_file(&format!("nameserver {server}\n"));
    let environment = Environment {
        resolv_conf: conf.path().to_owned(),
        hosts: "/nonexistent".into(),
        ..Environment::default()
    };
    let dns = TargetKind::Dns(DnsTarget { name: "db.ledger.svc.".into(), record: RecordType::A });
    let walks = walks(lab, &Prober::new(environment), &target(dns));
    let resolve = walks.last().unwrap().resolve.clone().unwrap();
    resolve.queries.into_iter().map(|query| query.outcome).collect()
}

#[test]
fn a_blocked_name_server_is_told_from_a_silent_one() {
    let Some(lab) = Lab::new() else { return };
    for (family, server) in SERVER.iter().enumerate() {
        let v6 = family == 1;
        let unreachable = |errno, icmp: Option<(u8, u8, &str)>| QueryOutcome::Unreachable {
            errno,
            icmp: icmp.map(|(kind, code, offender)| IcmpError {
                v6,
                kind,
                code,
                offender: Some(ip(offender)),
            }),
        };
        lab.forward("udp dport 53 drop");
        assert_eq!(resolve(&lab, server), [QueryOutcome::Timeout, QueryOutcome::Timeout], "dropped");

        lab.forward("udp dport 53 reject with icmpx admin-prohibited");
        let (errno, kind, code) = if v6 { (13, 1, 1) } else { (113, 3, 13) };
        assert_eq!(
            resolve(&lab, server)[0],
            unreachable(errno, Some((kind, code, NODE[family]))),
            "rejected"
        );

        lab.forward("");
        let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
        let dead = unreachable(ECONNREFUSED, Some((kind, code, *server)));
        assert_eq!(resolve(&lab, server)[0], dead, "nobody listens there, says the server's own host");

        let own = "table inet t { chain o { type filter hook output priority 0; udp dport 53 drop;\n}\n}";
        lab.rules(At::Client, own);
        assert_eq!(resolve(&lab, server)[0], unreachable(EPERM, None), "dropped in the pod itself");
        lab.rules(At::Client, "");
    }
}

#[test]
fn an_accepted_connection_without_answer_is_no_response() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80]);
    lab.forward("");
    let mut target = tcp(at(SERVER[0], 80));
    let scope = DialScope { networks: vec!["10.9.0.0/16".parse().unwrap()], any_address: false };
    let url = format!("http://{}/", at(SERVER[0], 80));
    target.kind = TargetKind::Url(UrlTarget { url, roots_pem: None, scope });
    target.http = Some(HttpRequest { method: HttpMethod::Head, path: "/".into(), status_below: 500 });
    target.total_timeout = Duration::from_millis(500);
    let walks = walks(&lab, &Prober::new(Environment::default()), &target);
    let walk = walks.last().unwrap();
    assert_eq!(walk.request.as_ref().unwrap().outcome, RequestOutcome::NoResponse);
    let after = walk.after.as_ref().unwrap();
    assert!(
        after.connection.bytes_acked > 0 && after.connection.unacked == 0,
        "it was acknowledged: {after:?}"
    );
    let small = after.small_segments.unwrap();
    assert!(small.mss < 1220 && !small.answered, "nor is the same over small segments answered: {after:?}");
}
