//! Each transition, and what never happens.

use proptest::prelude::*;

use super::*;

const REMOTE: ([u8; 4], u16) = ([10, 244, 1, 8], 80);

fn longest(wait: Duration) -> Duration {
    wait
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A breaker that failed so often, one failure after the other and the last of them now, each time with a finding that
/// lasts.
fn failed(times: u32, now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    for left in (0..times).rev() {
        let at = now - ONE_FAILURE * left;
        breaker.failed((at, at), true, longest);
    }
    breaker
}

#[tokio::test(start_paused = true)]
async fn every_transition() {
    let now = Instant::now() + seconds(60);
    let open = failed(FAILURES, now);
    let mut half = open;
    assert!(half.begin(now + seconds(10), false), "its back-off is over");
    let mut soon = open;
    assert!(soon.begin(now + seconds(2), true), "an event does not wait");
    let with = |from: Breaker, act: &dyn Fn(&mut Breaker)| {
        let mut breaker = from;
        act(&mut breaker);
        breaker.state
    };
    let ten = now + seconds(10);
    let fail = |lasting| move |breaker: &mut Breaker| breaker.failed((ten, ten), lasting, longest);
    let beside = |breaker: &mut Breaker| breaker.failed((now + seconds(2), ten), true, longest);
    let begin = |after, event| move |b: &mut Breaker| assert!(b.begin(now + seconds(after), event));
    let refuse = |after, event| move |b: &mut Breaker| assert!(!b.begin(now + seconds(after), event));
    let succeed = |breaker: &mut Breaker| breaker.succeeded();
    let abandon = |breaker: &mut Breaker| breaker.abandoned(now + seconds(11));
    let closed = failed(FAILURES - 1, now);
    let at = |after| State::Open(now + seconds(after));
    for (about, from, act, expected) in [
        (
            "four failures are too few",
            Breaker::default(),
            &begin(0, false) as &dyn Fn(&mut Breaker),
            State::Closed,
        ),
        ("the fifth opens it", closed, &fail(true), at(20)),
        ("not with what would not last", closed, &fail(false), State::Closed),
        ("a walk beside the fourth is none", closed, &beside, State::Closed),
        ("a walk beside the fifth changes nothing", open, &beside, at(10)),
        ("a success between begins anew", closed, &succeed, State::Closed),
        ("the back-off is not over", open, &refuse(9, false), at(10)),
        ("it is over", open, &begin(10, false), State::HalfOpen),
        ("an event does not wait", open, &begin(1, true), State::HalfOpen),
        ("one dials already", half, &refuse(10, false), State::HalfOpen),
        ("for an event too", half, &refuse(10, true), State::HalfOpen),
        ("it fails again", half, &fail(true), at(30)),
        ("again, with what would not last", half, &fail(false), at(10)),
        ("an event's, in the same moment: the back-off begins anew", soon, &beside, at(20)),
        ("it connects", half, &succeed, State::Closed),
        ("the walk was stopped", half, &abandon, at(11)),
        ("a walk of before has ended", open, &abandon, at(10)),
    ] {
        assert_eq!(with(from, act), expected, "{about}");
    }
    let mut anew = closed;
    anew.succeeded();
    assert_eq!(anew, Breaker::default(), "nothing is left of failures before a success");
}

#[tokio::test(start_paused = true)]
async fn back_offs_grow_to_less_than_evidence_stands() {
    let mut now = Instant::now() + seconds(60);
    let mut breaker = failed(FAILURES, now);
    let mut waited = Vec::new();
    for _ in 0..5 {
        let State::Open(until) = breaker.state else { panic!("open: {breaker:?}") };
        waited.push((until - now).as_secs());
        now = until;
        assert!(breaker.begin(now, false));
        breaker.failed((now, now), true, longest);
    }
    assert_eq!(waited, [10, 20, 50, 50, 50]);
    let mut jittered = failed(FAILURES - 1, now - ONE_FAILURE);
    jittered.failed((now, now), true, |wait| wait / 2);
    assert_eq!(jittered.state, State::Open(now + seconds(5)), "the jitter is the caller's");
}

/// Twenty targets that lead to one address walk it within a moment: that is no row of failures.
#[tokio::test(start_paused = true)]
async fn walks_of_one_moment_are_one_failure() {
    let (breakers, remote, now) = (Breakers::default(), SocketAddr::from(REMOTE), Instant::now());
    let round = |at: Instant| {
        for n in 0..20 {
            let began = at + Duration::from_millis(50) * n;
            breakers.failed(remote, (began, began + seconds(1)), vec![], true);
        }
    };
    for n in 0..4 {
        round(now + seconds(5) * n);
        assert_eq!(breakers.count(now), 0, "round {n}");
    }
    round(now + seconds(20));
    assert_eq!(breakers.count(now), 1, "the fifth in a row");
    assert!(breakers.stands(remote, now + seconds(21), false).is_some(), "it is not dialled");
    assert!(breakers.stands(remote, now + seconds(32), false).is_none(), "and for the first back-off alone");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_are_gone_make_room() {
    let (breakers, now) = (Breakers::default(), Instant::now() + seconds(60));
    let open = |remote: SocketAddr, now: Instant| {
        for left in (0..FAILURES).rev() {
            let at = now - ONE_FAILURE * left;
            breakers.failed(remote, (at, now), vec![], true);
        }
    };
    let remotes = |net: u8| {
        (0..REMEMBERED).map(move |n| {
            let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
            SocketAddr::from(([10, net, high, low], 80))
        })
    };
    remotes(1).for_each(|remote| open(remote, now));
    assert_eq!(breakers.count(now + seconds(600)), REMEMBERED, "a walk may come for them yet");
    let later = now + seconds(611);
    open(SocketAddr::from(REMOTE), later);
    assert_eq!(breakers.count(later), 1, "the new one alone");
    remotes(2).for_each(|remote| open(remote, later));
    assert_eq!(breakers.count(later), REMEMBERED, "bounded");
    assert_eq!(breakers.count(later + seconds(611)), 0, "the gauge does not grow for ever");
}

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Begin(bool),
    Fail(bool),
    Succeed,
    Stop,
}

proptest! {
    /// Whatever happens: never more than one dials while it is half-open, and whoever wants to is let within the longest
    /// back-off, or at once after an event unless one dials already.
    #[test]
    fn one_dials_at_a_time_and_within_the_back_off(
        acts in prop::collection::vec(prop_oneof![
            (0_u64..30).prop_map(Act::Pass),
            any::<bool>().prop_map(Act::Begin),
            any::<bool>().prop_map(Act::Fail),
            Just(Act::Succeed),
            Just(Act::Stop),
        ], 0..80),
    ) {
        let breakers = Breakers::default();
        let remote = SocketAddr::from(REMOTE);
        let (mut now, mut grants) = (Instant::now() + seconds(60), Vec::new());
        breakers.0.lock().unwrap().entry(remote).or_default().breaker = failed(FAILURES, now);
        for act in acts {
            match act {
                Act::Pass(time) => now += seconds(time),
                Act::Begin(event) => grants.extend(breakers.begin(remote, now, event)),
                Act::Fail(lasting) if !grants.is_empty() => {
                    breakers.failed(remote, (now, now), vec![], lasting);
                    grants.pop();
                }
                Act::Succeed if !grants.is_empty() => {
                    breakers.succeeded(remote);
                    grants.clear();
                }
                Act::Stop => drop(grants.pop()),
                Act::Fail(_) | Act::Succeed => {}
            }
            let state = breakers.0.lock().unwrap().get(&remote).map(|entry| entry.breaker);
            let half = grants.iter().filter(|grant| grant.half_open).count();
            prop_assert!(half <= 1, "{half} dial a half-open address");
            if let Some(breaker) = state {
                let free = half == 0;
                prop_assert!(!free || !breaker.waits(now, true), "an event is let: {breaker:?}");
                prop_assert!(!free || !breaker.waits(now + seconds(50), false), "let in time: {breaker:?}");
            }
        }
    }
}
