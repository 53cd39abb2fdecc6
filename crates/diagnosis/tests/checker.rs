//! The checker of invariants sees a claim that goes beyond its evidence: each case is a verdict that no rule gives.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // All of it is test code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerwalk_diagnosis::{
    Attestation, Case, EndpointDecision, EndpointFacts, Facts, Latency, PairEvidence, Quantiles,
    ServiceFacts, Sighting, SourceFacts, TargetFacts, check,
};
use peerwalk_model::evidence::{
    AfterConnect, Connect, Connection, DialOutcome, Hop, HopLimits, IcmpError, Query, QueryOutcome, Resolve,
    ResolveSource, SmallSegments, Tls, TlsOutcome, Transport, Trigger, Walk,
};
use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use peerwalk_model::plan::RecordType;
use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, TargetKey, Verdict};

use peerwalk_diagnosis::scenario::scene::{SOURCE, at, dials, history, node};

const ENDPOINT: &str = "10.244.1.8:5432";
const SILENT: &str = "endpoint 10.244.1.8:5432 silent 8 again";

/// What is known of the target beside the dials, as the moments in which it was seen.
#[derive(Clone, Copy, Default)]
struct Known {
    heard: Option<i64>,
    path: Option<i64>,
    admitted: Option<i64>,
}

const ALIVE: Known = Known { heard: Some(100_600), path: Some(100_500), admitted: None };

fn pair(lines: &[&str]) -> PairEvidence {
    let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
    let mut walk = Walk::begin(key, 1, Trigger::Interval, at(100_000));
    walk.connect = Some(Connect {
        dials: lines.iter().flat_map(|line| dials(line, 100_000)).collect(),
        ..Connect::default()
    });
    walk.ended = at(102_000);
    PairEvidence::first(walk)
}

fn facts(known: Known, service: ServiceFacts) -> Facts {
    let sighting = |seen: Option<i64>| seen.map(|ms| Sighting { who: "ledger/ping".into(), at: at(ms) });
    let endpoint = EndpointFacts {
        pod: Some("ledger/postgres-0".into()),
        node: Some(node("n2")),
        ready: true,
        node_lease_fresh: true,
        last_heard: known.heard.map(at),
        admitted_source: sighting(known.admitted),
        path: sighting(known.path),
        ..EndpointFacts::default()
    };
    Facts {
        source: SourceFacts {
            pod: "shop/web".into(),
            addresses: vec![SOURCE.parse().unwrap()],
            node: Some(node("n1")),
            ..SourceFacts::default()
        },
        endpoints: BTreeMap::from([("10.244.1.8".parse().unwrap(), endpoint)]),
        ..Facts::alone(TargetFacts::Service(service))
    }
}

fn service() -> ServiceFacts {
    ServiceFacts {
        name: "ledger/postgres".into(),
        found: true,
        port_found: true,
        ready: 1,
        ..Default::default()
    }
}

fn decided(changes: &[(i64, &[&str])]) -> EndpointDecision {
    let owned = |(at, words): &(i64, &[&str])| (*at, words.iter().map(ToString::to_string).collect());
    let changes: Vec<_> = changes.iter().map(owned).collect();
    history(ENDPOINT.parse().unwrap(), Some("ledger/postgres-0"), &changes)
}

fn broken(pair: &PairEvidence, facts: &Facts, decision: EndpointDecision, verdict: &Verdict) -> Vec<String> {
    let decisions = [decision];
    let case = Case {
        expect: Expectation::Reachable,
        wants_request: false,
        evidence: Some(pair),
        decisions: &decisions,
        facts,
        now: at(102_500),
    };
    check(&case, verdict).into_iter().map(|violation| violation.0).collect()
}

fn confirmed(observed: Observed, reason: Reason) -> Verdict {
    let because = vec![Because::new(Topic::Missing, "nothing")];
    let verdict = Verdict::unknown(reason, Stage::Connect, because);
    Verdict { observed, confidence: Confidence::Confirmed, ..verdict }
}

