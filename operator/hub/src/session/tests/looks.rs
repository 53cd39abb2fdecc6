//! Questions about dials to the pod, and what counts as an answer.

use peerwalk_model::peer::{Listener, Saw, Seen, Tuple};

use super::*;

fn tuple(port: u16) -> Tuple {
    Tuple { source: ([10, 0, 0, 1], port).into(), destination: ([10, 0, 1, 1], 80).into(), mss: Some(1111) }
}

fn look(session: &mut Session, id: u64, ports: &[u16], now: Duration) -> usize {
    let looks = vec![(id, ports.iter().map(|port| tuple(*port)).collect())];
    let actions = session.on(Input::Orders(Orders { looks, ..Orders::default() }), now);
    let sent = actions.iter().filter(|action| matches!(action, Action::Send(_))).count();
    let counted = actions.iter().filter(|action| **action == Action::Count(Count::NotAsked)).count();
    assert_eq!(sent + counted, 1, "it is sent or counted: {actions:?}");
    sent
}

fn saw(ports: &[u16]) -> Saw {
    let seen = |port: &u16| Seen { tuple: tuple(*port), socket: None, listener: Listener::Unknown };
    Saw { seen: ports.iter().map(seen).collect(), ..Saw::default() }
}

fn answer(session: &mut Session, id: u64, ports: &[u16], now: Duration) -> Vec<Action> {
    session.on(frame(&FromSidecar::Saw { id, saw: saw(ports) }), now).split_off(1)
}

#[test]
fn an_answer_is_told_once_and_only_to_what_was_asked() {
    let told = |ports| {
        let event = HubEvent::Saw { pod: pod(), at: AT, id: 7, saw: saw(ports) };
        vec![Action::Deliver(event, Note::Nothing)]
    };
    let unasked = || vec![Action::Count(Count::Unasked)];
    let now = secs(1);
    let late = secs(11);
    for (asked, answered, at, expected) in [
        ((7, &[1, 2][..]), (7, &[1, 2][..]), now, told(&[1, 2])),
        ((7, &[1, 2]), (8, &[1, 2]), now, unasked()),
        ((7, &[1, 2]), (7, &[2, 1]), now, unasked()),
        ((7, &[1, 2]), (7, &[1]), now, unasked()),
        ((7, &[1, 2]), (7, &[1, 2, 3]), now, unasked()),
        ((7, &[1]), (7, &[2]), now, unasked()),
        ((7, &[1]), (7, &[1]), late, unasked()),
    ] {
        let mut session = attached();
        assert_eq!(look(&mut session, asked.0, asked.1, now), 1, "it is sent");
        let actions = answer(&mut session, answered.0, answered.1, at);
        assert_eq!(actions, expected, "{asked:?} was asked, {answered:?} answered at {at:?}");
        assert_eq!(answer(&mut session, 7, asked.1, at).len(), 1);
        let again = answer(&mut session, 7, asked.1, at);
        assert_eq!(again, unasked(), "no question is answered twice");
    }
}

#[test]
fn so_many_questions_are_open_and_no_more() {
    let mut session = attached();
    let sent: usize = (0..100).map(|id| look(&mut session, id, &[1], secs(0))).sum();
    assert_eq!(sent, 32);
    assert_eq!(look(&mut session, 31, &[2], secs(1)), 1, "the same number takes the place of itself");
    answer(&mut session, 0, &[1], secs(1));
    assert_eq!(look(&mut session, 200, &[1], secs(1)), 1, "an answer makes room");
    assert_eq!(look(&mut session, 201, &[1], secs(1)), 0);
    assert_eq!(look(&mut session, 201, &[1], secs(10)), 1, "so does time");
}

#[test]
fn a_window_is_asked_for_as_ordered() {
    let window = secs(3);
    let actions = attached().on(Input::Orders(Orders { watch: window, ..Orders::default() }), secs(0));
    assert_eq!(actions, [Action::Send(FromHub::Watch { window })]);
}
