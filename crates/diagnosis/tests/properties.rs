//! What holds for any evidence at all: a verdict without panic, the same one each time, and no invariant
//! broken. And what must never be said: something confirmed out of loss.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // All of it is test code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_diagnosis::{
    Attestation, Case, Coverage, EndpointDecision, EndpointFacts, Facts, Latency, PairEvidence, Quantiles,
    ServiceFacts, Sighting, SourceFacts, TargetFacts, check, explain, judge,
};
use peerwalk_model::evidence::{
    AfterConnect, Connect, Connection, Dial, DialOutcome, DialPurpose, Hop, HopLimits, IcmpError, LocalPeer,
    LocalTrouble, Neighbour, NeighbourState, Pair, ProxyAttempt, ProxyUse, Query, QueryOutcome, Request,
    RequestOutcome, Resolve, ResolveSource, Route, SmallSegments, Strain, Tls, TlsOutcome, Transport,
    Trigger, Walk,
};
use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use peerwalk_model::plan::{Control, HttpMethod, RecordType};
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Observed, Reason, Stage, TargetKey};
use proptest::prelude::*;
use proptest::sample::select;

use peerwalk_diagnosis::scenario::scene::{SOURCE, at, dials, history, node};

const ENDPOINTS: [&str; 3] = ["10.244.1.8:5432", "10.244.0.9:5432", "198.51.100.10:5432"];
const SERVICE: &str = "10.96.3.7:5432";

/// A moment near the walk, which runs from 100 000 to 102 000.
fn moment() -> impl Strategy<Value = i64> {
    select(vec![0, 60_000, 95_000, 99_000, 100_000, 100_500, 102_000, 103_000, 170_000])
}

fn offender() -> impl Strategy<Value = Option<IpAddr>> {
    let known = [SOURCE, "10.90.0.1", "10.90.0.2", "10.244.0.1", "10.244.1.8", "192.0.2.1", "10.96.3.7"];
    prop_oneof![Just(None), select(known.map(|ip| Some(ip.parse().unwrap())).to_vec())]
}

/// A proxy in the pod, a transparent one at the address dialled, the pod's own application, or nobody knows.
fn local_peer() -> impl Strategy<Value = LocalPeer> {
    let sockets = ["127.0.0.1:15001", "10.244.0.5:15001", "10.244.0.5:5432", SERVICE, ENDPOINTS[0]];
    let socket = select(sockets.to_vec())
        .prop_map(|address| LocalPeer::Socket { address: address.parse().unwrap(), uid: 1337 });
    prop_oneof![2 => socket, 1 => Just(LocalPeer::Unknown)]
}

fn icmp_error() -> impl Strategy<Value = IcmpError> {
    let codes = vec![(3, 0), (3, 1), (3, 3), (3, 4), (3, 10), (3, 13), (11, 0), (1, 1), (200, 7)];
    (any::<bool>(), select(codes), offender()).prop_map(|(v6, (kind, code), offender)| IcmpError {
        v6,
        kind,
        code,
        offender,
    })
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    let states = vec![NeighbourState::Failed, NeighbourState::Incomplete, NeighbourState::Reachable];
    let addresses = select(vec!["10.244.1.8", "10.244.0.9", "10.244.0.1"]);
    (addresses, select(states))
        .prop_map(|(address, state)| Neighbour { address: address.parse().unwrap(), state })
}

/// The ways to some addresses, mostly by two routers in turn, and the pod's own limits.
fn around() -> impl Strategy<Value = (Vec<Neighbour>, Vec<Hop>, HopLimits)> {
    let limit = || select(vec![None, Some(1), Some(32), Some(64), Some(255)]);
    let from = || prop_oneof![3 => select(vec![Some("10.90.0.1"), Some("10.90.0.2")]), 1 => Just(None), 1 => Just(Some("10.96.3.7"))];
    let way = (
        select([&ENDPOINTS[..], &[SERVICE]].concat()),
        prop::collection::vec((from(), prop::bool::weighted(0.05)), 0..6),
    );
    let way = way.prop_map(|(remote, answers)| -> Vec<Hop> {
        let hop = |(ttl, (from, reached)): (u8, (Option<&str>, bool))| Hop {
            remote: remote.parse().unwrap(),
            ttl,
            from: from.map(|from| from.parse().unwrap()),
            reached,
        };
        (1..).zip(answers).map(hop).collect()
    });
    let ways = prop::collection::vec(way, 0..3).prop_map(|ways| ways.concat());
    let limits = (limit(), limit()).prop_map(|(v4, v6)| HopLimits { v4, v6 });
    (prop::collection::vec(neighbour(), 0..3), ways, limits)
}

