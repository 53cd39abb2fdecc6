//! What a signature must and must not depend on.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::{
    Breaker, Connect, DialPurpose, Hop, IcmpError, LocalTrouble, Pair, ProxyAttempt, ProxyUse, Query,
    QueryOutcome, Request, RequestOutcome, Resolve, ResolveSource, Route, Strain, Tls, TlsOutcome, Transport,
    Trigger,
};
use super::*;
use crate::Timestamp;
use crate::plan::{HttpMethod, RecordType};

fn dial(remote: &str, local_port: u16, outcome: DialOutcome) -> Dial {
    Dial {
        protocol: crate::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Endpoint,
        remote: remote.parse().unwrap(),
        local: Some(SocketAddr::from(([10, 244, 0, 5], local_port))),
        started: Timestamp::from_millis(i64::from(local_port)),
        elapsed: Duration::from_micros(u64::from(local_port)),
        retransmits: 0,
        outcome,
    }
}

fn walk(dials: Vec<Dial>) -> Walk {
    let key = TargetKey { check: "shop".into(), target: "db".into() };
    let mut walk = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
    walk.connect = Some(Connect { dials, ..Connect::default() });
    walk
}

const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };

#[test]
fn times_and_source_ports_do_not_matter() {
    let one = walk(vec![dial("10.0.0.1:80", 40001, DialOutcome::Silent)]);
    let two = walk(vec![dial("10.0.0.1:80", 50002, DialOutcome::Silent)]);
    assert_eq!(signature(&one), signature(&two), "a walk that found the same keeps its signature");
}

#[test]
fn endpoints_in_turn_do_not_matter_while_they_connect() {
    let one = walk(vec![dial("10.0.0.1:80", 1, CONNECTED)]);
    let two = walk(vec![dial("10.0.0.2:80", 1, CONNECTED)]);
    assert_eq!(signature(&one), signature(&two), "which endpoint answered is not news");
}

#[test]
fn who_may_have_accepted_matters() {
    let socket = LocalPeer::Socket { address: "127.0.0.1:15001".parse().unwrap(), uid: 1337 };
    let peers = [None, Some(LocalPeer::Unknown), Some(socket)];
    let found: BTreeSet<u64> = peers
        .map(|local_peer| {
            signature(&walk(vec![dial("10.0.0.1:80", 1, DialOutcome::Connected { local_peer })]))
        })
        .into();
    assert_eq!(found.len(), 3, "nobody here, nobody knows and somebody here are three things: {found:?}");
    let unknown = || DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) };
    let one = walk(vec![dial("10.0.0.1:80", 1, unknown())]);
    let two = walk(vec![dial("10.0.0.2:80", 1, unknown())]);
    assert_eq!(signature(&one), signature(&two), "which endpoint answered is not news");
}

#[test]
fn an_endpoint_that_fails_matters() {
    let refused = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    let one = walk(vec![dial("10.0.0.1:80", 1, refused.clone())]);
    let two = walk(vec![dial("10.0.0.2:80", 1, refused)]);
    assert_ne!(signature(&one), signature(&two), "which endpoint refuses is news");
}

#[test]
fn eight_ports_and_a_retransmission_matter() {
    let few = walk((0..3).map(|p| dial("10.0.0.1:80", p, DialOutcome::Silent)).collect());
    let many = walk((0..8).map(|p| dial("10.0.0.1:80", p, DialOutcome::Silent)).collect());
    let mut again = many.clone();
    again.connect.as_mut().unwrap().dials[0].retransmits = 1;
    let all = [signature(&few), signature(&many), signature(&again)];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3, "each step towards proof is news: {all:?}");
}

#[test]
fn a_proxy_without_address_is_not_one_that_was_not_tried() {
    let through = |dials: Vec<Dial>| {
        let mut walk = walk(vec![]);
        walk.proxied = Some(ProxyAttempt {
            container: "web".into(),
            proxy: "proxy.corp:3128".into(),
            dials,
            connect_status: None,
            tls: None,
            request: None,
            elapsed: Duration::ZERO,
        });
        signature(&walk)
    };
    let skipped = through(vec![dial("192.0.2.7:3128", 1, DialOutcome::Skipped)]);
    assert_ne!(through(vec![]), skipped, "an address that was left out shows that there is one");
}

#[test]
fn the_digest_ignores_order_and_sees_every_target() {
    let a = TargetKey { check: "c".into(), target: "a".into() };
    let b = TargetKey { check: "c".into(), target: "b".into() };
    assert_eq!(digest([(&a, 1), (&b, 2)]), digest([(&b, 2), (&a, 1)]), "order is no news");
    assert_ne!(digest([(&a, 1), (&b, 2)]), digest([(&a, 2), (&b, 1)]), "who has which signature is");
}

