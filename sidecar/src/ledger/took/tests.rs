//! What counts as the time of a walk.

use peerwalk_model::evidence::{
    Connect, ProxyAttempt, Request, RequestOutcome, Resolve, ResolveSource, Strain, Tls, TlsOutcome, Trigger,
};
use peerwalk_model::plan::HttpMethod;
use peerwalk_model::{Protocol, TargetKey, Timestamp};

use super::*;

const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn dial(purpose: DialPurpose, outcome: DialOutcome, elapsed: u64) -> Dial {
    Dial {
        purpose,
        protocol: Protocol::Tcp,
        remote: ([10, 0, 0, 1], 80).into(),
        local: None,
        started: Timestamp::from_millis(0),
        elapsed: ms(elapsed),
        retransmits: 0,
        mss: None,
        outcome,
    }
}

fn walk(dials: Vec<Dial>) -> Walk {
    let key = TargetKey { check: "web".into(), target: "db".into() };
    let begun = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
    // Most of it the prober waited for a place.
    let ended = Timestamp::from_millis(2500);
    Walk { ended, connect: Some(Connect { dials, ..Connect::default() }), ..begun }
}

#[test]
fn the_connection_is_the_one_an_application_would_use() {
    use DialPurpose::{Address, Control, Endpoint, ServiceAddress};
    for (dials, expected) in [
        (vec![dial(ServiceAddress, CONNECTED, 20), dial(Endpoint, CONNECTED, 5)], Some(20)),
        (vec![dial(ServiceAddress, DialOutcome::Silent, 900), dial(Endpoint, CONNECTED, 5)], Some(5)),
        (vec![dial(Address, CONNECTED, 1030), dial(Address, CONNECTED, 7)], Some(7)),
        (vec![dial(Address, DialOutcome::Answered { bytes: 4 }, 9)], Some(9)),
        (vec![dial(Control, CONNECTED, 3), dial(Endpoint, DialOutcome::Silent, 900)], None),
        (vec![], None),
    ] {
        assert_eq!(took(&walk(dials.clone())).map(|took| took.connect), expected.map(ms), "{dials:?}");
    }
}

#[test]
fn the_whole_is_the_sum_of_the_stages_and_not_the_walk() {
    let begun = walk(vec![dial(DialPurpose::Address, CONNECTED, 20)]);
    assert_eq!(took(&begun), Some(Took { connect: ms(20), whole: ms(20) }), "a connection alone");
    let resolve = Resolve {
        name: "db".into(),
        source: ResolveSource::Dns,
        answered: None,
        addresses: vec![],
        queries: vec![],
        spent: false,
        pair: None,
        elapsed: ms(3),
    };
    let tls = Tls { server_name: "db".into(), outcome: TlsOutcome::Established, elapsed: ms(40) };
    let request = Request {
        method: HttpMethod::Head,
        url: "https://db/".into(),
        status_below: 500,
        outcome: RequestOutcome::Status(200),
        elapsed: ms(500),
    };
    let all = Walk { resolve: Some(resolve), tls: Some(tls), request: Some(request), ..begun };
    assert_eq!(took(&all), Some(Took { connect: ms(20), whole: ms(563) }), "every stage");
}

#[test]
fn what_is_not_the_targets_time_is_none() {
    let begun = walk(vec![dial(DialPurpose::Address, CONNECTED, 20)]);
    let strained = Walk { strain: Some(Strain::default()), ..begun.clone() };
    assert_eq!(took(&strained), None, "the prober was hard pressed");
    let proxied = ProxyAttempt {
        container: "app".into(),
        proxy: "proxy:3128".into(),
        dials: vec![],
        connect_status: None,
        tls: None,
        request: None,
        elapsed: ms(1),
    };
    assert_eq!(took(&Walk { proxied: Some(proxied), ..begun }), None, "a proxy may be the way");
}
