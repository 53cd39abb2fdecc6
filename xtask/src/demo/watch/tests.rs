//! Objects as the API server gives them, held against what is expected.

use serde_json::json;

use super::*;

const DENIED: Expected =
    Expected { ready: "False", reason: Some("PolicyDenied"), words: &["shop/catalog-lockdown"] };

fn check(ready: &str, reason: &str, policy: &str) -> Verdict {
    Verdict::of(&json!({
        "metadata": { "name": "storefront" },
        "status": {
            "conditions": [
                { "type": "Covered", "status": "True", "reason": "AllReporting", "message": "2 of 2" },
                { "type": "Ready", "status": ready, "reason": reason, "message": "catalog: no answer" },
            ],
            "targets": [{
                "name": "catalog",
                "reason": reason,
                "confidence": "confirmed",
                "policy": { "kind": "NetworkPolicy", "namespace": "shop", "name": policy, "direction": "Ingress" },
            }],
        },
    }))
}

#[test]
fn status_reason_and_words_must_all_be_there() {
    assert!(check("False", "PolicyDenied", "catalog-lockdown").is(&DENIED), "this is the expected one");
    for (ready, reason, policy) in [
        ("Unknown", "PolicyDenied", "catalog-lockdown"),
        ("False", "Dropped", "catalog-lockdown"),
        ("False", "PolicyDenied", "other"),
    ] {
        assert!(
            !check(ready, reason, policy).is(&DENIED),
            "{ready} {reason} {policy} is not what is expected"
        );
    }
}

#[test]
fn any_reason_will_do_where_none_is_expected() {
    let expected = Expected { ready: "False", reason: None, words: &[] };
    assert!(check("False", "PolicyNotEnforced", "default-deny").is(&expected), "the reason is left open");
    assert!(!check("True", "AsExpected", "default-deny").is(&expected), "the status is not");
}

#[test]
fn an_object_nobody_has_looked_at_says_nothing() {
    let verdict = Verdict::of(&json!({ "metadata": { "name": "storefront" } }));
    assert_eq!(verdict.ready, "", "no condition, no status");
    assert!(!verdict.is(&DENIED), "nothing is not a verdict");
}
