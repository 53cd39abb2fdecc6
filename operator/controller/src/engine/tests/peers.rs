//! What destination pods' sidecars are asked, when, and what becomes of their answers.

use std::net::SocketAddr;

use peerwalk_model::Walk;
use peerwalk_model::evidence::{Dial, DialPurpose, Request, RequestOutcome, signature};
use peerwalk_model::peer::{Listener, PeerSocket, Saw, Seen, Tuple};
use peerwalk_model::plan::HttpMethod;
use peerwalk_model::report::TargetFreshness;

use super::*;

pub(super) const ENDPOINT: &str = "10.244.1.8:5432";
pub(super) const SERVICE: &str = "10.96.0.7:5432";

/// The shop with sidecars in the source and in the database, at rest.
pub(super) fn attached() -> World {
    let mut world = World::shop();
    world.attach("web-1");
    world.attach_in("ledger", "db-0");
    world.settle_and_store();
    world.pass(60);
    world.heartbeat("web-1");
    world.heartbeat_in("ledger", "db-0");
    world
}

/// The same, with a policy that admits nobody, in force for a while.
pub(super) fn denied() -> World {
    let mut world = attached();
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.settle_and_store();
    world.pass(30);
    world.heartbeat("web-1");
    world.heartbeat_in("ledger", "db-0");
    world
}

pub(super) fn from(port: u16, dial: Dial) -> Dial {
    Dial { local: Some(SocketAddr::from(([10, 244, 0, 5], port))), ..dial }
}

pub(super) fn reset() -> Vec<Dial> {
    let refused = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    vec![from(51000, world::dial(ENDPOINT, refused))]
}

pub(super) fn connected() -> Vec<Dial> {
    let outcome = || DialOutcome::Connected { local_peer: None };
    let service = Dial { purpose: DialPurpose::ServiceAddress, ..world::dial(SERVICE, outcome()) };
    vec![from(50000, service), from(51000, world::dial(ENDPOINT, outcome()))]
}

/// The walk arrives; what is to be done at once.
pub(super) fn arrives(world: &mut World, dials: Vec<Dial>, more: impl FnOnce(&mut Walk)) -> Vec<Output> {
    world.settle();
    let mut walk = world.make_walk("web-1", dials);
    more(&mut walk);
    send(world, SidecarEvent::Walk(world::id("shop", "web-1"), Box::new(walk)))
}

pub(super) fn send(world: &mut World, event: SidecarEvent) -> Vec<Output> {
    let now = world.now();
    world.take(Input::Sidecar(event, now))
}

/// A heartbeat of web-1 that tells of one more walk like the last.
pub(super) fn repeats(world: &mut World) -> Vec<Output> {
    let heartbeat = world.heartbeat_of("shop", "web-1");
    send(world, SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat))
}

/// The looks that are asked for: whom, under which number, and for what.
pub(super) fn looks(outputs: &[Output]) -> Vec<(String, u64, Vec<Tuple>)> {
    let look = |output: &Output| match output {
        Output::Look(pod, number, tuples) => Some((pod.name.clone(), *number, tuples.clone())),
        _ => None,
    };
    outputs.iter().filter_map(look).collect()
}

pub(super) fn watched(outputs: &[Output]) -> Vec<String> {
    let watch = |output: &Output| match output {
        Output::Watch(pod, _) => Some(pod.name.clone()),
        _ => None,
    };
    outputs.iter().filter_map(watch).collect()
}

/// The same of every tuple.
pub(super) fn saw(tuples: &[Tuple], listener: &Listener, socket: Option<u8>) -> Saw {
    let seen = |tuple: &Tuple| Seen {
        tuple: *tuple,
        socket: socket.map(|state| PeerSocket {
            source: tuple.source,
            state,
            closed: false,
            unread: 0,
            retransmits: 0,
            quiet: Duration::ZERO,
        }),
        listener: listener.clone(),
    };
    Saw { seen: tuples.iter().map(seen).collect(), ..Saw::default() }
}

pub(super) fn answers(world: &mut World, namespace: &str, pod: &str, number: u64, saw: Saw) {
    let outputs = send(world, SidecarEvent::Saw(world::id(namespace, pod), number, saw));
    assert_eq!(outputs, vec![], "an answer asks for nothing by itself");
    world.settle();
}

pub(super) const ABSENT: Listener = Listener::Absent { elsewhere: None };
pub(super) const OPEN: Listener = Listener::Listens { queue: 0, backlog: 128 };
const FULL: Listener = Listener::Listens { queue: 129, backlog: 128 };

