//! What targets that lead to the same addresses hand to each other.

use peerwalk_model::Timestamp;
use peerwalk_model::plan::{Retries, ServiceTarget, TargetKind};

use super::*;
use crate::strain::Gauges;

const SUSPECT: &str = "10.244.0.1:80";
const OWN: &str = "10.244.0.2:80";
const FOREIGN: &str = "10.244.9.9:80";
const CONTROL: &str = "10.244.0.7:80";
const FOREIGN_CONTROL: &str = "10.244.9.7:80";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A service of which these are the endpoints, with a control.
fn target(endpoints: &[&str]) -> PlannedTarget {
    PlannedTarget {
        kind: TargetKind::Service(ServiceTarget {
            hostname: "db.shop.svc".into(),
            port: 80,
            addresses: vec![],
            endpoints: endpoints.iter().map(|endpoint| address(endpoint)).collect(),
            tls: None,
        }),
        http: None,
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(3),
        interval: Duration::from_secs(10),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: vec![Control { pod: "shop/ping".into(), address: address(CONTROL), proves: vec![] }],
    }
}

fn dial(purpose: DialPurpose, remote: &str, local_port: u16) -> Dial {
    let outcome = if purpose == DialPurpose::Control {
        DialOutcome::Connected { local_peer: None }
    } else {
        DialOutcome::Silent
    };
    Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose,
        remote: address(remote),
        local: Some(SocketAddr::from(([10, 244, 0, 5], local_port))),
        started: Timestamp::from_millis(1),
        elapsed: Duration::from_secs(1),
        retransmits: 1,
        outcome,
    }
}

/// What is shared by walks.
struct World {
    connector: Connector,
    gate: Gate,
    allowance: Allowance,
    locals: Locals,
    gauges: Gauges,
    key: TargetKey,
}

impl Default for World {
    fn default() -> Self {
        Self {
            connector: Connector::default(),
            gate: Gate::default(),
            allowance: Allowance::new(Duration::from_secs(30)),
            locals: Locals::default(),
            gauges: Gauges::default(),
            key: TargetKey { check: "shop".into(), target: "db".into() },
        }
    }
}

impl World {
    fn dialling<'a>(&'a self, target: &'a PlannedTarget, watch: &'a Watch<'a>) -> Dialling<'a> {
        Dialling {
            witness: None,
            datagram: None,
            connector: &self.connector,
            gate: &self.gate,
            allowance: &self.allowance,
            key: &self.key,
            target,
            rules: DialRules::Plan,
            locals: &self.locals,
            watch,
            pace: Pace::Spaced,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_silent_gives_its_place_in_flight_back() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&address("127.0.0.1:0").into()).unwrap();
    listener.listen(0).unwrap();
    let remote = listener.local_addr().unwrap().as_socket().unwrap();
    // Nobody accepts it, and there is room for no other.
    let _full = std::net::TcpStream::connect(remote).unwrap();
    let world = World::default();
    let target = PlannedTarget { connect_timeout: Duration::from_secs(10), ..target(&[]) };
    let watch = Watch::begin(&world.gauges);
    let dialling = world.dialling(&target, &watch);
    let retries = futures::future::join_all((0..IN_FLIGHT).map(|_| dialling.again(remote)));
    let other = Allowance::new(Duration::from_secs(3));
    tokio::select! {
        biased;
        spoken = retries => panic!("nobody answers: {spoken:?}"),
        place = world.gate.in_flight(1, &other) => assert!(place.is_some(), "another walk gets on"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_answers_during_another_wait_takes_its_own_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut series = Series::new(Locals::default(), Gate::default().census().clone());
    series.begin(DialPurpose::Address, listener.local_addr().unwrap(), None).unwrap();
    series
        .during(async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_secs(5)).await;
        })
        .await;
    let dial = series.dials().remove(0);
    assert_eq!((dial.outcome, dial.elapsed), (DialOutcome::Connected { local_peer: None }, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_proof_of_another_target_says_nothing_of_its_other_addresses() {
    use DialPurpose::{Address, Control, Endpoint};
    let world = World::default();
    let (connector, gate) = (&world.connector, &world.gate);
    let mut proof: Vec<Dial> = (1..=8).map(|port| dial(Address, SUSPECT, port)).collect();
    proof.extend([
        dial(Address, OWN, 9),
        dial(Address, FOREIGN, 10),
        dial(Control, CONTROL, 11),
        dial(Control, FOREIGN_CONTROL, 12),
    ]);
    let now = Instant::now();
    connector.silences.keep(&[address(SUSPECT)], &proof, now);
    // The address is shared, and may not be dialled again yet.
    assert!(gate.try_connect(address(SUSPECT), Pace::Spaced).is_ok());
    let other = TargetKey { check: "shop".into(), target: "other".into() };
    connector.recent.learn(&other, &[dial(Endpoint, SUSPECT, 13)], now);

    let (target, watch) = (target(&[SUSPECT, OWN]), Watch::begin(&world.gauges));
    let dialling = world.dialling(&target, &watch);
    let order = Order { all: true, ..Order::default() };
    let choice =
        Choice::new(&target.kind, 80, &[address(SUSPECT).ip(), address(OWN).ip()], dialling.rules, order);
    let want = Want { purpose: Endpoint, remote: address(SUSPECT) };
    let found = dialling.known(&choice, want, false).expect("what the other target found");
    let mut told: Vec<_> = found.iter().map(|dial| (dial.purpose, dial.remote.to_string())).collect();
    told.dedup();
    let expected = [(Endpoint, SUSPECT), (Endpoint, OWN), (Control, CONTROL)];
    assert_eq!(told, expected.map(|(purpose, remote)| (purpose, remote.to_owned())), "{found:?}");
}