fn icmp_error(code: u8, offender: &str) -> IcmpError {
    IcmpError { v6: false, kind: 3, code, offender: Some(offender.parse().unwrap()) }
}

fn asked(record: RecordType, outcome: QueryOutcome) -> Query {
    Query {
        server: "10.96.0.10:53".parse().unwrap(),
        transport: Transport::Udp,
        name: "db.example.".into(),
        record,
        outcome,
        elapsed: Duration::ZERO,
        late: None,
    }
}

fn resolved(source: ResolveSource, addresses: &[&str], queries: Vec<Query>) -> Resolve {
    Resolve {
        name: "db.example".into(),
        source,
        answered: None,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        queries,
        elapsed: Duration::ZERO,
        spent: false,
        pair: None,
    }
}

fn exchanged(outcome: RequestOutcome) -> Request {
    let (method, url, elapsed) = (HttpMethod::Head, "http://db.example/".into(), Duration::ZERO);
    Request { method, url, status_below: 500, outcome, elapsed }
}

fn shaken(outcome: TlsOutcome) -> Tls {
    Tls { server_name: "db.example".into(), outcome, elapsed: Duration::ZERO }
}

#[test]
fn how_a_name_was_answered_is_news_and_how_long_it_took_is_not() {
    let of = |change: &dyn Fn(&mut Resolve)| {
        let answer = QueryOutcome::Addresses(vec!["10.0.0.1".parse().unwrap()]);
        let mut resolve = resolved(ResolveSource::Dns, &["10.0.0.1"], vec![asked(RecordType::A, answer)]);
        resolve.answered = Some("db.example.".into());
        change(&mut resolve);
        signature(&Walk { resolve: Some(resolve), ..walk(vec![]) })
    };
    let plain = of(&|_| {});
    let pair = |tries, aaaa| Pair {
        server: "10.96.0.10:53".parse().unwrap(),
        name: "db.example.".into(),
        tries,
        a: QueryOutcome::NoData,
        aaaa,
    };
    let same: [&dyn Fn(&mut Resolve); 3] = [
        &|resolve| resolve.elapsed = Duration::from_secs(1),
        &|resolve| resolve.pair = Some(pair(1, QueryOutcome::NoData)),
        &|resolve| resolve.pair = Some(pair(1, QueryOutcome::Timeout)),
    ];
    for change in same {
        assert_eq!(of(change), plain, "it says the same of the name");
    }
    let silent = |late| Query { late, ..asked(RecordType::A, QueryOutcome::Timeout) };
    let other: [&dyn Fn(&mut Resolve); 6] = [
        &|resolve| resolve.spent = true,
        &|resolve| resolve.pair = Some(pair(3, QueryOutcome::Timeout)),
        &|resolve| resolve.answered = Some("db.example.shop.".into()),
        &|resolve| resolve.queries.insert(0, silent(None)),
        &|resolve| (resolve.addresses, resolve.queries) = (vec![], vec![silent(None)]),
        &|resolve| {
            (resolve.addresses, resolve.queries) = (vec![], vec![silent(Some(QueryOutcome::NameNotFound))]);
        },
    ];
    let mut seen = BTreeSet::from([plain]);
    for (number, change) in other.into_iter().enumerate() {
        assert!(seen.insert(of(change)), "change {number} says something else");
    }
    let late = |outcome| {
        of(&|resolve| {
            resolve.addresses = vec![];
            resolve.queries = vec![silent(Some(QueryOutcome::clone(&outcome)))];
        })
    };
    let address = QueryOutcome::Addresses(vec!["10.0.0.9".parse().unwrap()]);
    assert_eq!(late(address), late(QueryOutcome::NoData), "which answer came late is no news");
    assert_ne!(late(QueryOutcome::ServerFailure), late(QueryOutcome::NoData), "that it was a failure is");
}

