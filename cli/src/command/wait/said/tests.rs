//! What counts as an answer.

use serde_json::{Value, json};

use super::{Before, Said, said};
use crate::check::Check;

const THEN: &str = "2026-11-23T01:00:00Z";
const LATER: &str = "2026-11-23T01:00:07Z";

fn condition(type_: &str, status: &str, reason: &str, at: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": "in words", "observedGeneration": 3,
        "lastTransitionTime": at,
    })
}

fn check(generation: i64, result: &str, conditions: &[Value]) -> Check {
    let object = json!({
        "metadata": { "namespace": "shop", "name": "storefront", "generation": generation },
        "spec": {},
        "status": { "observedGeneration": 3, "result": result, "conditions": conditions },
    });
    Check::read(serde_json::from_value(object).unwrap()).unwrap()
}

fn ready(status: &str, at: &str) -> Check {
    check(3, "Unknown", &[condition("Ready", status, "Because", at)])
}

fn stalled(at: &str) -> Check {
    let stalled = condition("Stalled", "True", "NotInjected", at);
    check(3, "Unknown", &[condition("Ready", "Unknown", "NotInjected", THEN), stalled])
}

/// The answer in one word.
fn word(check: &Check, before: Option<&Check>) -> &'static str {
    match said(check, before.map(Before::of).as_ref()) {
        Said::Ready(_) => "ready",
        Said::Failed { .. } => "failed",
        Said::Undecided(_) => "undecided",
        Said::NotYet(_) => "not yet",
    }
}

#[test]
fn only_what_is_said_of_this_generation_counts() {
    let of = |generation, status| check(generation, "AsExpected", &[condition("Ready", status, "R", THEN)]);
    for (case, check, expected) in [
        ("ready", of(3, "True"), "ready"),
        ("failed", of(3, "False"), "failed"),
        ("unknown", of(3, "Unknown"), "not yet"),
        ("ready of the generation before", of(4, "True"), "not yet"),
        ("failed of the generation before", of(4, "False"), "not yet"),
        ("without conditions", check(3, "Unknown", &[]), "not yet"),
        (
            "suspended",
            check(3, "Suspended", &[condition("Ready", "Unknown", "Suspended", THEN)]),
            "undecided",
        ),
        ("stuck", stalled(THEN), "undecided"),
    ] {
        assert_eq!(word(&check, None), expected, "{case}");
    }
    let mut condition_of_before = of(3, "True");
    condition_of_before.status.conditions[0].observed_generation = Some(2);
    let object = json!({
        "metadata": { "namespace": "shop", "name": "storefront", "generation": 3 },
        "status": condition_of_before.status,
    });
    let read = Check::read(serde_json::from_value(object).unwrap()).unwrap();
    assert_eq!(word(&read, None), "not yet", "Ready itself is of the generation before");
    let new = json!({ "metadata": { "generation": 1 }, "status": { "observedGeneration": -1 } });
    let new = Check::read(serde_json::from_value(new).unwrap()).unwrap();
    assert_eq!(word(&new, None), "not yet", "nobody has seen it");
}

#[test]
fn what_stood_there_before_does_not_count_as_fresh() {
    for (case, before, check, expected) in [
        ("the same True", ready("True", THEN), ready("True", THEN), "not yet"),
        ("a later True", ready("True", THEN), ready("True", LATER), "ready"),
        ("the same False", ready("False", THEN), ready("False", THEN), "not yet"),
        ("True after False", ready("False", THEN), ready("True", LATER), "ready"),
        ("False after True", ready("True", THEN), ready("False", LATER), "failed"),
        // An operator whose clock was set back.
        ("True after Unknown, earlier", ready("Unknown", LATER), ready("True", THEN), "ready"),
        ("stuck since before", stalled(THEN), stalled(THEN), "not yet"),
        ("stuck since then", stalled(THEN), stalled(LATER), "undecided"),
    ] {
        assert_eq!(word(&check, Some(&before)), expected, "{case}");
    }
}
