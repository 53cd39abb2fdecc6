//! Streams as tables of inputs and actions, on a clock that is an argument.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;

use peerwalk_model::evidence::{LocalTrouble, Trigger, digest, signature};
use peerwalk_model::plan::{DnsTarget, PlannedTarget, RecordType, Retries, TargetKind};
use peerwalk_model::report::{Heartbeat, Transition};
use peerwalk_model::{TargetKey, Walk};
use peerwalk_wire::{PlanDelta, Transitions, Versions};

use super::*;
use crate::event::HubEvent;
use crate::expiry::jwt;

mod looks;
mod recorded;

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn config() -> Config {
    Config::new(|| AT)
}

fn pod() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "uid-1".into() }
}

fn hello() -> Hello {
    Hello {
        versions: Versions::supported(),
        token: "token-1".into(),
        pod: pod(),
        sidecar_version: "0.1.0".into(),
        instance: 1,
        plan_generation: 0,
    }
}

fn frame(message: &FromSidecar) -> Input {
    Input::Frame(message.encode(AT).expect("within the limits"), AT)
}

fn session() -> Session {
    Session::new(&config(), secs(0))
}

/// A session after `Welcome`.
fn attached() -> Session {
    let mut session = session();
    session.on(frame(&FromSidecar::Hello(hello())), secs(0));
    session.on(Input::Reviewed(Ok(pod()), Standing::Welcome), secs(0));
    session
}

fn key(target: &str) -> TargetKey {
    TargetKey { check: "web".into(), target: target.into() }
}

fn plan(generation: u64, targets: &[&str]) -> Arc<Plan> {
    let target = PlannedTarget {
        kind: TargetKind::Dns(DnsTarget { name: "a.example".into(), record: RecordType::A }),
        http: None,
        connect_timeout: secs(1),
        total_timeout: secs(5),
        interval: secs(30),
        retries: Retries { attempts: 1, backoff: secs(0), max_backoff: secs(0) },
        controls: Vec::new(),
    };
    let targets: BTreeMap<_, _> = targets.iter().map(|name| (key(name), target.clone())).collect();
    Arc::new(Plan { generation, targets })
}

fn with_plan(generation: u64, targets: &[&str]) -> Session {
    let mut session = attached();
    session.on(orders(plan(generation, targets)), secs(0));
    session
}

fn orders(plan: Arc<Plan>) -> Input {
    Input::Orders(Orders { plan: Some(plan), ..Orders::default() })
}

fn walk(target: &str, errno: i32) -> Walk {
    let local = Some(LocalTrouble { what: "ports".into(), errno });
    Walk { local, ..Walk::begin(key(target), 1, Trigger::Interval, AT) }
}

fn evidence(walk: &Walk) -> Input {
    frame(&FromSidecar::Evidence(Box::new(walk.clone())))
}

fn heartbeat(plan_generation: u64, walks: &[Walk]) -> Input {
    let digest = digest(walks.iter().map(|walk| (&walk.target, signature(walk))));
    frame(&FromSidecar::Heartbeat(Heartbeat { plan_generation, digest, ..Heartbeat::default() }))
}

fn sent(actions: &[Action]) -> Vec<&FromHub> {
    actions
        .iter()
        .filter_map(|action| if let Action::Send(message) = action { Some(message) } else { None })
        .collect()
}

fn ended(actions: &[Action]) -> Option<Ended> {
    actions.iter().find_map(|action| if let Action::End(reason) = action { Some(*reason) } else { None })
}

fn refusal(actions: &[Action]) -> (RefusalCode, &str) {
    match sent(actions).as_slice() {
        [FromHub::Refused(refusal)] => (refusal.code, refusal.message.as_str()),
        other => panic!("one refusal was expected, not {other:?}"),
    }
}

