//! Values of the model's types that have everything, and every outcome. A field or variant that is new does
//! not compile here until it is added, and then has to be documented.

use std::time::Duration;

use peerwalk_model::Timestamp;
use peerwalk_model::evidence::{
    AfterConnect, Breaker, Connect, Connection, Dial, DialOutcome, DialPurpose, Hop, HopLimits, IcmpError,
    LocalPeer, Neighbour, NeighbourState, Pair, ProxyAttempt, ProxyUse, Query, QueryOutcome, Request,
    RequestOutcome, Resolve, ResolveSource, Route, SmallSegments, Strain, Tls, TlsOutcome, Transport,
};
use peerwalk_model::plan::{HttpMethod, RecordType};

const ELAPSED: Duration = Duration::from_micros(1500);

fn icmp() -> IcmpError {
    IcmpError { v6: true, kind: 1, code: 4, offender: Some("fd00::1".parse().unwrap()) }
}

pub(super) fn resolve() -> Resolve {
    Resolve {
        name: "db".to_owned(),
        source: ResolveSource::Dns,
        answered: Some("db.shop.svc.cluster.local.".to_owned()),
        addresses: vec!["10.244.1.8".parse().unwrap()],
        queries: vec![Query {
            server: "10.96.0.10:53".parse().unwrap(),
            transport: Transport::Udp,
            name: "db.shop.svc.cluster.local.".to_owned(),
            record: RecordType::A,
            outcome: QueryOutcome::NoData,
            elapsed: ELAPSED,
            late: Some(QueryOutcome::NoData),
        }],
        elapsed: ELAPSED,
        spent: true,
        pair: Some(Pair {
            server: "10.96.0.10:53".parse().unwrap(),
            name: "db.shop.svc.cluster.local.".to_owned(),
            tries: 3,
            a: QueryOutcome::NoData,
            aaaa: QueryOutcome::Timeout,
        }),
    }
}

pub(super) fn query_outcomes() -> Vec<QueryOutcome> {
    use QueryOutcome::{
        Addresses, Malformed, NameNotFound, NoData, OtherCode, Refused, ServerFailure, Timeout, Truncated,
        Unreachable,
    };
    let all = vec![
        Addresses(vec!["10.244.1.8".parse().unwrap()]),
        NoData,
        NameNotFound,
        ServerFailure,
        Refused,
        OtherCode(4),
        Truncated,
        Timeout,
        Unreachable { errno: 111, icmp: Some(icmp()) },
        Malformed,
    ];
    for outcome in &all {
        match outcome {
            Addresses(_)
            | NoData
            | NameNotFound
            | ServerFailure
            | Refused
            | OtherCode(_)
            | Truncated
            | Timeout
            | Unreachable { .. }
            | Malformed => {}
        }
    }
    all
}

pub(super) fn route() -> Route {
    Route {
        proxied: vec![ProxyUse {
            container: "web".to_owned(),
            variable: "HTTP_PROXY".to_owned(),
            scheme: "http".to_owned(),
            proxy: "proxy:3128".to_owned(),
            credentials: false,
            exceptions: Some(("NO_PROXY".to_owned(), ".svc".to_owned())),
            clients: vec!["curl".to_owned()],
            direct_clients: vec!["go".to_owned()],
            entry: ".svc".to_owned(),
        }],
        not_visible: vec!["api".to_owned()],
    }
}

pub(super) fn proxied() -> ProxyAttempt {
    ProxyAttempt {
        container: "web".to_owned(),
        proxy: "proxy:3128".to_owned(),
        dials: connect().dials,
        connect_status: Some(200),
        tls: Some(tls()),
        request: Some(request()),
        elapsed: ELAPSED,
    }
}