fn after() -> impl Strategy<Value = AfterConnect> {
    let counts = (0_u32..3, 0_u32..4, 0_u64..3, 0_u32..2, prop::option::of(0_u32..2));
    let small = prop::option::of(any::<bool>().prop_map(|answered| SmallSegments { mss: 536, answered }));
    let errno = select(vec![None, None, Some(13), Some(111), Some(113), Some(101), Some(110)]);
    (counts, prop::collection::vec(icmp_error(), 0..2), errno, small).prop_map(
        |((unacked, retransmits, bytes_received, not_sent, peer_window), queue, errno, small_segments)| {
            AfterConnect {
                connection: Connection {
                    unacked,
                    retransmits,
                    bytes_received,
                    not_sent,
                    peer_window,
                    queue,
                    errno,
                    ..Connection::default()
                },
                small_segments,
            }
        },
    )
}

fn outcome() -> impl Strategy<Value = DialOutcome> {
    let errno = select(vec![0, 1, 11, 13, 22, 24, 99, 101, 104, 110, 111, 113, 9999]);
    prop_oneof![
        3 => Just(DialOutcome::Connected { local_peer: None }),
        1 => local_peer().prop_map(|peer| DialOutcome::Connected { local_peer: Some(peer) }),
        4 => Just(DialOutcome::Silent),
        4 => (errno, any::<bool>(), prop::collection::vec(icmp_error(), 0..3))
            .prop_map(|(errno, immediate, mut queue)| {
                // What the kernel refuses for want of something leaves no entry.
                queue.retain(|_| !matches!(errno, 11 | 24 | 99));
                DialOutcome::Failed { errno, immediate, queue }
            }),
        1 => Just(DialOutcome::NotAllowed),
        1 => Just(DialOutcome::Skipped),
    ]
}

fn dial() -> impl Strategy<Value = Dial> {
    let place = prop_oneof![
        Just((DialPurpose::ServiceAddress, SERVICE)),
        select(ENDPOINTS.to_vec()).prop_map(|endpoint| (DialPurpose::Endpoint, endpoint)),
        select(ENDPOINTS.to_vec()).prop_map(|endpoint| (DialPurpose::Address, endpoint)),
        Just((DialPurpose::Control, "10.244.1.9:8080")),
        Just((DialPurpose::Control, "10.244.1.8:9999")),
    ];
    (place, prop::option::of(40_000_u16..40_020), moment(), 0_u32..3, outcome()).prop_map(
        |((purpose, remote), port, started, retransmits, outcome)| Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: port.filter(|port| port % 2 == 0),
            purpose,
            remote: remote.parse().unwrap(),
            local: port.map(|port| SocketAddr::new(SOURCE.parse().unwrap(), port)),
            // None begins after the walk has ended.
            started: at(started.min(102_000)),
            elapsed: Duration::from_millis(1),
            retransmits,
            outcome,
        },
    )
}

/// Scattered dials, or a whole series that ends the same way, as real ones do.
fn dialled() -> impl Strategy<Value = Vec<Dial>> {
    let series = (dial(), 1_u16..12).prop_map(|(first, count)| {
        let one = |number| Dial {
            local: Some(SocketAddr::new(SOURCE.parse().unwrap(), 41_000 + number)),
            ..first.clone()
        };
        (0..count).map(one).collect::<Vec<_>>()
    });
    prop_oneof![
        prop::collection::vec(dial(), 0..12),
        prop::collection::vec(series, 1..4).prop_map(|series| series.concat()),
    ]
}

fn listener() -> impl Strategy<Value = Listener> {
    let elsewhere = select(vec![None, Some("127.0.0.1:5432"), Some("[::]:5432")]);
    prop_oneof![
        2 => Just(Listener::Listens { queue: 0, backlog: 128 }),
        2 => Just(Listener::Listens { queue: 129, backlog: 128 }),
        2 => elsewhere.prop_map(|at| Listener::Absent { elsewhere: at.map(|at| at.parse().unwrap()) }),
        1 => Just(Listener::Unknown),
    ]
}

/// What a kernel holds of the ends it was asked for: now and then from another source, or left behind by a client of
/// before.
fn seen(tuple: Tuple) -> impl Strategy<Value = Seen> {
    let counts = select(vec![(0, 0), (120, 0), (0, 3)]);
    let quiet = select(vec![0, 900, 2_500, 60_000]);
    let state = select(vec![1, 1, 3, 3, 3, 6, 7, 10, 12]);
    let socket = (state, prop::bool::weighted(0.1), any::<bool>(), counts, quiet).prop_map(
        move |(state, translated, closed, (unread, retransmits), quiet)| PeerSocket {
            source: if translated { "10.244.0.1:1987".parse().unwrap() } else { tuple.source },
            state,
            closed,
            unread,
            retransmits,
            quiet: Duration::from_millis(quiet),
        },
    );
    (prop::option::weighted(0.7, socket), listener()).prop_map(move |(socket, listener)| Seen {
        tuple,
        socket,
        listener,
    })
}