/// A walk in which every stage found something.
fn full() -> Walk {
    let failed = |errno, immediate, queue| DialOutcome::Failed { errno, immediate, queue };
    let mut walk = walk(vec![
        dial("10.0.0.1:80", 1, failed(113, false, vec![icmp_error(13, "10.90.0.2")])),
        dial("10.0.0.2:80", 2, DialOutcome::Silent),
        dial("10.0.0.3:80", 3, CONNECTED),
        dial("10.0.0.4:80", 4, DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) }),
    ]);
    let icmp = Some(icmp_error(3, "10.96.0.10"));
    walk.resolve = Some(resolved(
        ResolveSource::Dns,
        &[],
        vec![
            asked(RecordType::A, QueryOutcome::NameNotFound),
            asked(RecordType::Aaaa, QueryOutcome::Unreachable { errno: 111, icmp }),
        ],
    ));
    walk.route = Some(Route {
        proxied: vec![ProxyUse {
            container: "web".into(),
            variable: "http_proxy".into(),
            scheme: "http".into(),
            proxy: "proxy.corp:3128".into(),
            credentials: true,
            exceptions: Some(("NO_PROXY".into(), "localhost".into())),
            clients: vec!["curl".into()],
            direct_clients: vec!["wget".into()],
            entry: ".svc".into(),
        }],
        not_visible: vec!["web".into()],
    });
    walk.tls = Some(shaken(TlsOutcome::Failed("expired".into())));
    walk.request = Some(exchanged(RequestOutcome::Status(503)));
    walk.proxied = Some(ProxyAttempt {
        container: "web".into(),
        proxy: "proxy.corp:3128".into(),
        dials: vec![dial("192.0.2.7:3128", 1, failed(111, true, vec![]))],
        connect_status: Some(407),
        tls: Some(shaken(TlsOutcome::UntrustedIssuer)),
        request: Some(exchanged(RequestOutcome::Malformed("no".into()))),
        elapsed: Duration::ZERO,
    });
    walk.local = Some(LocalTrouble { what: "descriptors".into(), errno: 24 });
    walk
}

/// Versions of the program compare these numbers with each other: they never change.
#[test]
fn the_numbers_are_the_same_in_every_version() {
    let mut empty = walk(vec![]);
    empty.connect = None;
    let mut good = walk(vec![dial("10.0.0.1:80", 1, CONNECTED)]);
    good.resolve = Some(resolved(ResolveSource::HostsFile, &["10.0.0.2", "10.0.0.1"], vec![]));
    good.request = Some(exchanged(RequestOutcome::Status(200)));
    for (walk, written, number) in [
        (empty, "", 0xcbf2_9ce4_8422_2325),
        (
            good,
            "resolve hosts [10.0.0.1, 10.0.0.2] [];connect [endpoint connected];request status 200;",
            0x6101_493c_dd0f_a3c1,
        ),
        (
            full(),
            "resolve dns [] [11:db.example. A name not found, 11:db.example. AAAA unreachable 111 [3/3 v6 false \
             from [10.96.0.10]]];route [3:web 10:http_proxy 4:http 15:proxy.corp:3128 credentials true [8:NO_PROXY \
             9:localhost] [4:curl] [4:wget] 4:.svc] [3:web];connect [endpoint 10.0.0.1:80 errno 113 false [3/13 v6 \
             false from [10.90.0.2]], endpoint 10.0.0.2:80 silent, enough false, again false, endpoint connected, \
             endpoint connected, perhaps to ourselves];tls failed 7:expired;request status 503;proxied \
             15:proxy.corp:3128 resolved true [endpoint 192.0.2.7:3128 errno 111 true []] [407] [untrusted issuer] \
             [malformed 2:no];local 11:descriptors 24;",
            0x7dc7_b73d_c08c_edcd,
        ),
    ] {
        assert_eq!(text(&walk), written);
        assert_eq!(signature(&walk), number, "{written}");
    }
}

#[test]
fn the_words_are_the_same_in_every_version() {
    use super::words::{purpose, query, request, tls};
    let purposes = [
        DialPurpose::ServiceAddress,
        DialPurpose::Endpoint,
        DialPurpose::Address,
        DialPurpose::Control,
        DialPurpose::Proxy,
    ];
    assert_eq!(purposes.map(purpose), ["service", "endpoint", "address", "control", "proxy"]);
    let queries = [
        QueryOutcome::Addresses(vec!["10.0.0.1".parse().unwrap()]),
        QueryOutcome::NoData,
        QueryOutcome::ServerFailure,
        QueryOutcome::Refused,
        QueryOutcome::OtherCode(4),
        QueryOutcome::Truncated,
        QueryOutcome::Timeout,
        QueryOutcome::Unreachable { errno: 111, icmp: None },
        QueryOutcome::Malformed,
    ];
    let written = [
        "addresses [10.0.0.1]",
        "no data",
        "server failure",
        "refused",
        "code 4",
        "truncated",
        "timeout",
        "unreachable 111 []",
        "malformed",
    ];
    assert_eq!(queries.map(|outcome| query(&outcome)), written);
    let handshakes = [TlsOutcome::Established, TlsOutcome::Reset, TlsOutcome::Timeout];
    assert_eq!(handshakes.map(|outcome| tls(&outcome)), ["established", "reset", "timeout"]);
    let exchanges = [RequestOutcome::Reset, RequestOutcome::NoResponse];
    assert_eq!(exchanges.map(|outcome| request(&outcome)), ["reset", "no response"]);
}

