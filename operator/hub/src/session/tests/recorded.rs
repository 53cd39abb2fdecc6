//! A stream of a sidecar of protocol version 1, as it was recorded: sidecars outlive upgrades of the operator.
//!
//! Beyond being read, what it says has to mean the same: the digest of its heartbeat is of signatures that the sidecar
//! computed then, and where the hub computes others it asks for all evidence with every heartbeat.

use super::*;

/// Each line is a kind and a frame as hexadecimal digits, in the order of the stream.
const RECORDED: &str = include_str!("recorded-v1.txt");

fn recorded(kind: &str) -> Input {
    let line = RECORDED.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let hex = line.expect("one of each kind is recorded").as_bytes();
    let byte = |digits: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(digits).expect("ASCII"), 16).expect("hexadecimal")
    };
    Input::Frame(Frame::from(hex.chunks(2).map(byte).collect::<Vec<u8>>()), AT)
}

#[test]
fn a_sidecar_of_version_1_is_heard_and_asked_for_nothing_twice() {
    let mut session = session();
    let actions = session.on(recorded("hello"), secs(0));
    assert_eq!(actions[1..], [Action::Review { token: "token-1".into(), afresh: false }]);
    let actions = session.on(Input::Reviewed(Ok(pod()), Standing::Welcome), secs(0));
    let [FromHub::Welcome { version: 1, .. }] = sent(&actions)[..] else { panic!("{actions:?}") };
    session.on(orders(plan(1, &["a", "b"])), secs(0));

    for kind in ["evidence-a", "evidence-b"] {
        let actions = session.on(recorded(kind), secs(0));
        let [_, Action::Deliver(HubEvent::Evidence { walk, .. }, _)] = &actions[..] else {
            panic!("{kind}: {actions:?}")
        };
        assert_eq!(walk.target, key(kind.strip_prefix("evidence-").unwrap_or_default()));
    }
    let actions = session.on(recorded("heartbeat"), secs(0));
    let heard = |action: &Action| matches!(action, Action::Deliver(HubEvent::Heartbeat { .. }, _));
    assert!(actions.iter().any(heard), "{actions:?}");
    assert_eq!(sent(&actions), Vec::<&FromHub>::new(), "both sides hold the same");
    assert_eq!(session.on(recorded("transitions"), secs(0))[1..], [told(&["a"], 1)]);
    let actions = session.on(recorded("token"), secs(60));
    assert!(
        matches!(actions.last(), Some(Action::Review { token, .. }) if token == "token-2"),
        "{actions:?}"
    );
    assert!(ended(&actions).is_none(), "it stays");
}