#[test]
fn a_good_hello_is_reviewed_then_welcomed_then_attached() {
    let mut session = session();
    let actions = session.on(frame(&FromSidecar::Hello(hello())), secs(1));
    let review = Action::Review { token: "token-1".into(), afresh: false };
    assert_eq!(actions, [Action::Count(Count::Message(MessageKind::Hello)), review]);
    assert!(!session.listens(), "nothing is read before the answer");
    let actions = session.on(Input::Reviewed(Ok(pod()), Standing::Welcome), secs(2));
    let welcome = FromHub::Welcome { version: 1, heartbeat_interval: secs(10) };
    assert_eq!(actions, [Action::Send(welcome), Action::Attach(pod(), 1)]);
}

#[test]
fn who_is_not_welcome_is_told_why() {
    let other = PodRef { uid: "uid-2".into(), ..pod() };
    let retry = |seconds, reason| FromHub::RetryAfter { delay: secs(seconds), reason };
    let invalid = AuthError::Invalid("another audience".into());
    let table = [
        (Ok(pod()), Standing::Unknown, retry(2, RetryReason::PodUnknown), Ended::Retry),
        (Ok(pod()), Standing::Full, retry(15, RetryReason::Full), Ended::Retry),
        (
            Err(AuthError::Unavailable),
            Standing::Welcome,
            retry(5, RetryReason::ReviewUnavailable),
            Ended::Retry,
        ),
        (
            Err(AuthError::NotReady { retry: secs(3) }),
            Standing::Welcome,
            retry(3, RetryReason::NotReady),
            Ended::Retry,
        ),
        (
            Err(invalid),
            Standing::Welcome,
            FromHub::Refused(Refusal {
                code: RefusalCode::Token,
                message: "the token is not valid: another audience".into(),
            }),
            Ended::Token,
        ),
        (
            Ok(other),
            Standing::Welcome,
            FromHub::Refused(Refusal {
                code: RefusalCode::Pod,
                message: "the token is the one of pod shop/web-1, another one".into(),
            }),
            Ended::Pod,
        ),
    ];
    for (result, standing, answer, reason) in table {
        let mut session = session();
        session.on(frame(&FromSidecar::Hello(hello())), secs(0));
        let actions = session.on(Input::Reviewed(result.clone(), standing), secs(0));
        assert_eq!(actions, [Action::Send(answer), Action::End(reason)], "after {result:?}");
        assert!(session.on(heartbeat(0, &[]), secs(0)).is_empty(), "an ended stream does nothing");
    }
}

#[test]
fn an_unknown_version_is_refused_before_the_token_is_looked_at() {
    let versions = Versions { min: 90, max: 99 };
    let actions = session().on(frame(&FromSidecar::Hello(Hello { versions, ..hello() })), secs(0));
    let (code, message) = refusal(&actions);
    assert_eq!(code, RefusalCode::Version);
    assert!(message.contains("90 to 99"), "the versions are named: {message}");
    assert!(!actions.iter().any(|action| matches!(action, Action::Review { .. })), "no review");
}

#[test]
fn what_breaks_the_protocol_is_refused_by_name() {
    let large = Frame::from(vec![0; limits::HELLO_FRAME_BYTES + 1]);
    let table = [
        (session(), Input::Frame(Frame::from(vec![0xff; 9]), AT), "cannot be decoded"),
        (session(), Input::Frame(large, AT), "16384 are allowed"),
        (session(), Input::Broken("frame too large".into()), "frame too large"),
        (session(), heartbeat(0, &[]), "the first message is not Hello"),
        (attached(), frame(&FromSidecar::Hello(hello())), "Hello is the first message and no other"),
        (attached(), Input::Frame(Frame::from(Vec::new()), AT), "message is missing"),
    ];
    for (mut session, input, words) in table {
        let actions = session.on(input, secs(0));
        let (code, message) = refusal(&actions);
        assert_eq!((code, ended(&actions)), (RefusalCode::Protocol, Some(Ended::Protocol)));
        assert!(message.contains(words), "{message:?} says {words:?}");
    }
}

#[test]
fn silence_ends_a_stream() {
    let mut silent = session();
    assert_eq!(silent.deadline(), Some(secs(5)));
    assert!(silent.on(Input::Tick, secs(4)).is_empty(), "there is a second left");
    assert_eq!(ended(&silent.on(Input::Tick, secs(5))), Some(Ended::HelloTimeout));

    let mut quiet = attached();
    quiet.on(heartbeat(0, &[]), secs(20));
    assert_eq!(quiet.deadline(), Some(secs(50)), "three heartbeats after the last one");
    assert!(quiet.on(Input::Tick, secs(49)).is_empty());
    assert_eq!(ended(&quiet.on(Input::Tick, secs(50))), Some(Ended::Idle));
}