#[test]
fn breakers_are_told_and_begin_no_new_run() {
    let with = |breakers: &[(&str, bool, u32)]| {
        let mut walk = walk(vec![dial("10.0.0.1:80", 1, DialOutcome::Silent)]);
        let breaker = |(remote, open, failures): &(&str, bool, u32)| Breaker {
            remote: remote.parse().unwrap(),
            open: *open,
            failures: *failures,
        };
        walk.connect.as_mut().unwrap().breakers = breakers.iter().map(breaker).collect();
        walk
    };
    let (closed, open) = (with(&[]), with(&[("10.0.0.1:80", true, 5)]));
    let (later, dialled) = (with(&[("10.0.0.1:80", true, 9)]), with(&[("10.0.0.1:80", false, 9)]));
    assert_eq!(signature(&open), signature(&later), "how often it failed is not news");
    for other in [&closed, &dialled] {
        assert_ne!(signature(other), signature(&open), "what is told grows older while it is open");
        assert_eq!(finding(other), finding(&open), "the address is what it was");
    }
}

#[test]
fn hops_are_told_and_begin_no_new_run() {
    let with = |hops: &[(u8, Option<&str>, bool)], v4| {
        let mut walk = walk(vec![dial("10.0.0.1:80", 1, DialOutcome::Silent)]);
        let hop = |(ttl, from, reached): &(u8, Option<&str>, bool)| Hop {
            remote: "10.0.0.1:80".parse().unwrap(),
            ttl: *ttl,
            from: from.map(|from| from.parse().unwrap()),
            reached: *reached,
        };
        let connect = walk.connect.as_mut().unwrap();
        connect.hops = hops.iter().map(hop).collect();
        connect.hop_limits = HopLimits { v4, v6: None };
        walk
    };
    let none = with(&[], None);
    let mut seen = BTreeSet::from([signature(&none)]);
    for other in [
        with(&[(1, Some("10.90.0.1"), false)], None),
        with(&[(1, Some("10.90.0.2"), false)], None),
        with(&[(2, Some("10.90.0.1"), false)], None),
        with(&[(2, None, false)], None),
        with(&[(2, None, true)], None),
        with(&[], Some(64)),
        with(&[], Some(1)),
    ] {
        assert!(seen.insert(signature(&other)), "judging reads it: {other:#?}");
        assert_eq!(finding(&other), finding(&none), "a router that has no error to spare ends no run");
    }
}

#[test]
fn strain_is_a_word_and_not_a_figure() {
    let with =
        |strain| Walk { strain: Some(strain), ..walk(vec![dial("10.0.0.1:80", 1, DialOutcome::Silent)]) };
    let starved = |ms| with(Strain { throttled: Duration::from_millis(ms), ..Strain::default() });
    let short = with(Strain { descriptors: 10, descriptors_limit: 10, ..Strain::default() });
    assert_eq!(signature(&starved(100)), signature(&starved(900)), "how long it was is not news");
    assert!(text(&starved(100)).ends_with("strained;") && text(&short).ends_with("short of descriptors;"));
}

#[test]
fn an_old_refusal_is_told_and_begins_no_new_run() {
    let queue = vec![icmp_error(13, "10.244.0.1")];
    let refused = DialOutcome::Failed { errno: 113, immediate: false, queue };
    let received = |ago: i64, outcome: &DialOutcome| {
        let mut walk = walk(vec![dial("10.0.0.1:80", 1, outcome.clone())]);
        walk.connect.as_mut().unwrap().dials[0].started = Timestamp::from_millis(-ago);
        walk
    };
    let fresh = received(0, &refused);
    assert_eq!(signature(&received(5_000, &refused)), signature(&fresh), "of another target, a moment ago");
    let old = received(5_001, &refused);
    assert_ne!(signature(&old), signature(&fresh), "it grows older with every walk that repeats it");
    assert_eq!(signature(&received(50_000, &refused)), signature(&old), "how old it is is not news");
    assert_eq!(finding(&old), finding(&fresh), "the address is what it was");
    assert_eq!(signature(&received(50_000, &CONNECTED)), signature(&received(0, &CONNECTED)));
}
