//! Messages of every shape, within the limits.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use peerwalk_model::evidence::{
    AfterConnect, Breaker, Connect, Connection, Dial, DialOutcome, DialPurpose, Hop, HopLimits, IcmpError,
    LocalPeer, LocalTrouble, Neighbour, NeighbourState, Pair, ProxyAttempt, ProxyUse, Query, QueryOutcome,
    Request, RequestOutcome, Resolve, ResolveSource, Route, SmallSegments, Strain, Tls, TlsOutcome,
    Transport, Trigger,
};
use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use peerwalk_model::plan::{
    Control, DialScope, DnsTarget, HttpMethod, HttpRequest, PlannedTarget, RecordType, Retries,
    ServiceTarget, ServiceTls, TargetKind, UrlTarget,
};
use peerwalk_model::report::{Heartbeat, Sockets, TargetFreshness, Took, Transition};
use peerwalk_model::{PodRef, Protocol, Stage, TargetKey, Timestamp, Walk};
use peerwalk_wire::{
    FromHub, FromSidecar, Hello, PlanDelta, Refusal, RefusalCode, RetryReason, Transitions, Versions,
};
use prop::collection::vec;
use prop::option::of;
use proptest::prelude::*;

/// The moment of sending.
pub const SENT_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn text() -> impl Strategy<Value = String> {
    "[ -~äß漢]{0,20}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,12}"
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0_u64..10_000_000_000).prop_map(|age| SENT_AT.minus(Duration::from_millis(age)))
}

fn micros() -> impl Strategy<Value = Duration> {
    (0_u64..10_000_000_000).prop_map(Duration::from_micros)
}

fn above_zero() -> impl Strategy<Value = Duration> {
    (1_u64..10_000_000_000).prop_map(Duration::from_micros)
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

pub fn key() -> impl Strategy<Value = TargetKey> {
    (name(), name()).prop_map(|(check, target)| TargetKey { check, target })
}

fn record() -> impl Strategy<Value = RecordType> {
    prop_oneof![Just(RecordType::A), Just(RecordType::Aaaa)]
}

fn method() -> impl Strategy<Value = HttpMethod> {
    prop_oneof![Just(HttpMethod::Head), Just(HttpMethod::Get)]
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Resolve),
        Just(Stage::Route),
        Just(Stage::Connect),
        Just(Stage::Tls),
        Just(Stage::Request)
    ]
}

fn icmp() -> impl Strategy<Value = IcmpError> {
    (any::<bool>(), any::<u8>(), any::<u8>(), of(any::<IpAddr>()))
        .prop_map(|(v6, kind, code, offender)| IcmpError { v6, kind, code, offender })
}

fn dial() -> BoxedStrategy<Dial> {
    let peer = prop_oneof![
        (socket(), any::<u32>()).prop_map(|(address, uid)| LocalPeer::Socket { address, uid }),
        Just(LocalPeer::Unknown),
    ];
    let outcome = prop_oneof![
        of(peer).prop_map(|local_peer| DialOutcome::Connected { local_peer }),
        any::<u32>().prop_map(|bytes| DialOutcome::Answered { bytes }),
        Just(DialOutcome::Silent),
        (any::<i32>(), any::<bool>(), vec(icmp(), 0..3))
            .prop_map(|(errno, immediate, queue)| DialOutcome::Failed { errno, immediate, queue }),
        Just(DialOutcome::NotAllowed),
        Just(DialOutcome::Skipped),
    ];
    let purpose = prop_oneof![
        Just(DialPurpose::ServiceAddress),
        Just(DialPurpose::Endpoint),
        Just(DialPurpose::Address),
        Just(DialPurpose::Control),
        Just(DialPurpose::Proxy),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let kind = (purpose, protocol, of(any::<u16>()));
    (kind, socket(), of(socket()), moment(), micros(), any::<u32>(), outcome)
        .prop_map(|((purpose, protocol, mss), remote, local, started, elapsed, retransmits, outcome)| Dial {
            purpose,
            protocol,
            remote,
            local,
            started,
            elapsed,
            retransmits,
            mss,
            outcome,
        })
        .boxed()
}

fn query_outcome() -> impl Strategy<Value = QueryOutcome> {
    prop_oneof![
        vec(any::<IpAddr>(), 0..4).prop_map(QueryOutcome::Addresses),
        Just(QueryOutcome::NoData),
        Just(QueryOutcome::NameNotFound),
        Just(QueryOutcome::ServerFailure),
        Just(QueryOutcome::Refused),
        any::<u16>().prop_map(QueryOutcome::OtherCode),
        Just(QueryOutcome::Truncated),
        Just(QueryOutcome::Timeout),
        (any::<i32>(), of(icmp())).prop_map(|(errno, icmp)| QueryOutcome::Unreachable { errno, icmp }),
        Just(QueryOutcome::Malformed),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let transport = prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)];
    (socket(), transport, text(), record(), query_outcome(), micros(), of(query_outcome())).prop_map(
        |(server, transport, name, record, outcome, elapsed, late)| Query {
            server,
            transport,
            name,
            record,
            outcome,
            elapsed,
            late,
        },
    )
}