#[test]
fn plans_go_out_whole_and_then_as_differences() {
    let mut session = attached();
    let first = plan(3, &["a", "b"]);
    let actions = session.on(orders(Arc::clone(&first)), secs(0));
    assert_eq!(actions, [Action::Send(FromHub::PlanDelta(PlanDelta::whole(&first)))]);
    assert!(session.on(orders(first), secs(0)).is_empty(), "the same plan is not sent again");
    let actions = session.on(orders(plan(4, &["b", "c"])), secs(0));
    let [FromHub::PlanDelta(delta)] = sent(&actions)[..] else { panic!("a delta is sent: {actions:?}") };
    assert_eq!((delta.base_generation, delta.generation), (3, 4));
    assert_eq!(delta.upsert.keys().collect::<Vec<_>>(), [&key("c")]);
    assert_eq!(delta.remove, [key("a")]);
    let began_anew = plan(1, &["b"]);
    let actions = session.on(orders(Arc::clone(&began_anew)), secs(0));
    assert_eq!(sent(&actions), [&FromHub::PlanDelta(PlanDelta::whole(&began_anew))], "numbers began anew");
}

#[test]
fn evidence_of_planned_targets_is_handed_over() {
    let mut session = with_plan(1, &["a"]);
    let found = walk("a", 1);
    let actions = session.on(evidence(&found), secs(0));
    let event = HubEvent::Evidence { pod: pod(), at: AT, walk: Box::new(found) };
    assert_eq!(actions[1], Action::Deliver(event, Note::Evidence(key("a"))));
    let actions = session.on(evidence(&walk("b", 1)), secs(0));
    assert_eq!(actions[1..], [Action::Count(Count::Unplanned)], "b is not planned");
}

#[test]
fn a_digest_that_does_not_fit_asks_for_everything_again() {
    let all = |walks: &[&Walk], session: &mut Session| {
        for walk in walks {
            session.on(evidence(walk), secs(0));
        }
    };
    let asks = |session: &mut Session, input| sent(&session.on(input, secs(0))).contains(&&FromHub::SendAll);
    let (a, b) = (walk("a", 1), walk("b", 2));

    let mut session = with_plan(1, &["a", "b"]);
    assert!(!asks(&mut session, heartbeat(1, &[])), "neither side has any");
    assert!(asks(&mut session, heartbeat(1, std::slice::from_ref(&a))), "the hub has not got a");
    all(&[&a, &b], &mut session);
    assert!(!asks(&mut session, heartbeat(1, &[a.clone(), b.clone()])), "both are there");
    assert!(asks(&mut session, heartbeat(1, &[a.clone(), walk("b", 3)])), "b has changed");
    assert!(asks(&mut session, heartbeat(1, &[a.clone(), b.clone()])), "what was held is forgotten by then");
    all(&[&a, &b], &mut session);
    assert!(!asks(&mut session, heartbeat(1, &[a.clone(), b.clone()])), "both are there again");

    let interim = Walk { interim: true, ..walk("a", 9) };
    all(&[&interim], &mut session);
    assert!(!asks(&mut session, heartbeat(1, &[a.clone(), b.clone()])), "an interim report does not count");
    assert_eq!(session.delivered(Note::Evidence(key("b")), false), None);
    assert!(asks(&mut session, heartbeat(1, &[a.clone(), b.clone()])), "what nobody took is asked for");

    all(&[&a, &b], &mut session);
    session.on(orders(plan(2, &["a"])), secs(0));
    assert!(!asks(&mut session, heartbeat(1, &[a.clone(), b])), "another plan, nothing to compare");
    assert!(!asks(&mut session, heartbeat(2, &[a])), "b is no longer planned");
}

