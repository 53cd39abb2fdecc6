//! What is said of a pair, from one verdict to the next.

use peerwalk_model::{Confidence, Observed, Stage};
use serde_json::json;

use super::*;

fn check(expect: &str) -> ConnectivityCheck {
    serde_json::from_value(json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck", "metadata": {"name": "a"},
        "spec": {
            "source": {"podSelector": {}},
            "targets": [{"name": "t", "url": "http://example.com", "expect": expect}],
        },
    }))
    .expect("a check")
}

fn reachable(confidence: Confidence) -> Verdict {
    let (observed, stage) = (Observed::Reachable, Stage::Request);
    Verdict { observed, reason: None, stage, confidence, policy: None, because: vec![] }
}

fn after(before: Option<&PairState>, expect: &str, verdict: Verdict) -> PairState {
    let check = check(expect);
    follow(before, &check.spec.targets[0], &check, None, verdict)
}

#[test]
fn another_expectation_begins_anew() {
    let met = after(None, "Reachable", reachable(Confidence::Confirmed));
    assert_eq!(met.outcome, Outcome::AsExpected);
    let still = after(Some(&met), "Reachable", reachable(Confidence::Likely));
    assert_eq!(still.outcome, Outcome::AsExpected);
    let other = after(Some(&met), "Denied", reachable(Confidence::Likely));
    assert_eq!(other.outcome, Outcome::Unknown, "what was met is not what is expected now");
}