#[test]
fn who_is_behind_a_reset_is_asked_and_judged_by_at_once() {
    let mut world = attached();
    let outputs = arrives(&mut world, reset(), |_| {});
    let looks = looks(&outputs);
    let [(pod, number, tuples)] = &looks[..] else { panic!("one look: {outputs:?}") };
    let tuple = Tuple {
        source: "10.244.0.5:51000".parse().unwrap(),
        destination: ENDPOINT.parse().unwrap(),
        mss: None,
    };
    assert_eq!(
        (pod.as_str(), &tuples[..]),
        ("db-0", &[tuple][..]),
        "the pod of the endpoint, about the dial"
    );
    world.settle();
    assert_eq!(world.verdict(), "ConnectionRefused likely");
    answers(&mut world, "ledger", "db-0", *number, saw(tuples, &ABSENT, None));
    assert_eq!(world.verdict(), "NotListening likely", "without another walk");
    world.pass(10);
    repeats(&mut world);
    world.settle();
    assert_eq!(world.verdict(), "NotListening confirmed", "one more walk finds the same");
}

#[test]
fn only_who_was_asked_is_heard_and_only_of_what_it_was_asked() {
    let other =
        Tuple { source: "10.244.0.5:1".parse().unwrap(), destination: ENDPOINT.parse().unwrap(), mss: None };
    for (about, pod, number_off, tuples) in [
        ("another pod", "ping", 0, None),
        ("another number", "db-0", 7, None),
        ("other dials", "db-0", 0, Some(vec![other])),
    ] {
        let mut world = attached();
        let outputs = arrives(&mut world, reset(), |_| {});
        let (_, number, asked) = looks(&outputs).remove(0);
        let tuples = tuples.unwrap_or(asked.clone());
        answers(&mut world, "ledger", pod, number + number_off, saw(&tuples, &ABSENT, None));
        assert_eq!(world.verdict(), "ConnectionRefused likely", "{about} says nothing of it");
        if number_off == 0 && tuples == asked {
            answers(&mut world, "ledger", "db-0", number, saw(&asked, &ABSENT, None));
            assert_eq!(
                world.verdict(),
                "NotListening likely",
                "{about} does not keep who was asked from answering"
            );
        }
    }
}

#[test]
fn a_second_answer_to_one_question_is_not_heard() {
    let mut world = attached();
    let outputs = arrives(&mut world, reset(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &OPEN, None));
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &ABSENT, None));
    assert_eq!(world.verdict(), "Filtered suspected", "the first stands");
}

#[test]
fn nobody_is_asked_about_dials_that_the_source_cannot_have_made() {
    let silent = |remote: &str, local: &str| {
        vec![Dial { local: Some(local.parse().unwrap()), ..world::dial(remote, DialOutcome::Silent) }]
    };
    for (dials, asked) in [
        (silent(ENDPOINT, "10.244.0.5:51000"), 1),
        // The connections of another pod.
        (silent(ENDPOINT, "10.244.1.9:51000"), 0),
        // Another port of the database, and another pod: neither is planned.
        (silent("10.244.1.8:22", "10.244.0.5:51000"), 0),
        (silent("10.244.0.5:5432", "10.244.0.5:51000"), 0),
    ] {
        let mut world = attached();
        let outputs = arrives(&mut world, dials.clone(), |_| {});
        assert_eq!(looks(&outputs).len(), asked, "{dials:?}");
    }
    let forged = || {
        let mut dials = connected();
        for dial in &mut dials {
            dial.local = Some("10.244.1.9:51000".parse().unwrap());
        }
        dials
    };
    let mut world = attached();
    assert_eq!(watched(&arrives(&mut world, connected(), unanswered)), ["db-0"]);
    world.pass(3);
    let outputs = arrives(&mut world, forged(), unanswered);
    assert_eq!(looks(&outputs), vec![], "nor by a round");
}

#[test]
fn a_pod_without_a_stream_is_not_asked() {
    let mut world = attached();
    send(&mut world, SidecarEvent::Detached(world::id("ledger", "db-0")));
    assert_eq!(looks(&arrives(&mut world, reset(), |_| {})), vec![]);
}

/// How often the evidence of web-1 is asked for in so many seconds, while walks find the same.
fn asks_for_evidence(world: &mut World, seconds: u64) -> usize {
    let mut asked = 0;
    for _ in 0..seconds {
        world.pass(1);
        repeats(world);
        let outputs = world.take(Input::Tick);
        asked += outputs.iter().filter(|output| matches!(output, Output::SendAll(_))).count();
        world.settle();
    }
    asked
}