#[test]
fn all_evidence_is_asked_for_again_when_it_is_ordered_and_held_all_the_same() {
    let mut session = with_plan(1, &["a"]);
    let found = walk("a", 1);
    session.on(evidence(&found), secs(0));
    let order = Orders { send_all: true, ..Orders::default() };
    let actions = session.on(Input::Orders(order), secs(0));
    assert_eq!(actions, [Action::Count(Count::Resend), Action::Send(FromHub::SendAll)]);
    let actions = session.on(heartbeat(1, std::slice::from_ref(&found)), secs(0));
    assert!(!sent(&actions).contains(&&FromHub::SendAll), "a heartbeat on its way is no reason to ask twice");
}

fn transition(target: &str) -> Transition {
    let stage = peerwalk_model::Stage::Connect;
    Transition { target: key(target), at: AT, passed: false, stage, signature: 1 }
}

fn transitions(first: u64, targets: &[&str]) -> Input {
    let transitions = targets.iter().map(|target| transition(target)).collect();
    frame(&FromSidecar::Transitions(Transitions { first, transitions }))
}

fn told(targets: &[&str], through: u64) -> Action {
    let transitions = targets.iter().map(|target| transition(target)).collect();
    Action::Deliver(HubEvent::Transitions { pod: pod(), at: AT, transitions }, Note::Transitions(through))
}

const fn unplanned(transitions: u64) -> Action {
    Action::Count(Count::UnplannedTransitions(transitions))
}

const fn received(through: u64) -> FromHub {
    FromHub::TransitionsReceived { through }
}

#[test]
fn transitions_are_acknowledged_when_taken_and_taken_once() {
    let mut session = with_plan(1, &["a", "b", "c"]);
    assert_eq!(session.on(transitions(5, &["a", "b"]), secs(0))[1..], [told(&["a", "b"], 6)]);
    assert_eq!(session.delivered(Note::Transitions(6), true), Some(received(6)));
    assert_eq!(session.on(transitions(6, &["b", "c"]), secs(0))[1..], [told(&["c"], 7)]);
    assert_eq!(session.delivered(Note::Transitions(7), true), Some(received(7)));
    let again = session.on(transitions(6, &["b", "c"]), secs(0));
    assert_eq!(again[1..], [Action::Send(received(7))], "nothing new");
    let actions = session.on(transitions(8, &["gone", "a", "gone"]), secs(0));
    assert_eq!(actions[1..], [unplanned(2), told(&["a"], 10)], "only what is planned is told");
    session.delivered(Note::Transitions(10), true);
    let actions = session.on(transitions(11, &["gone"]), secs(0));
    assert_eq!(actions[1..], [unplanned(1), Action::Send(received(11))], "and the rest is counted");
    assert!(ended(&session.on(transitions(u64::MAX, &["a", "b"]), secs(0))).is_none(), "no overflow");
}

#[test]
fn transitions_that_nobody_took_are_acknowledged_by_no_later_ones() {
    let mut session = with_plan(1, &["a", "b"]);
    session.on(transitions(1, &["a"]), secs(0));
    assert_eq!(session.delivered(Note::Transitions(1), true), Some(received(1)));
    session.on(transitions(2, &["b"]), secs(0));
    assert_eq!(session.delivered(Note::Transitions(2), false), None);
    assert_eq!(session.on(transitions(3, &["a"]), secs(0))[1..], [told(&["a"], 3)], "they are told");
    assert_eq!(session.delivered(Note::Transitions(3), true), None, "but the second would be forgotten");
    assert_eq!(session.on(transitions(4, &["gone"]), secs(0))[1..], [unplanned(1)], "likewise");
}

fn some(targets: &[&str]) -> WalkOrder {
    WalkOrder::Some(targets.iter().map(|target| key(target)).collect())
}

fn ask(walk: WalkOrder) -> Input {
    Input::Orders(Orders { walk, ..Orders::default() })
}

#[test]
fn walks_are_ordered_by_name_or_all_at_once() {
    let mut session = with_plan(1, &["a"]);
    let actions = session.on(ask(some(&["a"])), secs(0));
    assert_eq!(sent(&actions), [&FromHub::WalkNow(vec![key("a")])]);
    let actions = session.on(ask(WalkOrder::All), secs(0));
    assert_eq!(sent(&actions), [&FromHub::WalkNow(Vec::new())]);
}