fn pair() -> impl Strategy<Value = Pair> {
    (socket(), text(), any::<u32>(), query_outcome(), query_outcome())
        .prop_map(|(server, name, tries, a, aaaa)| Pair { server, name, tries, a, aaaa })
}

fn resolve() -> BoxedStrategy<Resolve> {
    let source = prop_oneof![Just(ResolveSource::HostsFile), Just(ResolveSource::Dns)];
    let found = (of(text()), vec(any::<IpAddr>(), 0..4), vec(query(), 0..4));
    (text(), source, found, micros(), any::<bool>(), of(pair()))
        .prop_map(|(name, source, (answered, addresses, queries), elapsed, spent, pair)| Resolve {
            name,
            source,
            answered,
            addresses,
            queries,
            elapsed,
            spent,
            pair,
        })
        .boxed()
}

fn tls() -> impl Strategy<Value = Tls> {
    let outcome = prop_oneof![
        Just(TlsOutcome::Established),
        Just(TlsOutcome::UntrustedIssuer),
        text().prop_map(TlsOutcome::Failed),
        Just(TlsOutcome::Reset),
        Just(TlsOutcome::Timeout),
    ];
    (text(), outcome, micros()).prop_map(|(server_name, outcome, elapsed)| Tls {
        server_name,
        outcome,
        elapsed,
    })
}

fn request() -> BoxedStrategy<Request> {
    let outcome = prop_oneof![
        any::<u16>().prop_map(RequestOutcome::Status),
        Just(RequestOutcome::Reset),
        Just(RequestOutcome::NoResponse),
        text().prop_map(RequestOutcome::Malformed),
    ];
    (method(), text(), any::<u16>(), outcome, micros())
        .prop_map(|(method, url, status_below, outcome, elapsed)| Request {
            method,
            url,
            status_below,
            outcome,
            elapsed,
        })
        .boxed()
}

fn route() -> impl Strategy<Value = Route> {
    let named = (text(), text(), text(), text(), any::<bool>());
    let clients = (of((text(), text())), vec(text(), 0..3), vec(text(), 0..3), text());
    let proxy_use = (named, clients).prop_map(
        |(
            (container, variable, scheme, proxy, credentials),
            (exceptions, clients, direct_clients, entry),
        )| {
            ProxyUse {
                container,
                variable,
                scheme,
                proxy,
                credentials,
                exceptions,
                clients,
                direct_clients,
                entry,
            }
        },
    );
    (vec(proxy_use, 0..3), vec(text(), 0..3))
        .prop_map(|(proxied, not_visible)| Route { proxied, not_visible })
}

fn attempt() -> BoxedStrategy<ProxyAttempt> {
    (text(), text(), vec(dial(), 0..3), of(any::<u16>()), of(tls()), of(request()), micros())
        .prop_map(|(container, proxy, dials, connect_status, tls, request, elapsed)| ProxyAttempt {
            container,
            proxy,
            dials,
            connect_status,
            tls,
            request,
            elapsed,
        })
        .boxed()
}

