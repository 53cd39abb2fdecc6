//! What an application would have seen.
#![allow(clippy::expect_used)]

use std::time::Duration;

use peerwalk_model::evidence::{Connect, ProxyUse, Resolve, ResolveSource, Tls, Trigger};
use peerwalk_model::plan::HttpMethod;
use peerwalk_model::{TargetKey, Timestamp};

use super::*;

const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };

fn dial(purpose: DialPurpose, outcome: &DialOutcome) -> Dial {
    Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose,
        remote: "10.0.0.1:80".parse().expect("an address"),
        local: None,
        started: Timestamp::from_millis(0),
        elapsed: Duration::ZERO,
        retransmits: 0,
        outcome: outcome.clone(),
    }
}

fn request(outcome: RequestOutcome) -> Request {
    let url = "http://db/".into();
    Request { method: HttpMethod::Head, url, status_below: 500, outcome, elapsed: Duration::ZERO }
}

fn walk(dials: &[(DialPurpose, DialOutcome)]) -> Walk {
    let key = TargetKey { check: "web".into(), target: "db".into() };
    let dials = dials.iter().map(|(purpose, outcome)| dial(*purpose, outcome)).collect();
    let begun = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
    Walk { connect: Some(Connect { dials, ..Connect::default() }), ..begun }
}

#[test]
fn an_application_connects_to_the_services_own_address() {
    use DialPurpose::{Address, Control, Endpoint, ServiceAddress};
    let silent = DialOutcome::Silent;
    for (dials, passed) in [
        (&[(ServiceAddress, CONNECTED), (Endpoint, CONNECTED)][..], true),
        (&[(ServiceAddress, silent.clone()), (Endpoint, CONNECTED)], false),
        (&[(ServiceAddress, CONNECTED), (Endpoint, silent.clone())], true),
        (&[(ServiceAddress, silent.clone()), (ServiceAddress, CONNECTED)], true),
        (&[(Endpoint, CONNECTED), (Endpoint, silent.clone())], true),
        (&[(Address, CONNECTED)], true),
        (&[(Address, silent), (Control, CONNECTED)], false),
    ] {
        let found = summary(&walk(dials));
        assert_eq!((found.passed, found.stage), (passed, Stage::Connect), "{dials:?}");
    }
}

/// A walk that fails directly, with this attempt through the proxy and so many clients on either way.
fn through(attempt: ProxyAttempt, clients: usize, direct: usize) -> Walk {
    let used = ProxyUse {
        container: "web".into(),
        variable: "http_proxy".into(),
        scheme: "http".into(),
        proxy: attempt.proxy.clone(),
        credentials: false,
        exceptions: None,
        clients: vec!["curl".into(); clients],
        direct_clients: vec!["go".into(); direct],
        entry: "db".into(),
    };
    let resolve = Resolve {
        name: "db".into(),
        source: ResolveSource::Dns,
        answered: None,
        addresses: Vec::new(),
        queries: Vec::new(),
        elapsed: Duration::ZERO,
        spent: false,
        pair: None,
    };
    let route = Some(Route { proxied: vec![used], not_visible: Vec::new() });
    Walk { resolve: Some(resolve), route, connect: None, proxied: Some(attempt), ..walk(&[]) }
}

#[test]
fn an_application_that_asks_a_proxy_gets_what_the_proxy_gives() {
    let attempt = |connect_status, tls: Option<TlsOutcome>, outcome: Option<RequestOutcome>| {
        let tls = tls.map(|outcome| Tls { server_name: "db".into(), outcome, elapsed: Duration::ZERO });
        ProxyAttempt {
            container: "web".into(),
            proxy: "proxy.corp:3128".into(),
            dials: vec![dial(DialPurpose::Proxy, &CONNECTED)],
            connect_status,
            tls,
            request: outcome.map(request),
            elapsed: Duration::ZERO,
        }
    };
    let status = |status| Some(RequestOutcome::Status(status));
    let established = || Some(TlsOutcome::Established);
    for (attempt, passed) in [
        (attempt(None, None, status(200)), true),
        (attempt(None, None, status(404)), true),
        (attempt(None, None, status(403)), false),
        (attempt(None, None, status(407)), false),
        (attempt(None, None, status(502)), false),
        (attempt(None, None, Some(RequestOutcome::NoResponse)), false),
        (attempt(Some(200), established(), status(403)), true),
        (attempt(Some(200), established(), None), true),
        (attempt(Some(200), Some(TlsOutcome::Reset), None), false),
        (attempt(Some(407), None, None), false),
        (attempt(None, None, None), false),
        (ProxyAttempt { dials: Vec::new(), ..attempt(None, None, None) }, false),
    ] {
        let found = summary(&through(attempt.clone(), 3, 1));
        assert_eq!((found.passed, found.stage), (passed, Stage::Route), "{attempt:?}");
    }
    let few = summary(&through(attempt(None, None, status(200)), 1, 2));
    assert_eq!((few.passed, few.stage), (false, Stage::Resolve), "most clients go direct, and fail");
}