#[test]
fn walks_asked_for_shortly_before_the_end_may_not_have_been_heard_of() {
    let mut session = with_plan(1, &["a", "b", "c"]);
    let beat = |session: &mut Session| session.on(heartbeat(1, &[]), secs(0));
    session.on(ask(some(&["a"])), secs(0));
    beat(&mut session);
    session.on(ask(some(&["b"])), secs(0));
    beat(&mut session);
    session.on(ask(some(&["c"])), secs(0));
    assert_eq!(session.unheard(), some(&["b", "c"]), "two heartbeats came after the first");

    session.on(ask(some(&["a"])), secs(0));
    session.on(Input::PeerGone, secs(0));
    assert_eq!(session.unheard(), some(&["a"]), "the end of the stream forgets none");
}

#[test]
fn who_begins_without_a_plan_is_not_asked_to_walk_what_is_new_to_it() {
    let both = || Orders { plan: Some(plan(3, &["a"])), walk: WalkOrder::All, ..Orders::default() };
    for (plan_generation, expected) in [(0, 1), (2, 2)] {
        let mut session = session();
        session.on(frame(&FromSidecar::Hello(Hello { plan_generation, ..hello() })), secs(0));
        session.on(Input::Reviewed(Ok(pod()), Standing::Welcome), secs(0));
        let actions = session.on(Input::Orders(both()), secs(0));
        assert_eq!(actions.len(), expected, "it had plan {plan_generation}: {actions:?}");
        let actions = session.on(ask(some(&["a"])), secs(0));
        assert_eq!(actions.len(), 1, "from then on it is asked");
    }
}

#[test]
fn without_a_leader_nobody_is_attached_and_nobody_sent_away() {
    let orders = || Input::Orders(Orders { no_leader: true, ..Orders::default() });
    let later = FromHub::RetryAfter { delay: secs(1), reason: RetryReason::NotReady };
    assert_eq!(session().on(orders(), secs(0)), [Action::Send(later), Action::End(Ended::Retry)]);
    assert_eq!(attached().on(orders(), secs(0)), [], "who is attached stays");
}

#[test]
fn orders_can_end_a_stream() {
    let unknown = FromHub::RetryAfter { delay: secs(2), reason: RetryReason::PodUnknown };
    let redirect = FromHub::Redirect { address: "10.0.0.9:9443".into() };
    let table = [
        (Orders { superseded: true, ..Orders::default() }, FromHub::Superseded, Ended::Superseded),
        (Orders { removed: true, ..Orders::default() }, unknown, Ended::PodGone),
        (Orders { redirect: Some("10.0.0.9:9443".into()), ..Orders::default() }, redirect, Ended::Redirected),
    ];
    for (orders, answer, reason) in table {
        let actions = attached().on(Input::Orders(orders), secs(0));
        assert_eq!(actions, [Action::Send(answer), Action::End(reason)]);
    }
    let actions = attached().on(Input::Drain, secs(0));
    assert_eq!(actions, [Action::Send(FromHub::Draining), Action::End(Ended::Draining)]);
}

fn rotate(session: &mut Session, token: &str, now: Duration) -> Vec<Action> {
    session.on(frame(&FromSidecar::Token(token.into())), now)
}

#[test]
fn a_rotated_token_is_reviewed_and_must_be_the_same_pods() {
    let mut session = attached();
    let review = Action::Review { token: "token-2".into(), afresh: false };
    assert_eq!(rotate(&mut session, "token-2", secs(0))[1..], [review]);
    let actions = session.on(Input::Reviewed(Ok(pod()), Standing::Welcome), secs(0));
    assert!(actions.is_empty(), "the stream goes on");
    rotate(&mut session, "token-3", secs(10));
    let other = PodRef { name: "web-2".into(), ..pod() };
    let actions = session.on(Input::Reviewed(Ok(other), Standing::Welcome), secs(10));
    assert_eq!(refusal(&actions).0, RefusalCode::Pod);
}