/// When a decision changed, and what denied it from then on.
type Changes = &'static [(i64, &'static [&'static str])];

/// Holds each case, which is sound or not, against a verdict that says `Denied`.
fn denied(cases: &[(&str, bool, &[&str], Known, Changes)]) {
    for (about, sound, lines, known, changes) in cases {
        let verdict = confirmed(Observed::Denied, Reason::PolicyDenied);
        let found = broken(&pair(lines), &facts(*known, service()), decided(changes), &verdict);
        assert_eq!(found.is_empty(), *sound, "{about}: {found:?}");
    }
}

const INGRESS: Changes = &[(0, &["ingress"])];
const EGRESS: Changes = &[(0, &["egress"])];

#[test]
fn a_denial_out_of_silence_needs_a_target_that_lives_on_a_whole_path() {
    let heard = |heard| Known { heard, ..ALIVE };
    let path = |path| Known { path, ..ALIVE };
    denied(&[
        ("silence of what lives", true, &[SILENT], ALIVE, INGRESS),
        ("no sign of life", false, &[SILENT], heard(None), INGRESS),
        ("a sign of life from before", false, &[SILENT], heard(Some(99_000)), INGRESS),
        ("no path", false, &[SILENT], path(None), INGRESS),
        ("a path from before", false, &[SILENT], path(Some(99_000)), INGRESS),
        ("too few ports", false, &["endpoint 10.244.1.8:5432 silent 7 again"], ALIVE, INGRESS),
        ("another port lives", true, &[SILENT, "control 10.244.1.8:80 connected"], heard(None), INGRESS),
        (
            "certain just now",
            false,
            &[SILENT],
            ALIVE,
            &[(0, &["ingress", "caveat"]), (101_000, &["ingress"])],
        ),
    ]);
}

#[test]
fn a_denial_out_of_a_refusal_needs_its_place() {
    const SOURCES_NODE: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/13 from 10.90.0.1"];
    const TARGETS_NODE: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/13 from 10.90.0.2"];
    const TARGET: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/3 from 10.244.1.8"];
    const ROUTER: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/13 from 192.0.2.1"];
    const NOBODY: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/13"];
    const NO_HOST: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/1 from 10.90.0.2"];
    const TOO_BIG: &[&str] = &["endpoint 10.244.1.8:5432 icmp 3/4 from 10.90.0.2"];
    let unknown = Known::default();
    denied(&[
        ("the target's node refuses", true, TARGETS_NODE, unknown, INGRESS),
        ("the source's node refuses ingress", false, SOURCES_NODE, unknown, INGRESS),
        ("the source's node refuses egress", true, SOURCES_NODE, unknown, EGRESS),
        ("the target's node refuses egress", false, TARGETS_NODE, unknown, EGRESS),
        ("the target itself refuses egress", false, TARGET, unknown, EGRESS),
        ("a router refuses", false, ROUTER, unknown, INGRESS),
        ("nobody knows who refuses", false, NOBODY, unknown, INGRESS),
        ("there is no such host", false, NO_HOST, unknown, INGRESS),
        ("a packet is too big", false, TOO_BIG, unknown, INGRESS),
    ]);
}

#[test]
fn what_ends_no_attempt_says_nothing_of_a_denial() {
    let refused = "endpoint 10.244.1.8:5432 icmp 3/13 from 10.90.0.2";
    // Of fragments, a host that is not there, and a packet that is too big.
    for (v6, kind, code, sound) in [(true, 3, 1, true), (false, 3, 1, false), (false, 3, 4, true)] {
        let mut pair = pair(&[refused]);
        let later = IcmpError { v6, kind, code, offender: None };
        for dial in pair.walk.connect.iter_mut().flat_map(|connect| &mut connect.dials) {
            let DialOutcome::Failed { queue, .. } = &mut dial.outcome else { panic!("it is refused") };
            queue.push(later.clone());
        }
        let verdict = confirmed(Observed::Denied, Reason::PolicyDenied);
        let found = broken(&pair, &facts(Known::default(), service()), decided(INGRESS), &verdict);
        assert_eq!(found.is_empty(), sound, "{kind}/{code} after a refusal: {found:?}");
    }
}

#[test]
fn a_denial_out_of_a_reset_needs_a_witness_in_the_window() {
    const RESET: &[&str] = &["endpoint 10.244.1.8:5432 reset times 3"];
    let admitted = |at| Known { admitted: Some(at), ..Known::default() };
    denied(&[
        ("one walk beside a witness", false, RESET, admitted(100_500), INGRESS),
        ("a reset alone", false, RESET, ALIVE, INGRESS),
    ]);
    for (about, sound, seen) in
        [("between walks", true, 99_000), ("after the last walk", false, 100_500), ("before", false, 59_000)]
    {
        let verdict = confirmed(Observed::Denied, Reason::PolicyDenied);
        let run = PairEvidence { since: at(60_000), consecutive: 5, ..pair(RESET) };
        let found = broken(&run, &facts(admitted(seen), service()), decided(INGRESS), &verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn the_want_of_a_local_endpoint_is_not_to_hide_a_policy() {
    let silent = "service 10.96.3.7:5432 silent 8 again";
    let local = || ServiceFacts { internal_traffic_policy_local: true, ..service() };
    for (about, sound, lines, denies) in [
        ("the endpoint itself connects", true, &[silent, "endpoint 10.244.1.8:5432 connected"][..], &[][..]),
        ("the endpoint itself is silent, and denied", false, &[silent, SILENT], &["ingress"]),
        ("the endpoint itself is silent, and allowed", true, &[silent, SILENT], &[]),
        ("a filter forbids it", false, &["service 10.96.3.7:5432 icmp 3/13 from 10.90.0.1"], &[]),
        ("the pod has no route", false, &["service 10.96.3.7:5432 errno 101 immediate"], &[]),
        ("it times out at once", false, &["service 10.96.3.7:5432 errno 110 immediate"], &[]),
    ] {
        let verdict = confirmed(Observed::Unreachable, Reason::NoLocalEndpoints);
        let found = broken(&pair(lines), &facts(ALIVE, local()), decided(&[(0, denies)]), &verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn what_became_certain_a_moment_ago_is_not_held_against_what_was_seen_before() {
    let steady = |lines: &[&str]| PairEvidence { since: at(60_000), consecutive: 5, ..pair(lines) };
    let refused = steady(&["endpoint 10.244.1.8:5432 icmp 3/13 from 10.90.0.2"]);
    for (since, sound) in [(60_000, true), (94_000, false), (102_400, false)] {
        let decision = decided(&[(0, &["caveat"]), (since, &[])]);
        let verdict = confirmed(Observed::Unreachable, Reason::Filtered);
        let found = broken(&refused, &facts(ALIVE, service()), decision, &verdict);
        assert_eq!(found.is_empty(), sound, "certain since {since}: {found:?}");
    }
}

/// A run of walks that resolved a name like this.
fn resolved(
    name: &str,
    addresses: &[&str],
    outcome: QueryOutcome,
    late: Option<QueryOutcome>,
) -> PairEvidence {
    let query = Query {
        server: "10.96.0.10:53".parse().unwrap(),
        transport: Transport::Udp,
        name: format!("{name}."),
        record: RecordType::A,
        outcome,
        elapsed: Duration::from_millis(1),
        late,
    };
    let resolve = Resolve {
        name: name.into(),
        source: ResolveSource::Dns,
        answered: None,
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        queries: vec![query],
        elapsed: Duration::from_millis(1),
        spent: false,
        pair: None,
    };
    let mut evidence = PairEvidence { since: at(60_000), consecutive: 5, ..pair(&[]) };
    evidence.walk.resolve = Some(resolve);
    evidence
}

#[test]
fn an_address_that_is_not_the_services_is_found_again_and_no_news_of_it_is_on_its_way() {
    let own = || ServiceFacts { addresses: BTreeSet::from(["10.96.3.7".parse().unwrap()]), ..service() };
    let changed = |at_ms| ServiceFacts { changed: Some(at(at_ms)), ..own() };
    let walk = |ips: &[&str]| {
        let answer = QueryOutcome::Addresses(ips.iter().map(|ip| ip.parse().unwrap()).collect());
        resolved("postgres.ledger.svc", ips, answer, None)
    };
    let elsewhere = || walk(&["192.0.2.7"]);
    for (about, sound, walk, service) in [
        ("elsewhere, again and again", true, elsewhere(), own()),
        ("elsewhere in one walk", false, PairEvidence { consecutive: 1, ..elsewhere() }, own()),
        ("after a change of long ago", true, elsewhere(), changed(60_000)),
        ("after a change of just now", false, elsewhere(), changed(80_000)),
        ("the Service's among them", false, walk(&["192.0.2.7", "10.96.3.7"]), own()),
        ("nobody knows the Service's", false, elsewhere(), service()),
    ] {
        let verdict = confirmed(Observed::Unreachable, Reason::DnsUnexpectedAddress);
        let found = broken(&walk, &facts(ALIVE, service), decided(&[(0, &[])]), &verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn what_a_name_server_says_and_when_bounds_what_is_claimed() {
    use QueryOutcome::{NameNotFound, Timeout};
    let likely =
        |reason| Verdict { confidence: Confidence::Likely, ..confirmed(Observed::Unreachable, reason) };
    let sure = |reason| confirmed(Observed::Unreachable, reason);
    let of = |outcome, late| resolved("postgres.ledger.svc", &[], outcome, late);
    let (no_name, silent, late) =
        (of(NameNotFound, None), of(Timeout, None), of(Timeout, Some(NameNotFound)));
    let elsewhere = resolved("db.example.com", &[], NameNotFound, None);
    for (about, sound, walk, verdict) in [
        ("late, and slow", true, &late, likely(Reason::DnsSlow)),
        ("late, and slow for certain", false, &late, sure(Reason::DnsSlow)),
        ("silent, and slow", false, &silent, likely(Reason::DnsSlow)),
        ("late, and dead", false, &late, likely(Reason::DnsTimeout)),
        ("late, and denied", false, &late, likely(Reason::DnsDenied)),
        ("silent, and dead", true, &silent, likely(Reason::DnsTimeout)),
        ("a Service that is not there for certain", false, &no_name, sure(Reason::DnsNameNotFound)),
        ("a Service that is not there", true, &no_name, likely(Reason::DnsNameNotFound)),
        ("another name that is not there for certain", true, &elsewhere, sure(Reason::DnsNameNotFound)),
    ] {
        let found = broken(walk, &facts(ALIVE, service()), decided(&[(0, &[])]), &verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

/// A connection, and no answer to the handshake in time.
fn late() -> PairEvidence {
    let mut pair = pair(&["endpoint 10.244.1.8:5432 connected"]);
    let outcome = TlsOutcome::Timeout;
    let elapsed = Duration::from_millis(2990);
    pair.walk.tls = Some(Tls { server_name: "postgres".into(), outcome, elapsed });
    pair
}

/// What walks took that passed, and the limits of the profile Lan.
fn measured(samples: usize, p99: u64) -> Latency {
    let took = Quantiles { p50: Duration::from_millis(5), p99: Duration::from_millis(p99) };
    let (connect_limit, whole_limit) = (Duration::from_secs(2), Duration::from_secs(3));
    Latency { samples, connect: took, whole: took, connect_limit, whole_limit }
}

#[test]
#[allow(clippy::large_stack_arrays)] // once, in a test
fn slowness_is_measured_and_explains_nothing_else() {
    let slow = Verdict::unknown(Reason::SlowResponse, Stage::Tls, Vec::new());
    let slow = Verdict { observed: Observed::Unreachable, confidence: Confidence::Likely, ..slow };
    let connecting = Verdict { stage: Stage::Connect, ..slow.clone() };
    let certain = Verdict { confidence: Confidence::Confirmed, ..slow.clone() };
    let few = || pair(&["endpoint 10.244.1.8:5432 silent 4"]);
    let again = |pair| PairEvidence { since: at(1000), consecutive: 11, ..pair };
    let mut begun = late();
    begun.walk.interim = true;
    let mut answered = late();
    answered.walk.tls = None;
    for (about, sound, pair, latency, denies, verdict) in vec![
        ("an answer", true, late(), Some(measured(20, 1500)), &[][..], &slow),
        ("never measured", false, late(), None, &[], &slow),
        ("measured too little", false, late(), Some(measured(19, 1500)), &[], &slow),
        ("fast", false, late(), Some(measured(20, 1499)), &[], &slow),
        ("denied", false, late(), Some(measured(20, 1500)), &["egress"], &slow),
        ("for long", false, again(late()), Some(measured(20, 1500)), &[], &slow),
        ("only begun", false, begun, Some(measured(20, 1500)), &[], &slow),
        ("nothing was late", false, answered, Some(measured(20, 1500)), &[], &slow),
        ("confirmed", false, late(), Some(measured(20, 1500)), &[], &certain),
        ("no connection", false, few(), Some(measured(20, 1500)), &[], &slow),
        ("a connection", true, few(), Some(measured(20, 1000)), &[], &connecting),
        ("fast to accept", false, few(), Some(measured(20, 999)), &[], &connecting),
        (
            "a full series of silence",
            false,
            self::pair(&[SILENT]),
            Some(measured(20, 1500)),
            &[],
            &connecting,
        ),
        ("it connects", false, late(), Some(measured(20, 1500)), &[], &connecting),
    ] {
        let facts = Facts { latency, ..facts(ALIVE, service()) };
        let found = broken(&pair, &facts, decided(&[(0, denies)]), verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn what_the_services_address_answers_is_not_slowness() {
    let slow = Verdict::unknown(Reason::SlowResponse, Stage::Connect, Vec::new());
    for (about, sound, line) in [
        ("it is silent, too", true, "service 10.96.3.7:5432 silent 2"),
        ("a full series of silence", false, "service 10.96.3.7:5432 silent 8 again"),
        ("it resets", false, "service 10.96.3.7:5432 reset"),
    ] {
        let facts = Facts { latency: Some(measured(20, 1500)), ..facts(ALIVE, service()) };
        let pair = pair(&[line, "endpoint 10.244.1.8:5432 silent 1"]);
        let found = broken(&pair, &facts, decided(&[(0, &[])]), &slow);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

/// A handshake without an answer, from a target whose walks take long.
#[test]
fn what_a_connection_tells_is_not_slowness() {
    let slow = Verdict::unknown(Reason::SlowResponse, Stage::Tls, Vec::new());
    let slow = Verdict { observed: Observed::Unreachable, confidence: Confidence::Likely, ..slow };
    let connection = |connection| AfterConnect { connection, small_segments: None };
    let told = |after| {
        let mut pair = late();
        pair.walk.after = Some(after);
        pair
    };
    let nothing = told(connection(Connection { bytes_acked: 90, ..Connection::default() }));
    let refused = told(connection(Connection { errno: Some(13), ..Connection::default() }));
    let lost = told(connection(Connection { unacked: 1, retransmits: 2, ..Connection::default() }));
    let full = told(connection(Connection { peer_window: Some(0), ..Connection::default() }));
    let small = Some(SmallSegments { mss: 536, answered: true });
    let small = told(AfterConnect { small_segments: small, connection: Connection::default() });
    for (about, sound, pair) in [
        ("all is acknowledged", true, nothing),
        ("an ICMP error came", false, refused),
        ("data is lost", false, lost),
        ("the peer takes nothing", false, full),
        ("small segments pass", false, small),
    ] {
        let facts = Facts { latency: Some(measured(20, 1500)), ..facts(ALIVE, service()) };
        let found = broken(&pair, &facts, decided(&[(0, &[])]), &slow);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

/// What the target's sidecar saw at a moment of a dial from port 40000 on.
fn look(ms: i64, ports: u16, listener: &Listener, state: Option<u8>, overflows: u64) -> Attestation {
    let source = |port| std::net::SocketAddr::new(SOURCE.parse().unwrap(), port);
    let socket = |port| PeerSocket {
        source: source(port),
        state: state.unwrap_or_default(),
        closed: false,
        unread: 0,
        retransmits: 0,
        quiet: Duration::ZERO,
    };
    let seen = |port| Seen {
        tuple: Tuple { source: source(port), destination: ENDPOINT.parse().unwrap(), mss: None },
        socket: state.map(|_| socket(port)),
        listener: listener.clone(),
    };
    Attestation {
        who: "ledger/postgres-0".into(),
        endpoint: true,
        at: at(ms),
        saw: Saw {
            seen: (40_000..40_000 + ports).map(seen).collect(),
            listen_overflows: overflows,
            ..Saw::default()
        },
    }
}

#[test]
fn what_rests_on_the_targets_word_needs_it() {
    const RESET: &str = "endpoint 10.244.1.8:5432 reset times 3";
    let absent = |ms| look(ms, 3, &Listener::Absent { elsewhere: None }, None, 0);
    let open = |ms, ports, state| look(ms, ports, &Listener::Listens { queue: 0, backlog: 1 }, state, 0);
    let full = |ms, overflows| look(ms, 8, &Listener::Listens { queue: 2, backlog: 1 }, None, overflows);
    let (listening, overloaded, blocked, denied) =
        (Reason::NotListening, Reason::Overloaded, Reason::ReturnPathBlocked, Reason::PolicyDenied);
    for (about, sound, line, looks, reason) in [
        ("nothing listens", true, RESET, vec![absent(101_000)], listening),
        ("nobody was asked", false, RESET, vec![], listening),
        ("it was looked at before", false, RESET, vec![absent(99_000)], listening),
        ("it listens", false, RESET, vec![open(101_000, 3, None)], listening),
        ("the words differ", false, RESET, vec![absent(101_000), open(101_500, 3, None)], listening),
        ("the queue overflows", true, SILENT, vec![full(101_000, 1), full(102_000, 2)], overloaded),
        ("one look at the queue", false, SILENT, vec![full(101_000, 1)], overloaded),
        ("nothing overflows", false, SILENT, vec![full(101_000, 1), full(102_000, 1)], overloaded),
        ("the SYN arrives", true, SILENT, vec![open(101_000, 8, Some(3))], blocked),
        ("two SYNs arrive", false, SILENT, vec![open(101_000, 2, Some(3))], blocked),
        ("a connection is no SYN", false, SILENT, vec![open(101_000, 8, Some(1))], blocked),
        ("the target denies", true, SILENT, vec![open(101_000, 8, None)], denied),
        ("the SYN that is denied arrives", false, SILENT, vec![open(101_000, 8, Some(3))], denied),
        ("the queue of what is denied is full", false, SILENT, vec![full(101_000, 1)], denied),
    ] {
        let changes: Changes = if reason == denied { INGRESS } else { &[(0, &[])] };
        let observed = if reason == denied { Observed::Denied } else { Observed::Unreachable };
        let steady = PairEvidence { since: at(60_000), consecutive: 5, attestations: looks, ..pair(&[line]) };
        let found = broken(&steady, &facts(ALIVE, service()), decided(changes), &confirmed(observed, reason));
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn a_pod_that_is_no_endpoint_has_held_a_connection_for_a_while() {
    let (service, now) = ("service 10.96.3.7:5432 connected marked", 126_000);
    let bare = "service 10.96.3.7:5432 connected";
    let two = "service 10.96.3.7:5432 connected times 2";
    let of = |look: Attestation| Attestation { who: "ledger/old-0".into(), endpoint: false, ..look };
    let open = Listener::Listens { queue: 0, backlog: 1 };
    let holds = |ms| of(look(ms, 1, &open, Some(1), 0));
    let without = |ms| of(look(ms, 1, &open, None, 0));
    for (about, sound, line, looks, now) in [
        ("it holds it for long", true, service, vec![holds(100_500)], now),
        ("it holds it since a moment", false, service, vec![holds(102_000)], now),
        ("the connection has no mark", false, bare, vec![holds(100_500)], now),
        ("there are two without a mark", true, two, vec![of(look(100_500, 2, &open, Some(1), 0))], now),
        (
            "an endpoint holds it",
            false,
            service,
            vec![holds(100_500), look(100_500, 1, &open, Some(1), 0)],
            now,
        ),
        ("it was looked at before", false, service, vec![without(95_000), holds(102_000)], now),
        ("a watch may be dead for so long", false, service, vec![holds(100_500)], 125_000),
        ("it held one before", true, service, vec![holds(95_000), holds(102_000)], now),
        ("it holds none", false, service, vec![without(95_000), without(102_000)], now),
        ("nothing connected", false, "service 10.96.3.7:5432 silent 1", vec![holds(100_500)], now),
        (
            "the dial is forgotten",
            false,
            "service 10.96.3.7:5432 connected earlier 90000",
            vec![holds(95_000)],
            now,
        ),
    ] {
        let verdict = confirmed(Observed::Unreachable, Reason::WrongBackend);
        let pair = PairEvidence { attestations: looks, ..pair(&[line]) };
        let facts = facts(ALIVE, self::service());
        let decisions = [decided(&[(0, &[])])];
        let case = Case {
            expect: Expectation::Reachable,
            wants_request: false,
            evidence: Some(&pair),
            decisions: &decisions,
            facts: &facts,
            now: at(now),
        };
        let found = check(&case, &verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn a_refusal_of_before_a_service_changed_says_nothing_of_it() {
    const CONNECTED: &str = "endpoint 10.244.1.8:5432 connected";
    const OLD: &str = "service 10.96.3.7:5432 icmp 3/0 from 10.90.0.1 earlier 20000";
    const NEW: &str = "service 10.96.3.7:5432 icmp 3/0 from 10.90.0.1";
    for (about, own, changed, sound) in [
        ("received since", NEW, 90_000, true),
        ("received before", OLD, 90_000, false),
        ("received after an earlier change", OLD, 70_000, true),
    ] {
        let pair = PairEvidence { since: at(60_000), consecutive: 5, ..pair(&[own, CONNECTED]) };
        let facts = facts(ALIVE, ServiceFacts { changed: Some(at(changed)), ..service() });
        let verdict = confirmed(Observed::Unreachable, Reason::ServiceNotProgrammed);
        let found = broken(&pair, &facts, decided(&[(0, &[])]), &verdict);
        assert_eq!(found.is_empty(), sound, "{about}: {found:?}");
    }
}

#[test]
fn a_circle_needs_a_router_that_is_met_again_and_packets_that_may_go_far() {
    let over = "endpoint 10.244.1.8:5432 icmp 11/0 from 10.90.0.1";
    let decision = decided(&[(0, &[])]);
    let found = |verdict: &Verdict, line: &str, routers: &[&str], reached: bool, own: Option<u8>| {
        let mut pair = pair(&[line]);
        let connect = pair.walk.connect.as_mut().unwrap();
        let hop = |(ttl, from): (u8, &&str)| Hop {
            remote: ENDPOINT.parse().unwrap(),
            ttl,
            from: Some(from.parse().unwrap()),
            reached: false,
        };
        connect.hops = (1..).zip(routers).map(hop).collect();
        let last = Hop { remote: ENDPOINT.parse().unwrap(), ttl: 9, from: None, reached };
        connect.hops.push(last);
        connect.hop_limits = HopLimits { v4: own, v6: None };
        broken(&pair, &facts(ALIVE, service()), decision.clone(), verdict)
    };
    let circle = confirmed(Observed::Unreachable, Reason::RoutingLoop);
    let likely = Verdict { confidence: Confidence::Likely, ..circle.clone() };
    let (a, b) = ("10.90.0.1", "10.90.0.2");
    for (verdict, line, routers, own, sound) in [
        (&circle, over, &[a, b, a][..], Some(64), true),
        (&circle, over, &[a, b, a], Some(1), false),
        (&circle, over, &[a, b, b], Some(64), false),
        (&circle, over, &[a, a, a], Some(64), false),
        (&circle, over, &["10.244.1.8", b, "10.244.1.8"], Some(64), false),
        (&circle, SILENT, &[a, b, a], Some(64), false),
        (&likely, over, &[], Some(64), true),
        (&likely, over, &[], None, true),
        (&likely, over, &[], Some(8), false),
        (&likely, over, &[a, b, a], Some(8), true),
    ] {
        let broken = found(verdict, line, routers, false, own);
        assert_eq!(broken.is_empty(), sound, "{line} by {routers:?}, {own:?}: {broken:?}");
    }
    let denied = confirmed(Observed::Denied, Reason::PolicyDenied);
    let of = |reached| found(&denied, SILENT, &[a], reached, Some(64)).join(" ").contains("a few hops");
    assert!(of(true) && !of(false), "a connection that was answered is no denial");
}