fn around() -> BoxedStrategy<Connect> {
    let state = prop_oneof![
        Just(NeighbourState::Incomplete),
        Just(NeighbourState::Reachable),
        Just(NeighbourState::Stale),
        Just(NeighbourState::Delay),
        Just(NeighbourState::Probe),
        Just(NeighbourState::Failed),
        Just(NeighbourState::Fixed),
        Just(NeighbourState::Absent),
    ];
    let neighbour = (any::<IpAddr>(), state).prop_map(|(address, state)| Neighbour { address, state });
    let hop = (socket(), any::<u8>(), of(any::<IpAddr>()), any::<bool>())
        .prop_map(|(remote, ttl, from, reached)| Hop { remote, ttl, from, reached });
    let limit = || of(1..=u8::MAX);
    let limits = (limit(), limit()).prop_map(|(v4, v6)| HopLimits { v4, v6 });
    let breaker = (socket(), any::<bool>(), any::<u32>()).prop_map(|(remote, open, failures)| Breaker {
        remote,
        open,
        failures,
    });
    (vec(neighbour, 0..3), vec(hop, 0..3), limits, vec(breaker, 0..3))
        .prop_map(|(neighbours, hops, hop_limits, breakers)| Connect {
            dials: Vec::new(),
            neighbours,
            hops,
            hop_limits,
            breakers,
        })
        .boxed()
}

fn after() -> BoxedStrategy<AfterConnect> {
    let segments = (any::<u32>(), any::<u32>(), any::<u32>());
    let bytes = (any::<u64>(), any::<u64>(), any::<u32>(), of(any::<u32>()));
    let connection = (segments, bytes, vec(icmp(), 0..3), of(any::<i32>())).prop_map(
        |(
            (unacked, retransmits, total_retransmits),
            (bytes_acked, bytes_received, not_sent, peer_window),
            queue,
            errno,
        )| {
            Connection {
                unacked,
                retransmits,
                total_retransmits,
                bytes_acked,
                bytes_received,
                not_sent,
                peer_window,
                queue,
                errno,
            }
        },
    );
    let small = (any::<u16>(), any::<bool>()).prop_map(|(mss, answered)| SmallSegments { mss, answered });
    (connection, of(small))
        .prop_map(|(connection, small_segments)| AfterConnect { connection, small_segments })
        .boxed()
}

fn strain() -> impl Strategy<Value = Strain> {
    (micros(), micros(), micros(), any::<[u32; 4]>()).prop_map(
        |(throttled, run_delay, timer_delay, [descriptors, descriptors_limit, time_wait, ports])| Strain {
            throttled,
            run_delay,
            timer_delay,
            descriptors,
            descriptors_limit,
            time_wait,
            ports,
        },
    )
}

fn tuple() -> impl Strategy<Value = Tuple> {
    (socket(), socket(), of(any::<u16>())).prop_map(|(source, destination, mss)| Tuple {
        source,
        destination,
        mss,
    })
}

fn saw() -> BoxedStrategy<Saw> {
    let socket = (socket(), any::<u8>(), any::<bool>(), any::<u32>(), any::<u32>(), micros()).prop_map(
        |(source, state, closed, unread, retransmits, quiet)| PeerSocket {
            source,
            state,
            closed,
            unread,
            retransmits,
            quiet,
        },
    );
    let listener = prop_oneof![
        (any::<u32>(), any::<u32>()).prop_map(|(queue, backlog)| Listener::Listens { queue, backlog }),
        of(self::socket()).prop_map(|elsewhere| Listener::Absent { elsewhere }),
        Just(Listener::Unknown),
    ];
    let seen = (tuple(), of(socket), listener).prop_map(|(tuple, socket, listener)| Seen {
        tuple,
        socket,
        listener,
    });
    (vec(seen, 0..3), any::<u64>(), any::<u64>(), any::<bool>())
        .prop_map(|(seen, listen_overflows, syn_cookies, always_cookies)| Saw {
            seen,
            listen_overflows,
            syn_cookies,
            always_cookies,
        })
        .boxed()
}