#[test]
fn who_reports_later_than_the_walk_is_asked_about_it() {
    for (about, dials) in [("refused", reset()), ("denied and connected", connected())] {
        let mut world = World::shop();
        world.policy("ledger", "deny-all", &json!({ "podSelector": {}, "policyTypes": ["Ingress"] }));
        world.attach("web-1");
        world.settle_and_store();
        world.pass(60);
        world.heartbeat("web-1");
        let asked = |outputs: &[Output]| (looks(outputs).len(), watched(outputs));
        assert_eq!(asked(&arrives(&mut world, dials.clone(), |_| {})), (0, vec![]), "{about}");
        assert_eq!(asks_for_evidence(&mut world, 20), 0, "{about}: nobody could tell");
        world.attach_in("ledger", "db-0");
        world.heartbeat_in("ledger", "db-0");
        assert_eq!(asks_for_evidence(&mut world, 5), 1, "{about}");
        let asked = asked(&arrives(&mut world, dials, |_| {}));
        assert_ne!(asked, (0, vec![]), "{about}: the evidence that comes is asked about");
    }
}

#[test]
fn a_walk_is_asked_about_once() {
    let mut world = attached();
    let outputs = arrives(&mut world, reset(), |_| {});
    assert_eq!(looks(&outputs).len(), 1);
    let again = arrives(&mut world, reset(), |_| {});
    assert_eq!(looks(&again), vec![], "the same dials, which were asked about a moment ago");
}

#[test]
fn a_full_queue_is_looked_at_twice() {
    let mut world = attached();
    let outputs = arrives(&mut world, world::silent_with_control(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    assert_eq!(
        tuples.len(),
        8,
        "the silent dials of the endpoint, not of the Service's address or the control"
    );
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &FULL, None));
    assert_eq!(world.verdict(), "Overloaded likely");
    world.pass(1);
    assert_eq!(looks(&world.take(Input::Tick)), vec![], "not at once");
    world.pass(1);
    let (pod, number, again) = looks(&world.take(Input::Tick)).remove(0);
    assert_eq!((pod.as_str(), &again), ("db-0", &tuples), "the same, after two seconds");
    let later = Saw { listen_overflows: 3, ..saw(&tuples, &FULL, None) };
    answers(&mut world, "ledger", "db-0", number, later);
    assert_eq!(world.verdict(), "Overloaded confirmed");
    for _ in 0..10 {
        world.pass(1);
        assert_eq!(looks(&world.take(Input::Tick)), vec![], "two looks are enough");
    }
}

#[test]
fn a_syn_that_arrives_is_no_denial() {
    let mut world = attached();
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.settle_and_store();
    world.pass(30);
    world.heartbeat("web-1");
    world.heartbeat_in("ledger", "db-0");
    let outputs = arrives(&mut world, world::silent_with_control(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    world.pass(1);
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &OPEN, Some(3)));
    assert_eq!(world.verdict(), "ReturnPathBlocked likely");
}

#[test]
fn an_answer_is_a_sign_of_life() {
    let mut world = attached();
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.settle_and_store();
    world.pass(15);
    let outputs = arrives(&mut world, world::silent_with_control(), |_| {});
    world.settle();
    assert_eq!(world.verdict(), "PolicyDenied likely", "nothing shows that the database lives");
    let (_, number, tuples) = looks(&outputs).remove(0);
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &OPEN, None));
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "it listens, it speaks, and no SYN came to it");
}

#[test]
fn a_denial_waits_for_who_was_asked_but_not_for_long() {
    let second = |world: &mut World| {
        world.pass(1);
        repeats(world);
        world.heartbeat_in("ledger", "db-0");
        let outputs = world.take(Input::Tick);
        world.settle();
        looks(&outputs)
    };
    let mut world = denied();
    let outputs = arrives(&mut world, world::silent_with_control(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    assert_eq!(second(&mut world), vec![]);
    assert_eq!(world.verdict(), "PolicyDenied likely", "the database may still say that the SYNs came");
    let (_, again, same) = second(&mut world).remove(0);
    assert_eq!(same, tuples, "what was not answered is asked again");
    answers(&mut world, "ledger", "db-0", again, saw(&tuples, &Listener::Unknown, None));
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "that it does not know is an answer");
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &OPEN, Some(3)));
    assert_eq!(world.verdict(), "PolicyDenied confirmed", "one answer to one question");

    let mut world = denied();
    arrives(&mut world, world::silent_with_control(), |_| {});
    let mut asked = Vec::new();
    let mut said = Vec::new();
    for second_of in 1..=12 {
        asked.extend(second(&mut world).iter().map(|_| second_of));
        said.push(world.verdict());
    }
    assert_eq!(asked, [2], "once more");
    let confirmed = said.iter().position(|verdict| verdict == "PolicyDenied confirmed");
    assert_eq!(confirmed, Some(9), "after ten seconds: {said:?}");
}