/// One look: mostly of whole series of ports, which a kernel holds alike, at the endpoints or at a pod that is none.
fn attestation() -> impl Strategy<Value = Attestation> {
    let who = select(vec![
        ("ledger/postgres-0", true, ENDPOINTS[0]),
        ("ledger/postgres-0", true, ENDPOINTS[0]),
        ("ledger/postgres-1", true, ENDPOINTS[1]),
        ("ledger/old-0", false, "10.244.1.30:5432"),
    ]);
    let at_ms = select(vec![95_000, 99_990, 100_500, 101_000, 102_000, 102_400, 104_000]);
    let ports = (select(vec![40_000_u16, 41_000]), 1_u16..9);
    (who, at_ms, ports, 0_u64..3, 0_u64..2, prop::bool::weighted(0.1)).prop_flat_map(
        |((who, endpoint, destination), at_ms, (first, count), overflows, cookies, always_cookies)| {
            let tuple = move |port| Tuple {
                source: SocketAddr::new(SOURCE.parse().unwrap(), port),
                destination: destination.parse().unwrap(),
                mss: None,
            };
            seen(tuple(first)).prop_map(move |one| {
                let of = |port| {
                    let own = |socket: &PeerSocket| socket.source.ip() == tuple(port).source.ip();
                    let mut socket = one.socket.clone();
                    if let Some(socket) = socket.as_mut().filter(|socket| own(socket)) {
                        socket.source = tuple(port).source;
                    }
                    Seen { tuple: tuple(port), socket, listener: one.listener.clone() }
                };
                let saw = Saw {
                    seen: (first..first + count).map(of).collect(),
                    listen_overflows: overflows,
                    syn_cookies: cookies,
                    always_cookies,
                };
                Attestation { who: who.into(), endpoint, at: at(at_ms), saw }
            })
        },
    )
}

/// None, one look, or several.
fn attestations() -> impl Strategy<Value = Vec<Attestation>> {
    prop::collection::vec(attestation(), 0..3)
}

/// The same dial over UDP; controls stay what they are.
fn datagram(dial: Dial) -> Dial {
    if dial.purpose == DialPurpose::Control {
        return dial;
    }
    let outcome = match dial.outcome {
        DialOutcome::Connected { .. } => DialOutcome::Answered { bytes: 4 },
        other => other,
    };
    Dial { protocol: peerwalk_model::Protocol::Udp, outcome, ..dial }
}

fn resolve() -> impl Strategy<Value = Resolve> {
    let outcome = select(vec![
        QueryOutcome::NoData,
        QueryOutcome::NameNotFound,
        QueryOutcome::ServerFailure,
        QueryOutcome::Refused,
        QueryOutcome::OtherCode(4),
        QueryOutcome::Truncated,
        QueryOutcome::Timeout,
        QueryOutcome::Unreachable { errno: 111, icmp: None },
        QueryOutcome::Malformed,
    ]);
    let late = prop::option::weighted(0.2, outcome.clone());
    let server = select(vec!["10.96.0.10:53", "169.254.20.10:53"]);
    let query = (outcome, any::<bool>(), late, server).prop_map(|(outcome, second, late, server)| Query {
        server: server.parse().unwrap(),
        transport: Transport::Udp,
        name: if second { "a.b." } else { "a." }.into(),
        record: RecordType::A,
        late: late.filter(|_| outcome == QueryOutcome::Timeout),
        outcome,
        elapsed: Duration::from_millis(1),
    });
    let address = select(vec!["10.96.3.7", "10.0.0.1"]).prop_map(|ip| ip.parse::<IpAddr>().unwrap());
    let pair = prop::option::weighted(0.2, 1_u32..4).prop_map(|tries| {
        tries.map(|tries| Pair {
            server: "10.96.0.10:53".parse().unwrap(),
            name: "a.".into(),
            tries,
            a: QueryOutcome::NoData,
            aaaa: QueryOutcome::Timeout,
        })
    });
    let found = (prop::collection::vec(address, 0..2), prop::collection::vec(query, 0..4));
    (found, any::<bool>(), pair, any::<bool>()).prop_map(|((addresses, queries), spent, pair, answered)| {
        Resolve {
            name: "postgres.ledger.svc".into(),
            source: ResolveSource::Dns,
            answered: answered.then(|| "a.".into()),
            addresses,
            queries,
            elapsed: Duration::from_millis(1),
            spent,
            pair,
        }
    })
}

fn tls() -> impl Strategy<Value = Tls> {
    let outcomes = vec![
        TlsOutcome::Established,
        TlsOutcome::UntrustedIssuer,
        TlsOutcome::Failed("expired".into()),
        TlsOutcome::Reset,
        TlsOutcome::Timeout,
    ];
    select(outcomes).prop_map(|outcome| Tls {
        server_name: "postgres".into(),
        outcome,
        elapsed: Duration::from_millis(1),
    })
}

fn request() -> impl Strategy<Value = Request> {
    let outcomes = vec![
        RequestOutcome::Status(200),
        RequestOutcome::Status(403),
        RequestOutcome::Status(407),
        RequestOutcome::Status(503),
        RequestOutcome::Reset,
        RequestOutcome::NoResponse,
        RequestOutcome::Malformed("no".into()),
    ];
    select(outcomes).prop_map(|outcome| Request {
        method: HttpMethod::Head,
        url: "http://postgres/".into(),
        status_below: 500,
        outcome,
        elapsed: Duration::from_millis(1),
    })
}

const PROXIES: [&str; 2] = ["proxy.corp:3128", "other.corp:3128"];