pub fn walk() -> BoxedStrategy<Walk> {
    let trigger = prop_oneof![Just(Trigger::Interval), Just(Trigger::Event)];
    let connect = (vec(dial(), 0..5), around()).prop_map(|(dials, around)| Connect { dials, ..around });
    let local = (text(), any::<i32>()).prop_map(|(what, errno)| LocalTrouble { what, errno });
    let head = (key(), any::<u64>(), trigger, any::<bool>(), moment(), moment());
    let request = (of(tls()), of(request()), of(after()));
    let stages = (of(resolve()), of(route()), of(connect), request, of(attempt()), of(local), of(strain()));
    (head, stages)
        .prop_map(
            |(
                (target, plan_generation, trigger, interim, started, ended),
                (resolve, route, connect, (tls, request, after), proxied, local, strain),
            )| Walk {
                target,
                plan_generation,
                trigger,
                interim,
                started,
                ended,
                resolve,
                route,
                connect,
                tls,
                request,
                after,
                proxied,
                local,
                strain,
            },
        )
        .boxed()
}

/// A first message with this token.
pub fn a_hello(token: &str) -> FromSidecar {
    let pod = PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "1-2-3".into() };
    FromSidecar::Hello(Hello {
        versions: Versions::supported(),
        token: token.to_owned(),
        pod,
        sidecar_version: "0.1.0".to_owned(),
        instance: 7,
        plan_generation: 0,
    })
}

fn hello() -> impl Strategy<Value = FromSidecar> {
    (any::<u32>(), any::<u32>(), text(), (name(), name(), name()), text(), any::<u64>(), any::<u64>())
        .prop_map(|(min, max, token, (namespace, name, uid), sidecar_version, instance, plan_generation)| {
            FromSidecar::Hello(Hello {
                versions: Versions { min, max },
                token,
                pod: PodRef { namespace, name, uid },
                sidecar_version,
                instance,
                plan_generation,
            })
        })
}

fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    let took = (micros(), micros()).prop_map(|(connect, whole)| Took { connect, whole });
    let took = prop::option::of(took);
    let fresh = (key(), any::<u64>(), moment(), moment(), moment(), any::<u32>(), micros(), took).prop_map(
        |(target, signature, started, ended, since, consecutive, elapsed, took)| TargetFreshness {
            target,
            signature,
            started,
            ended,
            since,
            consecutive,
            elapsed,
            took,
        },
    );
    let sockets = any::<[u32; 4]>().prop_map(|[active, waiting, leaked, breakers]| Sockets {
        active,
        waiting,
        leaked,
        breakers,
    });
    (any::<u64>(), any::<u64>(), vec(fresh, 0..5), any::<u64>(), sockets).prop_map(
        |(plan_generation, digest, targets, transitions_lost, sockets)| Heartbeat {
            plan_generation,
            digest,
            targets,
            transitions_lost,
            sockets,
        },
    )
}

fn transitions() -> impl Strategy<Value = Transitions> {
    let one = (key(), moment(), any::<bool>(), stage(), any::<u64>()).prop_map(
        |(target, at, passed, stage, signature)| Transition { target, at, passed, stage, signature },
    );
    (any::<u64>(), vec(one, 0..5)).prop_map(|(first, transitions)| Transitions { first, transitions })
}

pub fn from_sidecar() -> impl Strategy<Value = FromSidecar> {
    prop_oneof![
        hello(),
        text().prop_map(FromSidecar::Token),
        walk().prop_map(|walk| FromSidecar::Evidence(Box::new(walk))),
        heartbeat().prop_map(FromSidecar::Heartbeat),
        transitions().prop_map(FromSidecar::Transitions),
        (any::<u64>(), saw()).prop_map(|(id, saw)| FromSidecar::Saw { id, saw }),
    ]
}

