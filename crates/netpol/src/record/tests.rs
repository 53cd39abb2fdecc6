//! What a file may leave out, and what it must not say. That decisions read back is a property of all of them.

use serde_json::{Value, json};

use super::*;

fn record() -> Value {
    json!({
        "source": { "pod": "shop/web", "address": "10.244.0.5" },
        "destination": { "pod": "ledger/postgres-0", "address": "10.244.1.8" },
        "protocol": "TCP",
        "port": 5432,
        "egress": { "verdict": "allowed", "cause": "default" },
        "ingress": {
            "verdict": "denied",
            "cause": "noRuleMatches",
            "steps": [{ "policy": { "kind": "NetworkPolicy", "namespace": "ledger", "name": "default-deny" } }],
        },
    })
}

/// The record with the value at a JSON pointer replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut record = record();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    record.pointer_mut(parent).unwrap()[key] = value;
    record
}

fn read(record: Value) -> Result<Decision, String> {
    serde_json::from_value(record).map_err(|error| error.to_string())
}

#[test]
fn what_follows_may_be_left_out() {
    let decision = read(record()).unwrap();
    assert_eq!(decision.verdict, Verdict::Denied);
    assert!(decision.is_certain());
    assert_eq!(
        decision.to_string(),
        "ingress to ledger/postgres-0 is isolated by NetworkPolicy ledger/default-deny; no rule admits shop/web \
         on port 5432/TCP"
    );
    let doubtful = read(with("/ingress/caveats", json!(["endPort"]))).unwrap();
    assert!(!doubtful.is_certain(), "the doubts of the direction that denies are the decision's");
}

#[test]
fn what_contradicts_itself_is_refused_with_the_field() {
    let policy = json!({ "kind": "NetworkPolicy", "namespace": "ledger", "name": "default-deny" });
    let admitting = json!([{ "policy": policy, "rules": [{ "index": 1 }] }]);
    for (pointer, value, wanted) in [
        ("/verdict", json!("allowed"), "verdict is Allowed, and egress and ingress make it Denied"),
        ("/caveats", json!(["endPort"]), "caveats are {EndPort}"),
        ("/ingress/verdict", json!("allowed"), "ingress.verdict is Allowed"),
        ("/egress/cause", json!("noRuleMatches"), "egress.verdict is Allowed"),
        ("/egress/cause", json!("ruleMatch"), "name the policy and the rule that admits"),
        ("/egress/steps", admitting.clone(), "egress.steps do not fit the cause Default"),
        ("/ingress/steps", json!([]), "name the policies that isolate"),
        ("/ingress/steps", admitting, "a rule that differs in nothing admits"),
        ("/source/pod", json!("web"), "write it as shop/web"),
        ("/ingress/rule", json!(1), "unknown field `rule`"),
        ("/protocol", json!("tcp"), "unknown variant `tcp`"),
    ] {
        let error = read(with(pointer, value)).unwrap_err();
        assert!(error.contains(wanted), "{pointer}: {wanted:?} in {error}");
    }
}