fn proxy_use() -> impl Strategy<Value = ProxyUse> {
    let clients = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let scheme = prop_oneof![4 => Just("http"), 1 => Just("socks5")];
    let who = select(vec![(2, 0), (2, 1), (1, 2)]);
    let container = select(vec!["app", "agent"]);
    (scheme, select(PROXIES.to_vec()), prop::bool::weighted(0.3), who, container).prop_map(
        move |(scheme, proxy, credentials, (proxied, direct), container)| ProxyUse {
            container: container.into(),
            variable: "http_proxy".into(),
            scheme: scheme.into(),
            proxy: proxy.into(),
            credentials,
            exceptions: None,
            clients: clients(&["curl", "go"][..proxied]),
            direct_clients: clients(&["wget", "axios"][..direct]),
            entry: ".svc".into(),
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    (prop::collection::vec(proxy_use(), 0..3), prop::bool::weighted(0.2)).prop_map(|(proxied, hidden)| {
        Route { proxied, not_visible: if hidden { vec!["app".into()] } else { Vec::new() } }
    })
}

fn attempt() -> impl Strategy<Value = ProxyAttempt> {
    let connected = Just(DialOutcome::Connected { local_peer: None });
    let dial = (prop_oneof![connected, outcome()], any::<bool>()).prop_map(|(outcome, v6)| Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Proxy,
        remote: if v6 { "[2001:db8::7]:3128" } else { "192.0.2.7:3128" }.parse().unwrap(),
        local: None,
        started: at(100_000),
        elapsed: Duration::from_millis(1),
        retransmits: 0,
        outcome,
    });
    let status = select(vec![None, Some(200), Some(403), Some(407), Some(503)]);
    let dials = prop::collection::vec(dial, 0..3);
    let stages = (status, prop::option::of(tls()), prop::option::weighted(0.8, request()));
    (select(PROXIES.to_vec()), dials, stages).prop_map(|(proxy, dials, (connect_status, tls, request))| {
        ProxyAttempt {
            container: "app".into(),
            proxy: proxy.into(),
            dials,
            connect_status,
            tls,
            request,
            elapsed: Duration::from_millis(1),
        }
    })
}

prop_compose! {
    fn evidence()(
        dialled in dialled(),
        udp in prop::bool::weighted(0.15),
        (neighbours, hops, hop_limits) in around(),
        resolve in prop::option::of(resolve()),
        tls in prop::option::of(tls()),
        request in prop::option::of(request()),
        after in prop::option::of(after()),
        by_proxy in prop::option::weighted(0.4, (route(), prop::option::weighted(0.8, attempt()))),
        local in prop::option::weighted(0.05, Just(LocalTrouble { what: "descriptors".into(), errno: 24 })),
        starved in prop::bool::weighted(0.15),
        interim in prop::bool::weighted(0.2),
        times in [moment(), moment(), moment()],
        ordinary in prop::bool::weighted(0.8),
        attestations in attestations(),
        awaits in prop::bool::weighted(0.2),
        consecutive in prop_oneof![0_u32..4, 9_u32..13],
    ) -> PairEvidence {
        let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
        let mut walk = Walk::begin(key, 1, Trigger::Event, at(100_000));
        let dialled: Vec<Dial> = if udp { dialled.into_iter().map(datagram).collect() } else { dialled };
        walk.connect = (!dialled.is_empty()).then_some(Connect { dials: dialled, neighbours, hops, hop_limits, ..Connect::default() });
        walk.ended = at(102_000);
        walk.resolve = resolve;
        walk.tls = tls;
        walk.request = request;
        walk.after = after;
        let (route, proxied) = by_proxy.unzip();
        (walk.route, walk.proxied) = (route, proxied.flatten());
        walk.local = local;
        walk.strain = starved.then(|| Strain { throttled: Duration::from_secs(1), ..Strain::default() });
        walk.interim = interim;
        let since = if consecutive > 1 { 60_000 } else { 100_000 };
        let [since, started, ended] = if ordinary { [since, 100_000, 102_000] } else { times };
        PairEvidence {
            attestations,
            awaited: awaits.then(|| "ledger/postgres-0".to_owned()).into_iter().collect(),
            walk,
            since: at(since),
            started: at(started),
            ended: at(ended),
            consecutive,
        }
    }
}

prop_compose! {
    fn endpoint()(
        has_pod in prop::bool::weighted(0.8),
        on in select(vec![None, Some("n1"), Some("n2")]),
        flags in any::<[bool; 3]>(),
        gone in prop::bool::weighted(0.2),
        seen in [prop::option::of(moment()), prop::option::of(moment()), prop::option::of(moment()),
            prop::option::of(moment())],
    ) -> EndpointFacts {
        let sighting = |seen: Option<i64>| seen.map(|ms| Sighting { who: "ledger/ping".into(), at: at(ms) });
        EndpointFacts {
            pod: has_pod.then(|| "ledger/postgres-0".into()),
            gone,
            node: on.map(node),
            ready: flags[0],
            host_network: flags[1] && flags[2],
            node_lease_fresh: flags[2],
            started: seen[0].map(at),
            last_heard: seen[1].map(at),
            admitted_source: sighting(seen[2]),
            path: sighting(seen[3]),
        }
    }
}

fn target() -> impl Strategy<Value = TargetFacts> {
    let service = (any::<[bool; 3]>(), 0_usize..3, 0_usize..2, prop::option::of(moment())).prop_map(
        |(flags, ready, local, changed)| {
            TargetFacts::Service(ServiceFacts {
                name: "ledger/postgres".into(),
                port: "5432".into(),
                found: true,
                port_found: true,
                number: Some(5432),
                headless: flags[0],
                addresses: flags[2].then(|| ip("10.96.3.7:5432")).into_iter().collect(),
                ready,
                local,
                internal_traffic_policy_local: flags[1],
                asked: None,
                changed: changed.map(at),
                owners: BTreeSet::new(),
            })
        },
    );
    prop_oneof![6 => service, 2 => Just(TargetFacts::Url { allowed: true }), 1 => Just(TargetFacts::Dns)]
}

/// Times of walks that passed, near the points where they begin to matter, in milliseconds.
fn latency() -> impl Strategy<Value = Latency> {
    let quantiles = |limit: u64| {
        select(vec![0, limit / 10, limit / 2 - 1, limit / 2, limit]).prop_map(|p99| Quantiles {
            p50: Duration::from_millis(p99 / 3),
            p99: Duration::from_millis(p99),
        })
    };
    (select(vec![0, 19, 20, 700]), quantiles(2000), quantiles(3000)).prop_map(|(samples, connect, whole)| {
        let (connect_limit, whole_limit) = (Duration::from_secs(2), Duration::from_secs(3));
        Latency { samples, connect, whole, connect_limit, whole_limit }
    })
}

prop_compose! {
    fn facts()(
        target in target(),
        endpoints in prop::collection::vec(endpoint(), 3),
        known in 0_usize..4,
        source_started in prop::option::of(moment()),
        [unreadable, services_unheard, names_service] in [0.1; 3].map(prop::bool::weighted),
        reporting in any::<bool>(),
        latency in prop::option::of(latency()),
    ) -> Facts {
        let endpoints = ENDPOINTS.iter().zip(endpoints).take(known);
        Facts {
            coverage: if reporting { Coverage::Reporting } else { Coverage::NotInjected },
            source: SourceFacts {
                pod: "shop/web".into(),
                addresses: vec![SOURCE.parse().unwrap()],
                node: Some(node("n1")),
                host_network: false,
                started: source_started.map(at),
            },
            endpoints: endpoints.map(|(address, facts)| (ip(address), facts)).collect(),
            controls: vec![Control {
                pod: "ledger/ping".into(),
                address: "10.244.1.9:8080".parse().unwrap(),
                proves: vec![ip(ENDPOINTS[0])],
            }],
            services_unheard,
            names_service,
            unreadable_policy_kinds: if unreadable { vec!["CiliumNetworkPolicy".into()] } else { Vec::new() },
            latency,
            ..Facts::alone(target)
        }
    }
}

fn ip(address: &str) -> IpAddr {
    address.parse::<SocketAddr>().unwrap().ip()
}

/// Decisions for some of the endpoints, each with a few changes.
fn decisions() -> impl Strategy<Value = Vec<EndpointDecision>> {
    let words = select(vec![
        vec![],
        vec!["egress"],
        vec!["ingress"],
        vec!["egress", "ingress"],
        vec!["ingress", "caveat"],
        vec!["caveat"],
    ]);
    let changes = prop::collection::vec((moment(), words), 0..3);
    prop::collection::vec(changes, 0..4).prop_map(|all| {
        let decision = |(endpoint, mut changes): (&&str, Vec<(i64, Vec<&str>)>)| {
            changes.sort_by_key(|(at, _)| *at);
            // What denies ingress is a policy of the ledger's: the address outside has none.
            let pod = if endpoint.starts_with("198.") { None } else { Some("ledger/postgres-0") };
            let deny = |words: Vec<&str>| -> Vec<String> {
                words
                    .into_iter()
                    .filter(|word| pod.is_some() || *word != "ingress")
                    .map(String::from)
                    .collect()
            };
            let changes: Vec<_> = changes.into_iter().map(|(at, words)| (at, deny(words))).collect();
            history(endpoint.parse().unwrap(), pod, &changes)
        };
        ENDPOINTS.iter().zip(all).map(decision).collect()
    })
}

/// What one address answers, as in the scenarios; `{}` stands for the address itself.
fn said() -> impl Strategy<Value = &'static str> {
    let failed = [
        "silent 8 again",
        "silent 8 again",
        "silent 1",
        "reset",
        "icmp 3/0 from 10.90.0.1",
        "icmp 3/1 from 10.90.0.2",
        "icmp 3/3 from {}",
        "icmp 3/13 from 10.90.0.2",
        "icmp 3/13 from 10.244.1.77",
        "notAllowed",
        "skipped",
    ];
    let odd = ["connected by {}", "connected by 127.0.0.1:15001", "connected by nobody-knows"];
    prop_oneof![8 => Just("connected"), 1 => select(odd.to_vec()), 6 => select(failed.to_vec())]
}

