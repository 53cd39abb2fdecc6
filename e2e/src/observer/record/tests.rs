//! Which observed changes of a status count as wrong, by tables of versions as a watch would show them.

use peerwalk_api::ConnectivityCheck;
use serde_json::json;

use super::{Expected, Record};

const READY: Expected = ("good", "Ready", &[("True", "AsExpected")]);
const OPEN: Expected = ("good", "open", &[("Reachable", "")]);

/// A check that says this of Ready and of its one target.
fn check(ready: (&str, &str), target: (&str, &str)) -> ConnectivityCheck {
    let value = json!({
        "apiVersion": "peerwalk.dev/v1alpha1",
        "kind": "ConnectivityCheck",
        "metadata": { "name": "good", "namespace": "client", "generation": 1 },
        "spec": {
            "source": { "podSelector": {} },
            "targets": [{ "name": "open", "dns": { "name": "localhost" } }],
        },
        "status": {
            "result": "Unknown",
            "conditions": [{
                "type": "Ready",
                "status": ready.0,
                "reason": ready.1,
                "message": "",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "targets": [{
                "name": "open",
                "outcome": "Unknown",
                "observed": target.0,
                "reason": target.1,
                "pods": { "asExpected": 0, "failed": 0, "unknown": 0 },
            }],
            "outages": [{ "target": "open", "start": "2026-01-01T00:00:00Z" }],
        },
    });
    serde_json::from_value(value).unwrap()
}

fn record() -> Record {
    let mut record = Record::default();
    for (check, of, truths) in [READY, OPEN] {
        record.expect(check, of, truths);
    }
    record.see(&check(("True", "AsExpected"), ("Reachable", "Works")));
    record
}

#[test]
fn what_is_true_is_no_change() {
    let mut record = record();
    assert!(record.see(&check(("True", "AsExpected"), ("Reachable", "Works"))).is_empty());
    assert_eq!((record.counts.changes, record.counts.doubts, record.counts.wrong.len()), (0, 0, 0));
    assert!(record.differ(&[READY, OPEN]).is_empty());
}

#[test]
fn a_doubt_and_a_wrong_answer_are_told_apart() {
    let mut record = record();
    let lines = record.see(&check(("Unknown", "NotReporting"), ("Denied", "PolicyDenied")));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!((record.counts.changes, record.counts.doubts), (2, 1));
    assert_eq!(record.counts.wrong, ["good open: Denied PolicyDenied"]);
    assert_eq!(record.differ(&[READY, OPEN]).len(), 2, "neither is what is true");
}

#[test]
fn a_change_that_is_taken_back_stays_counted() {
    let mut record = record();
    record.see(&check(("False", "NoResponse"), ("Reachable", "Works")));
    record.see(&check(("True", "AsExpected"), ("Reachable", "Works")));
    assert_eq!((record.counts.changes, record.counts.wrong.len()), (2, 1));
    assert!(record.differ(&[READY, OPEN]).is_empty());
}

#[test]
fn what_becomes_true_is_judged_by_what_is_true_then() {
    let mut record = record();
    record.expect("good", "open", &[("Reachable", ""), ("Denied", "PolicyDenied")]);
    record.see(&check(("True", "AsExpected"), ("Denied", "PolicyDenied")));
    assert!(record.counts.wrong.is_empty(), "{:?}", record.counts.wrong);
    record.expect("good", "open", &[("Reachable", "")]);
    assert_eq!(record.differ(&[READY, OPEN]).len(), 1);
}

#[test]
fn a_check_that_goes_is_wrong_and_a_second_list_is_a_gap() {
    let mut record = record();
    record.lists();
    assert_eq!(record.counts.gaps, 0);
    record.lists();
    assert_eq!(record.only(|_| false), ["good is gone (WRONG)"]);
    assert_eq!((record.counts.gaps, record.counts.wrong.len()), (1, 1));
}

#[test]
fn an_outage_that_is_told_twice_is_one() {
    let mut record = record();
    record.see(&check(("True", "AsExpected"), ("Reachable", "Works")));
    assert_eq!(record.outages("good", "open"), 1);
    assert_eq!(record.outages("good", "other"), 0);
}