pub(super) fn connect() -> Connect {
    Connect {
        dials: vec![Dial {
            protocol: peerwalk_model::Protocol::Tcp,
            mss: None,
            purpose: DialPurpose::Address,
            remote: "10.244.1.8:5432".parse().unwrap(),
            local: Some("10.244.0.5:40000".parse().unwrap()),
            started: Timestamp::from_millis(1_795_424_525_000),
            elapsed: ELAPSED,
            retransmits: 1,
            outcome: DialOutcome::Silent,
        }],
        neighbours: vec![Neighbour { address: "10.244.0.1".parse().unwrap(), state: NeighbourState::Failed }],
        hops: vec![Hop {
            remote: "10.244.1.8:5432".parse().unwrap(),
            ttl: 1,
            from: Some("10.244.0.1".parse().unwrap()),
            reached: false,
        }],
        hop_limits: HopLimits { v4: Some(64), v6: Some(64) },
        breakers: vec![Breaker { remote: "10.244.1.8:5432".parse().unwrap(), open: true, failures: 5 }],
    }
}

pub(super) fn dial_outcomes() -> Vec<DialOutcome> {
    use DialOutcome::{Answered, Connected, Failed, NotAllowed, Silent, Skipped};
    let peer = LocalPeer::Socket { address: "127.0.0.1:15001".parse().unwrap(), uid: 1337 };
    let all = vec![
        Connected { local_peer: Some(peer) },
        Connected { local_peer: Some(LocalPeer::Unknown) },
        Answered { bytes: 12 },
        Silent,
        Failed { errno: 113, immediate: true, queue: vec![icmp()] },
        NotAllowed,
        Skipped,
    ];
    for outcome in &all {
        match outcome {
            Connected { .. } | Answered { .. } | Silent | Failed { .. } | NotAllowed | Skipped => {}
        }
    }
    all
}

pub(super) fn purposes() -> [DialPurpose; 5] {
    use DialPurpose::{Address, Control, Endpoint, Proxy, ServiceAddress};
    let all = [ServiceAddress, Endpoint, Address, Control, Proxy];
    for purpose in all {
        match purpose {
            ServiceAddress | Endpoint | Address | Control | Proxy => {}
        }
    }
    all
}

pub(super) fn tls() -> Tls {
    Tls { server_name: "db".to_owned(), outcome: TlsOutcome::Established, elapsed: ELAPSED }
}

pub(super) fn tls_outcomes() -> Vec<TlsOutcome> {
    use TlsOutcome::{Established, Failed, Reset, Timeout, UntrustedIssuer};
    let all = vec![Established, UntrustedIssuer, Failed("words".to_owned()), Reset, Timeout];
    for outcome in &all {
        match outcome {
            Established | UntrustedIssuer | Failed(_) | Reset | Timeout => {}
        }
    }
    all
}

pub(super) fn request() -> Request {
    Request {
        method: HttpMethod::Head,
        url: "http://db/".to_owned(),
        status_below: 500,
        outcome: RequestOutcome::NoResponse,
        elapsed: ELAPSED,
    }
}

pub(super) fn request_outcomes() -> Vec<RequestOutcome> {
    use RequestOutcome::{Malformed, NoResponse, Reset, Status};
    let all = vec![Status(200), Reset, NoResponse, Malformed("words".to_owned())];
    for outcome in &all {
        match outcome {
            Status(_) | Reset | NoResponse | Malformed(_) => {}
        }
    }
    all
}

pub(super) fn after() -> AfterConnect {
    let (peer_window, queue) = (Some(64_256), vec![icmp()]);
    let connection = Connection { unacked: 1, peer_window, queue, errno: Some(113), ..Connection::default() };
    AfterConnect { connection, small_segments: Some(SmallSegments { mss: 536, answered: true }) }
}

pub(super) fn strain() -> Strain {
    Strain {
        throttled: ELAPSED,
        run_delay: ELAPSED,
        timer_delay: ELAPSED,
        descriptors: 12,
        descriptors_limit: 1024,
        time_wait: 3,
        ports: 28_232,
    }
}
