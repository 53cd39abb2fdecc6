//! What is shown of one check.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::text;
use crate::check::Check;

fn check(generation: i64, status: &Value) -> Check {
    let object = json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
        "metadata": { "namespace": "shop", "name": "storefront", "generation": generation },
        "spec": {
            "source": { "podSelector": { "matchLabels": { "app": "web" } } },
            "targets": [
                { "name": "ledger-db", "service": { "name": "postgres", "namespace": "ledger", "port": 5432 } },
                { "name": "payments", "url": "https://payments.example.com/health", "expect": "Denied" },
            ],
        },
        "status": status,
    });
    Check::read(serde_json::from_value(object).unwrap()).unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 3,
        "lastTransitionTime": "2026-11-23T01:00:00Z",
    })
}

fn failed() -> Value {
    json!({
        "observedGeneration": 3,
        "since": "2026-11-23T01:00:00Z",
        "result": "Failed",
        "conditions": [
            condition("Covered", "True", "AllReporting", "3 of 3 selected pods report"),
            condition("Ready", "False", "PolicyDenied", "ledger-db: NetworkPolicy ledger/db denies it"),
            condition("Reconciling", "False", "Settled", ""),
            condition("Stalled", "False", "Progressing", ""),
            condition("Later", "True", "Known", "of a later version"),
        ],
        "summary": { "pods": 3, "reporting": 3, "targets": 2, "pairs": 6, "asExpected": 3, "failed": 3, "unknown": 0, "ok": "3/6" },
        "targets": [
            {
                "name": "ledger-db", "outcome": "Failed", "observed": "Denied", "reason": "PolicyDenied", "stage": "Connect",
                "confidence": "confirmed", "since": "2026-11-23T01:00:00Z",
                "pods": { "asExpected": 0, "failed": 3, "unknown": 0 },
                "policy": { "kind": "NetworkPolicy", "namespace": "ledger", "name": "db", "direction": "Ingress" },
                "message": "NetworkPolicy ledger/db denies it",
                "samples": ["web-1 connect: 10.96.3.7:5432: no answer\u{1b}[2J"],
            },
            {
                "name": "payments", "outcome": "AsExpected", "observed": "Denied", "stage": "Connect",
                "pods": { "asExpected": 3, "failed": 0, "unknown": 0 },
            },
        ],
        "outages": [
            { "target": "payments", "start": "2026-11-22T01:00:00Z", "end": "2026-11-22T01:00:40Z" },
            { "target": "ledger-db", "start": "2026-11-23T01:00:00Z", "reason": "PolicyDenied", "stage": "Connect" },
        ],
    })
}

fn shown(check: &Check) -> String {
    let now: Timestamp = "2026-11-23T01:12:05Z".parse().unwrap();
    anstream::adapter::strip_str(&text(check, now)).to_string()
}

#[test]
fn a_failed_check_is_told_with_everything_one_needs_at_night() {
    let text = shown(&check(3, &failed()));
    for line in [
        "shop/storefront   Ready False PolicyDenied, since 2026-11-23T01:00:00Z (12m)",
        "  ledger-db: NetworkPolicy ledger/db denies it",
        "  PolicyDenied: A NetworkPolicy denies the connection.",
        "  To do: If the connection is wanted, add the rule that the explanation prints.",
        "  Covered      True   AllReporting  since 2026-11-23T01:00:00Z (12m)  3 of 3 selected pods report",
        "  Later        True   Known         since 2026-11-23T01:00:00Z (12m)  of a later version",
        "Pairs of source pod and target: 3 of 6 as expected, 3 failed, 0 unknown; 3 of 3 source pods report",
        "  ledger-db   Failed   Denied, PolicyDenied at Connect (confirmed), since 2026-11-23T01:00:00Z (12m)",
        "      asked: Service ledger/postgres:5432, expected Reachable",
        "      pods: 0 as expected, 3 failed, 0 unknown",
        "      policy: ingress, NetworkPolicy ledger/db, no rule of it admits this",
        "      because web-1 connect: 10.96.3.7:5432: no answer [2J",
        "  payments   AsExpected   Denied at Connect",
        "      asked: https://payments.example.com/health, expected Denied",
        "  ledger-db  2026-11-23T01:00:00Z  lasts, 12m                    PolicyDenied        at Connect",
        "  payments   2026-11-22T01:00:00Z  to 2026-11-22T01:00:40Z, 40s  no operator judged",
    ] {
        assert!(text.lines().any(|l| l == line), "expected the line {line:?} in:\n{text}");
    }
    assert_eq!(text.matches("To do:").count(), 1, "what a code asks for is told once:\n{text}");
}

#[test]
fn what_is_said_of_another_generation_is_told_as_such() {
    let old = shown(&check(4, &failed()));
    assert!(old.contains("said of generation 3; nothing has been said of generation 4 yet"), "{old}");
    let new = shown(&check(
        1,
        &json!({
            "observedGeneration": -1,
            "conditions": [{ "type": "Ready", "status": "Unknown", "reason": "Pending", "message": "not yet seen",
                             "lastTransitionTime": "1970-01-01T00:00:00Z" }],
        }),
    ));
    assert!(new.contains("No operator has seen this check yet"), "{new}");
    assert!(new.contains("never changed"), "the time of the schema's default is none: {new}");
    let empty = shown(&check(1, &Value::Null));
    assert!(empty.starts_with("shop/storefront   Ready Unknown"), "{empty}");
}