fn kind() -> impl Strategy<Value = TargetKind> {
    let network = prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(ip, prefix)| IpNet::new(ip.into(), prefix)),
        (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(ip, prefix)| IpNet::new(ip.into(), prefix)),
    ]
    .prop_map(|network| network.expect("the prefix fits the family"));
    let tls = of(of(text()).prop_map(|roots_pem| ServiceTls { roots_pem }));
    let service = (name(), any::<u16>(), vec(any::<IpAddr>(), 0..3), vec(socket(), 0..4), tls).prop_map(
        |(hostname, port, addresses, endpoints, tls)| {
            TargetKind::Service(ServiceTarget { hostname, port, addresses, endpoints, tls })
        },
    );
    let url = (text(), of(text()), vec(network, 0..3), any::<bool>()).prop_map(
        |(rest, roots_pem, networks, any)| {
            TargetKind::Url(UrlTarget {
                url: format!("https://{rest}"),
                roots_pem,
                scope: DialScope { networks, any_address: any },
            })
        },
    );
    let dns = (name(), record()).prop_map(|(name, record)| TargetKind::Dns(DnsTarget { name, record }));
    prop_oneof![service, url, dns]
}

fn target() -> impl Strategy<Value = PlannedTarget> {
    let http = (method(), text(), any::<u16>()).prop_map(|(method, rest, status_below)| HttpRequest {
        method,
        path: format!("/{rest}"),
        status_below,
    });
    let retries = (1_u32.., micros(), micros()).prop_map(|(attempts, backoff, max_backoff)| Retries {
        attempts,
        backoff,
        max_backoff,
    });
    let control = (text(), socket(), vec(any::<IpAddr>(), 0..3)).prop_map(|(pod, address, proves)| Control {
        pod,
        address,
        proves,
    });
    (kind(), of(http), above_zero(), above_zero(), above_zero(), retries, vec(control, 0..3)).prop_map(
        |(kind, http, connect_timeout, total_timeout, interval, retries, controls)| PlannedTarget {
            kind,
            http,
            connect_timeout,
            total_timeout,
            interval,
            retries,
            controls,
        },
    )
}

fn delta() -> impl Strategy<Value = PlanDelta> {
    (any::<u64>(), 1_u64.., vec((key(), target()), 0..4), vec(key(), 0..4)).prop_map(
        |(base_generation, generation, upsert, remove)| PlanDelta {
            base_generation,
            generation,
            upsert: upsert.into_iter().collect::<BTreeMap<_, _>>(),
            remove,
        },
    )
}

pub fn from_hub() -> impl Strategy<Value = FromHub> {
    let millis = || any::<u64>().prop_map(Duration::from_millis);
    let reason = prop_oneof![
        Just(RetryReason::PodUnknown),
        Just(RetryReason::ReviewUnavailable),
        Just(RetryReason::Full),
        Just(RetryReason::Rate),
        Just(RetryReason::NotReady),
    ];
    let code = prop_oneof![
        Just(RefusalCode::Version),
        Just(RefusalCode::Token),
        Just(RefusalCode::Pod),
        Just(RefusalCode::Protocol),
    ];
    prop_oneof![
        (any::<u32>(), millis())
            .prop_map(|(version, heartbeat_interval)| FromHub::Welcome { version, heartbeat_interval }),
        delta().prop_map(FromHub::PlanDelta),
        vec(key(), 0..5).prop_map(FromHub::WalkNow),
        Just(FromHub::SendAll),
        millis().prop_map(|window| FromHub::Watch { window }),
        (any::<u64>(), vec(tuple(), 0..4)).prop_map(|(id, tuples)| FromHub::Look { id, tuples }),
        any::<u64>().prop_map(|through| FromHub::TransitionsReceived { through }),
        name().prop_map(|address| FromHub::Redirect { address }),
        (millis(), reason).prop_map(|(delay, reason)| FromHub::RetryAfter { delay, reason }),
        Just(FromHub::Superseded),
        (code, text()).prop_map(|(code, message)| FromHub::Refused(Refusal { code, message })),
        Just(FromHub::Draining),
    ]
}
