//! What statuses and events tell of other namespaces, where the configuration hides it.

use peerwalk_model::evidence::Dial;
use peerwalk_model::peer::Listener;

use super::world::World;
use super::*;
use crate::settings::Details;

/// The shop with a denying policy in the database's namespace, and sidecars in both pods.
fn shop(details: Details) -> World {
    let mut world = World::shop();
    world.engine.settings.details = details;
    world.policy("ledger", "default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    world.attach("web-1");
    world.attach_in("ledger", "db-0");
    world.settle_and_store();
    world.pass(60);
    world.heartbeat("web-1");
    world.heartbeat_in("ledger", "db-0");
    world
}

/// Everything that is told of a walk: its status, and events.
fn told(details: Details, dials: &[Dial], listener: Option<&Listener>) -> String {
    let mut world = shop(details);
    let outputs = peers::arrives(&mut world, dials.to_vec(), |_| {});
    for (pod, number, tuples) in peers::looks(&outputs) {
        if let Some(listener) = listener {
            peers::answers(&mut world, "ledger", &pod, number, peers::saw(&tuples, listener, None));
        }
    }
    for n in 2..=4 {
        world.heartbeat_in("ledger", "db-0");
        world.walk_repeated("web-1", dials.to_vec(), n);
        world.settle_and_store();
        world.pass(10);
    }
    let events = world.events.iter().map(|event| event.note.clone()).collect::<Vec<_>>();
    format!("{}\n{}", serde_json::to_string_pretty(world.last()).unwrap(), events.join("\n"))
}

#[test]
fn names_of_other_namespaces_are_told_or_hidden_as_configured() {
    let failed = |errno, queue| {
        let outcome = DialOutcome::Failed { errno, immediate: false, queue };
        vec![peers::from(51000, world::dial(peers::ENDPOINT, outcome))]
    };
    let by_node = IcmpError { v6: false, kind: 3, code: 13, offender: "10.90.0.2".parse().ok() };
    for (about, dials, listener, reason) in [
        ("denied", failed(113, vec![by_node]), None, "PolicyDenied"),
        ("silent", world::silent_with_control(), None, "PolicyDenied"),
        ("not enforced", peers::connected(), None, "PolicyNotEnforced"),
        ("nothing listens", failed(111, vec![]), Some(&Listener::Absent { elsewhere: None }), "NotListening"),
    ] {
        let full = told(Details::Full, &dials, listener);
        let redacted = told(Details::Redacted, &dials, listener);
        for text in [&full, &redacted] {
            assert!(text.contains(reason), "{about}: {text}");
        }
        assert!(full.contains("ledger/db-0") || full.contains("default-deny"), "{about}: {full}");
        for name in ["default-deny", "db-0", "ping", "n2"] {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let words = redacted.split(|c| !word(c));
            assert!(!words.into_iter().any(|word| word == name), "{about}: {name} in {redacted}");
        }
        assert!(redacted.contains("ledger"), "{about}: whom to ask: {redacted}");
    }
}

#[test]
fn a_policy_of_the_checks_own_namespace_is_named() {
    let mut world = World::shop();
    world.engine.settings.details = Details::Redacted;
    world.policy("shop", "no-egress", &json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    world.attach("web-1");
    world.settle_and_store();
    world.pass(60);
    let refused = DialOutcome::Failed { errno: 1, immediate: true, queue: vec![] };
    for n in 1..=4 {
        world.walk_repeated("web-1", vec![world::dial(peers::ENDPOINT, refused.clone())], n);
        world.settle_and_store();
        world.pass(10);
    }
    let text = serde_json::to_string_pretty(world.last()).unwrap();
    assert!(text.contains("shop/no-egress"), "{text}");
}