fn lines(purpose: &str, remote: &str, said: Option<&str>) -> Vec<Dial> {
    // The sender of an ICMP error has no port.
    let text = |said: &str| {
        let own = if said.starts_with("icmp") { ip(remote).to_string() } else { remote.to_owned() };
        format!("{purpose} {remote} {}", said.replace("{}", &own))
    };
    said.map(|said| dials(&text(said), 100_000)).unwrap_or_default()
}

/// When a decision changed, and what denied it from then on.
type Changes = Vec<(i64, Vec<&'static str>)>;

/// How decisions of two endpoints came to be what they are: mostly the same, and mostly long ago.
fn decided() -> impl Strategy<Value = [Option<Changes>; 2]> {
    let odd = vec![
        None,
        Some(vec![(0, vec![])]),
        Some(vec![(0, vec!["egress"])]),
        Some(vec![(0, vec!["caveat"])]),
        Some(vec![(0, vec!["ingress", "caveat"])]),
        Some(vec![(99_000, vec!["ingress"])]),
        Some(vec![(0, vec![]), (94_000, vec!["ingress"])]),
        Some(vec![(0, vec!["ingress"]), (94_000, vec![])]),
        Some(vec![(0, vec!["ingress"]), (99_000, vec![])]),
    ];
    // What was left to the network plugin becomes certain, shortly before the walk or after it.
    let certain = |at, deny: &[&'static str]| {
        let doubtful = [deny, &["caveat"]].concat();
        Some(vec![(0, doubtful), (at, deny.to_vec())])
    };
    let ordinary = prop_oneof![
        6 => select(vec![Some(vec![(0, vec![])]), Some(vec![(0, vec!["ingress"])])]),
        1 => (select(vec![60_000, 94_000, 99_000, 102_400]), any::<bool>())
            .prop_map(move |(at, denies)| certain(at, if denies { &["ingress"] } else { &[] })),
    ];
    (ordinary, prop::option::of(select(odd)), any::<bool>()).prop_map(|(both, other, first)| {
        let other = other.unwrap_or_else(|| both.clone());
        if first { [other, both] } else { [both, other] }
    })
}

prop_compose! {
    /// A Service with endpoints of which some are dialled, and what everybody knows of them.
    fn behind_a_service()(
        own in prop::option::weighted(0.9, said()),
        endpoints in [prop::option::weighted(0.8, said()), prop::option::weighted(0.8, said())],
        decided in decided(),
        run in select(vec![(100_000, 1), (98_000, 2), (95_000, 2), (60_000, 5), (60_000, 5), (60_000, 5), (60_000, 1)]),
        changed in prop::option::weighted(0.2, select(vec![60_000, 97_000, 101_000])),
        request in prop::option::weighted(0.8, request()),
        facts in facts(),
        (headless, local_only, number) in
            (prop::bool::weighted(0.1), prop::bool::weighted(0.15), select(vec![5432, 5432, 80])),
        attestations in attestations(),
        (ready, gateway, readable) in (select(vec![0, 1, 2, 2, 2, 3]), any::<bool>(), prop::bool::weighted(0.9)),
    ) -> (PairEvidence, Vec<EndpointDecision>, Facts) {
        let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
        let mut walk = Walk::begin(key, 1, Trigger::Event, at(100_000));
        let mut dialled = lines("service", SERVICE, own.filter(|_| !headless));
        for (remote, said) in ENDPOINTS.iter().zip(endpoints) {
            dialled.extend(lines("endpoint", remote, said));
        }
        walk.connect = Some(Connect { dials: dialled, ..Connect::default() });
        walk.request = request;
        walk.ended = at(102_000);
        let decide = |(endpoint, changes): (&&str, Option<Changes>)| {
            let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
            let changes: Vec<_> = changes?.into_iter().map(|(at, words)| (at, owned(words))).collect();
            Some(history(endpoint.parse().unwrap(), Some("ledger/postgres-0"), &changes))
        };
        let decisions = ENDPOINTS.iter().zip(decided).filter_map(decide).collect();
        let service = ServiceFacts {
            name: "ledger/postgres".into(),
            port: "db".into(),
            found: true,
            port_found: true,
            number: Some(number),
            headless,
            ready,
            internal_traffic_policy_local: local_only,
            changed: changed.map(at),
            ..ServiceFacts::default()
        };
        let gateway = gateway.then(|| "10.244.1.77".parse().unwrap());
        let facts = Facts {
            target: TargetFacts::Service(service),
            pod_offenders: gateway.into_iter().collect(),
            unreadable_policy_kinds: if readable { Vec::new() } else { vec!["CiliumNetworkPolicy".into()] },
            ..facts
        };
        let (since, consecutive) = run;
        let pair = PairEvidence { since: at(since), consecutive, attestations, ..PairEvidence::first(walk) };
        (pair, decisions, facts)
    }
}

fn expectation() -> impl Strategy<Value = Expectation> {
    select(vec![Expectation::Reachable, Expectation::Denied])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_evidence_gives_one_sound_verdict(
        expect in expectation(),
        evidence in prop::option::weighted(0.95, evidence()),
        decisions in decisions(),
        facts in facts(),
        wants_request in any::<bool>(),
        now in select(vec![90_000, 102_000, 102_500, 110_000, 162_500, 500_000]),
    ) {
        let case = Case {
            expect,
            wants_request,
            evidence: evidence.as_ref(),
            decisions: &decisions,
            facts: &facts,
            now: at(now),
        };
        let verdict = judge(&case);
        prop_assert_eq!(check(&case, &verdict), Vec::new(), "no invariant is broken by {:#?}", verdict);
        prop_assert_eq!(&judge(&case), &verdict, "the same case gives the same verdict");
        let walk = evidence.as_ref().map(|evidence| &evidence.walk);
        let text = explain("shop/web", "ledger/postgres:5432", &verdict, walk);
        prop_assert_eq!(text.lines().count(), verdict.because.len() + 1, "one line for each reason");
    }

    /// All is well directly, or an endpoint refuses as the policies say; the proxy may do anything.
    #[test]
    fn any_way_through_a_proxy_gives_one_sound_verdict(
        expect in expectation(),
        elsewhere in any::<bool>(),
        denied in prop::bool::weighted(0.3),
        direct in select(vec![200, 403]),
        (route, attempt) in (route(), prop::option::weighted(0.9, attempt())),
        interim in prop::bool::weighted(0.1),
    ) {
        let endpoint = if elsewhere { ENDPOINTS[2] } else { ENDPOINTS[0] };
        let (purpose, pod) =
            if elsewhere { ("address", None) } else { ("endpoint", Some("ledger/postgres-0")) };
        let outcome = if denied { "icmp 3/13 from 10.90.0.1" } else { "connected" };
        let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
        let mut walk = Walk::begin(key, 1, Trigger::Event, at(100_000));
        walk.connect = Some(Connect { dials: dials(&format!("{purpose} {endpoint} {outcome}"), 100_000), ..Connect::default() });
        let url = "http://postgres/".into();
        let status = RequestOutcome::Status(direct);
        let elapsed = Duration::from_millis(1);
        walk.request = (!denied && !interim)
            .then_some(Request { method: HttpMethod::Head, url, status_below: 500, outcome: status, elapsed });
        (walk.route, walk.proxied) = (Some(route), attempt.filter(|_| !interim));
        walk.interim = interim;
        walk.ended = at(102_000);
        let evidence = PairEvidence::first(walk);
        let service = ServiceFacts {
            name: "ledger/postgres".into(),
            found: true,
            port_found: true,
            ready: 1,
            ..ServiceFacts::default()
        };
        let target =
            if elsewhere { TargetFacts::Url { allowed: true } } else { TargetFacts::Service(service) };
        let known = EndpointFacts { pod: pod.map(Into::into), node: Some(node("n1")), ..EndpointFacts::default() };
        let facts = Facts {
            source: SourceFacts {
                pod: "shop/web".into(),
                addresses: vec![SOURCE.parse().unwrap()],
                node: Some(node("n1")),
                ..SourceFacts::default()
            },
            endpoints: BTreeMap::from([(ip(endpoint), known)]),
            ..Facts::alone(target)
        };
        let denies = if denied { vec!["egress".to_owned()] } else { Vec::new() };
        let decisions = [history(endpoint.parse().unwrap(), pod, &[(0, denies)])];
        let case = Case {
            expect,
            wants_request: true,
            evidence: Some(&evidence),
            decisions: &decisions,
            facts: &facts,
            now: at(102_500),
        };
        let verdict = judge(&case);
        prop_assert_eq!(check(&case, &verdict), Vec::new(), "no invariant is broken by {:#?}", verdict);
        prop_assert_eq!(&judge(&case), &verdict, "the same case gives the same verdict");
    }

    #[test]
    fn a_service_is_judged_by_all_that_stands_behind_it(
        expect in expectation(),
        wants_request in any::<bool>(),
        (evidence, decisions, facts) in behind_a_service(),
    ) {
        let case = Case {
            expect,
            wants_request,
            evidence: Some(&evidence),
            decisions: &decisions,
            facts: &facts,
            now: at(102_500),
        };
        let verdict = judge(&case);
        prop_assert_eq!(check(&case, &verdict), Vec::new(), "no invariant is broken by {:#?}", verdict);
    }

    /// Health first, latency second: what was measured of the time makes a plain word more particular, and nothing
    /// surer or other than it is.
    #[test]
    fn measured_times_change_a_plain_word_alone(
        expect in expectation(),
        wants_request in any::<bool>(),
        evidence in evidence(),
        decisions in decisions(),
        facts in facts(),
        latency in latency(),
    ) {
        let untimed = Facts { latency: None, ..facts.clone() };
        let timed = Facts { latency: Some(latency), ..facts };
        let case = |facts| Case {
            expect,
            wants_request,
            evidence: Some(&evidence),
            decisions: &decisions,
            facts,
            now: at(102_500),
        };
        let (plain, found) = (judge(&case(&untimed)), judge(&case(&timed)));
        prop_assert_eq!((plain.observed, plain.stage, plain.confidence), (found.observed, found.stage, found.confidence));
        prop_assert_eq!(&plain.policy, &found.policy);
        let words = match found.stage {
            Stage::Connect => [Reason::ConnectTimeout, Reason::Dropped],
            _ => [Reason::NoResponse, Reason::TlsHandshakeFailed],
        };
        let particular = found.reason == Some(Reason::SlowResponse)
            && plain.confidence < Confidence::Confirmed
            && plain.reason.is_some_and(|reason| words.contains(&reason));
        prop_assert!(plain.reason == found.reason || particular, "{plain:#?} became {found:#?}");
        prop_assert_eq!(check(&case(&timed), &found), Vec::new(), "no invariant is broken by {:#?}", found);
    }

    /// Every proof is at hand, policies deny, allow or are unknown; some sockets of the eight are answered.
    #[test]
    fn loss_is_never_confirmed(
        answered in 1_u8..=255,
        service_answered in 0_u8..=3,
        reset in any::<bool>(),
        denies in select(vec![None, Some(vec![]), Some(vec!["ingress".to_owned()]), Some(vec!["egress".to_owned()])]),
        expect in expectation(),
        attestations in attestations(),
    ) {
        let endpoint = ENDPOINTS[0];
        let answer = if reset { "reset" } else { "connected" };
        let socket = |purpose: &str, remote: &str, bit: u16, answered: bool| {
            let text = if answered { format!("{purpose} {remote} {answer}") } else { format!("{purpose} {remote} silent 1 again") };
            let mut dial = dials(&text, 100_000).remove(0);
            dial.local = Some(SocketAddr::new(SOURCE.parse().unwrap(), 40_000 + bit));
            dial
        };
        let mut dialled: Vec<Dial> =
            (0..8_u16).map(|bit| socket("endpoint", endpoint, bit, answered & (1 << bit) != 0)).collect();
        dialled.extend((0..2_u16).map(|bit| socket("service", SERVICE, bit, service_answered & (1 << bit) != 0)));
        let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
        let mut walk = Walk::begin(key, 1, Trigger::Event, at(100_000));
        walk.connect = Some(Connect { dials: dialled, ..Connect::default() });
        walk.ended = at(102_000);
        let evidence = PairEvidence { attestations, ..PairEvidence::first(walk) };
        let seen = |who: &str| Some(Sighting { who: who.into(), at: at(101_000) });
        let known = EndpointFacts {
            pod: Some("ledger/postgres-0".into()),
            node: Some(node("n2")),
            ready: true,
            node_lease_fresh: true,
            last_heard: Some(at(101_000)),
            admitted_source: seen("shop/batch"),
            path: seen("ledger/ping"),
            ..EndpointFacts::default()
        };
        let service = ServiceFacts {
            name: "ledger/postgres".into(),
            found: true,
            port_found: true,
            ready: 1,
            ..ServiceFacts::default()
        };
        let facts = Facts {
            endpoints: BTreeMap::from([(ip(endpoint), known)]),
            ..Facts::alone(TargetFacts::Service(service))
        };
        let decisions: Vec<EndpointDecision> = denies
            .map(|denies| history(endpoint.parse().unwrap(), Some("ledger/postgres-0"), &[(0, denies)]))
            .into_iter()
            .collect();
        let case = Case {
            expect,
            wants_request: false,
            evidence: Some(&evidence),
            decisions: &decisions,
            facts: &facts,
            now: at(102_500),
        };
        let verdict = judge(&case);
        let lossless = answered == 255 && service_answered == 3;
        let reset_by_all = reset && answered == 255;
        // Who holds a connection that came about is a matter of no packet that was lost.
        let held = verdict.reason == Some(Reason::WrongBackend) && !reset && service_answered > 0;
        if !lossless && !reset_by_all {
            prop_assert!(
                verdict.reason.is_none() || verdict.confidence < Confidence::Confirmed || held,
                "nothing is confirmed out of loss: {verdict:#?}"
            );
            prop_assert_ne!(verdict.observed, Observed::Denied);
        }
        prop_assert_eq!(check(&case, &verdict), Vec::new(), "no invariant is broken by {:#?}", verdict);
    }
}

#[test]
fn every_reason_has_a_scenario() {
    // One pair always has a source pod and a check that can be read; what a check says of a pair that is
    // reachable without any reason is not the pair's.
    let elsewhere =
        BTreeSet::from([Reason::NoSourcePods, Reason::NotReadable, Reason::UnexpectedlyReachable]);
    let folder = |reason: &Reason| {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(reason.code()).is_dir()
    };
    let missing: Vec<&Reason> =
        Reason::ALL.iter().filter(|reason| !elsewhere.contains(reason) && !folder(reason)).collect();
    assert_eq!(missing, Vec::<&Reason>::new(), "every reason code is shown by a scenario");
}
