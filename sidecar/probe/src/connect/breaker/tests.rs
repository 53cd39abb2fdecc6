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

/// A breaker that failed so often, each time with a finding that lasts.
fn failed(times: u32, now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..times {
        breaker.failed(now, true, longest);
    }
    breaker
}

#[tokio::test(start_paused = true)]
async fn every_transition() {
    let now = Instant::now();
    let open = failed(FAILURES, now);
    let mut half = open;
    assert!(half.begin(now + seconds(10), false), "its back-off is over");
    let with = |from: Breaker, act: &dyn Fn(&mut Breaker)| {
        let mut breaker = from;
        act(&mut breaker);
        breaker.state
    };
    let fail = |lasting| move |breaker: &mut Breaker| breaker.failed(now + seconds(10), lasting, longest);
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
        ("a success between begins anew", closed, &succeed, State::Closed),
        ("the back-off is not over", open, &refuse(9, false), at(10)),
        ("it is over", open, &begin(10, false), State::HalfOpen),
        ("an event does not wait", open, &begin(1, true), State::HalfOpen),
        ("one dials already", half, &refuse(10, false), State::HalfOpen),
        ("for an event too", half, &refuse(10, true), State::HalfOpen),
        ("it fails again", half, &fail(true), at(30)),
        ("again, with what would not last", half, &fail(false), at(10)),
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
    let mut now = Instant::now();
    let mut breaker = failed(FAILURES, now);
    let mut waited = Vec::new();
    for _ in 0..5 {
        let State::Open(until) = breaker.state else { panic!("open: {breaker:?}") };
        waited.push((until - now).as_secs());
        now = until;
        assert!(breaker.begin(now, false));
        breaker.failed(now, true, longest);
    }
    assert_eq!(waited, [10, 20, 50, 50, 50]);
    let jittered = failed(FAILURES - 1, now);
    let mut jittered = jittered;
    jittered.failed(now, true, |wait| wait / 2);
    assert_eq!(jittered.state, State::Open(now + seconds(5)), "the jitter is the caller's");
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
        let (mut now, mut grants) = (Instant::now(), Vec::new());
        breakers.0.lock().unwrap().entry(remote).or_default().breaker = failed(FAILURES, now);
        for act in acts {
            match act {
                Act::Pass(time) => now += seconds(time),
                Act::Begin(event) => grants.extend(breakers.begin(remote, now, event)),
                Act::Fail(lasting) if !grants.is_empty() => {
                    breakers.failed(remote, now, vec![], lasting);
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