#[test]
fn tokens_that_are_rotated_all_the_time_are_too_much() {
    let mut session = attached();
    assert_eq!(rotate(&mut session, "token-2", secs(20)).len(), 2, "one is reviewed");
    assert_eq!(rotate(&mut session, "token-3", secs(30)).len(), 2, "another after ten seconds");
    let actions = rotate(&mut session, "token-4", Duration::from_millis(39_999));
    let retry = FromHub::RetryAfter { delay: RATE_DELAY, reason: RetryReason::Rate };
    assert_eq!(actions[1..], [Action::Send(retry), Action::End(Ended::Rate)]);
}

/// A token that expires that many seconds after [`AT`].
fn expires_after(seconds: i64) -> String {
    jwt(&format!(r#"{{"exp":{}}}"#, AT.as_millis() / 1000 + seconds))
}

#[test]
fn a_token_is_reviewed_again_when_it_expires() {
    let mut session = session();
    let (first, second) = (expires_after(300), expires_after(500));
    session.on(frame(&FromSidecar::Hello(Hello { token: first.clone(), ..hello() })), secs(100));
    let good = |session: &mut Session, now| session.on(Input::Reviewed(Ok(pod()), Standing::Welcome), now);
    good(&mut session, secs(101));
    let ticked = |session: &mut Session, now| {
        session.on(heartbeat(0, &[]), now);
        session.on(Input::Tick, now)
    };
    assert!(ticked(&mut session, secs(399)).is_empty(), "it arrived at 100 and is good for 300 s");
    let afresh = |token: &str| Action::Review { token: token.into(), afresh: true };
    assert_eq!(ticked(&mut session, secs(400)), [afresh(&first)], "not after ten minutes");
    good(&mut session, secs(401));
    assert!(
        ticked(&mut session, secs(460)).is_empty(),
        "it should have expired; that is asked once a minute"
    );
    assert_eq!(ticked(&mut session, secs(461)), [afresh(&first)]);

    // A new one comes while the old one is reviewed: from then on only the new one counts.
    rotate(&mut session, &second, secs(462));
    good(&mut session, secs(463));
    assert!(ticked(&mut session, secs(961)).is_empty(), "the new one is good for 500 s");
    assert_eq!(ticked(&mut session, secs(962)), [afresh(&second)]);
    let expired = Err(AuthError::Invalid("expired".into()));
    let actions = session.on(Input::Reviewed(expired, Standing::Welcome), secs(962));
    assert_eq!(ended(&actions), Some(Ended::Token), "the stream ends with its token");
}

#[test]
fn tokens_are_reviewed_again_and_trouble_ends_no_stream() {
    let mut session = attached();
    session.on(heartbeat(0, &[]), secs(599));
    assert!(session.on(Input::Tick, secs(599)).is_empty(), "ten minutes are not over");
    session.on(heartbeat(0, &[]), secs(600));
    let review = Action::Review { token: "token-1".into(), afresh: true };
    assert_eq!(session.on(Input::Tick, secs(600)), [review]);
    assert!(session.on(Input::Tick, secs(601)).is_empty(), "one question at a time");
    assert!(
        session.on(Input::Reviewed(Err(AuthError::Unavailable), Standing::Welcome), secs(601)).is_empty()
    );
    session.on(heartbeat(0, &[]), secs(661));
    assert_eq!(session.on(Input::Tick, secs(661)).len(), 1, "a minute later it is asked again");
    let expired = Err(AuthError::Invalid("expired".into()));
    let actions = session.on(Input::Reviewed(expired, Standing::Welcome), secs(662));
    assert_eq!((refusal(&actions).0, ended(&actions)), (RefusalCode::Token, Some(Ended::Token)));
}

#[test]
fn who_sends_too_much_is_sent_away() {
    let mut session = attached();
    let results: Vec<_> = (0..2000).map(|_| ended(&session.on(heartbeat(0, &[]), secs(0)))).collect();
    let first = results.iter().position(Option::is_some).expect("the rate is bounded");
    // Hello was the first of 1024.
    assert_eq!((first, results[first]), (1023, Some(Ended::Rate)));
}