#[test]
fn answers_that_a_verdict_rests_on_are_got_anew() {
    let mut world = attached();
    let outputs = arrives(&mut world, reset(), |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &ABSENT, None));
    let mut asked = Vec::new();
    for second in 1..=50 {
        world.pass(1);
        repeats(&mut world);
        world.heartbeat_in("ledger", "db-0");
        let outputs = world.take(Input::Tick);
        asked.extend(outputs.iter().filter(|o| matches!(o, Output::SendAll(_))).map(|_| second));
        world.settle();
    }
    assert_eq!(asked, [40], "in time, and once");
    assert_eq!(world.verdict(), "NotListening confirmed");
    let later = vec![from(51002, reset().remove(0))];
    let outputs = arrives(&mut world, later, |_| {});
    let (_, number, tuples) = looks(&outputs).remove(0);
    assert_eq!(tuples[0].source.port(), 51002, "the walk that comes is asked about");
    world.settle();
    assert_eq!(world.verdict(), "NotListening confirmed", "nothing else is said until the answer comes");
    world.engine.touched.all = true;
    world.settle();
    assert_eq!(world.verdict(), "NotListening confirmed", "whatever else is judged");
    answers(&mut world, "ledger", "db-0", number, saw(&tuples, &ABSENT, None));
    assert_eq!(world.verdict(), "NotListening confirmed", "and the verdict stands");

    // Nobody answers any more.
    world.pass(10);
    repeats(&mut world);
    world.heartbeat_in("ledger", "db-0");
    let later = vec![from(51003, reset().remove(0))];
    assert_eq!(looks(&arrives(&mut world, later, |_| {})).len(), 1);
    for _ in 0..12 {
        world.pass(1);
        world.take(Input::Tick);
        world.settle();
    }
    assert_eq!(world.verdict(), "ConnectionRefused likely", "but not for longer than an answer takes");
}

fn unanswered(walk: &mut Walk) {
    walk.request = Some(Request {
        method: HttpMethod::Head,
        url: "http://db.ledger.svc:5432/".into(),
        status_below: 500,
        outcome: RequestOutcome::NoResponse,
        elapsed: Duration::from_secs(2),
    });
}

#[test]
fn a_request_without_an_answer_is_made_again_and_watched() {
    let mut world = attached();
    let outputs = arrives(&mut world, connected(), unanswered);
    assert_eq!(watched(&outputs), ["db-0"]);
    assert!(matches!(outputs.last(), Some(Output::WalkNow(pod, _)) if pod.name == "web-1"), "{outputs:?}");
    world.pass(3);
    let walk = world.make_walk("web-1", connected());
    let fresh = TargetFreshness {
        target: walk.target.clone(),
        signature: world
            .engine
            .evidence
            .pod(&world::id("shop", "web-1"))
            .unwrap()
            .target(&walk.target)
            .unwrap()
            .signature,
        started: world.now(),
        ended: world.now(),
        since: world.now(),
        consecutive: 2,
        elapsed: Duration::from_millis(3),
        took: None,
    };
    assert_ne!(fresh.signature, signature(&walk), "it has no request");
    let heartbeat = Heartbeat { targets: vec![fresh], ..world.heartbeat_of("shop", "web-1") };
    let outputs = send(&mut world, SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat.clone()));
    assert_eq!(
        outputs,
        vec![Output::SendAll(world::id("shop", "web-1"))],
        "the walk found the same: its ports are"
    );
    let outputs = send(&mut world, SidecarEvent::Heartbeat(world::id("shop", "web-1"), heartbeat));
    assert_eq!(outputs, vec![], "asked for once");
    let outputs = arrives(&mut world, connected(), unanswered);
    let (pod, number, tuples) = looks(&outputs).remove(0);
    assert_eq!(
        (pod.as_str(), tuples.len(), outputs.len()),
        ("db-0", 2, 1),
        "both dials end there: {outputs:?}"
    );
    let mut saw = saw(&tuples, &OPEN, Some(1));
    saw.seen.iter_mut().flat_map(|seen| &mut seen.socket).for_each(|socket| socket.unread = 120);
    answers(&mut world, "ledger", "db-0", number, saw);
    assert_eq!(world.verdict(), "PeerNotReading likely");
}
