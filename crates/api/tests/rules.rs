//! Each CEL rule of the CRD holds and fails where it should.
//!
//! The table is complete: a rule without an entry fails this test. `e2e/tests/api_crd.rs` asks a real API server for
//! the answers.
#![allow(clippy::expect_used, reason = "a test may end so")]

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Table {
    rules: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    message: String,
    accept: Vec<Value>,
    reject: Vec<Value>,
}

fn table() -> Table {
    serde_saphyr::from_str(include_str!("rules.yaml")).expect("a table of rules")
}

/// Every message of `x-kubernetes-validations` below a value.
fn messages(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for rule in map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                found.insert(rule["message"].as_str().expect("a rule has a message").to_owned());
            }
            map.values().for_each(|value| messages(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        _ => {}
    }
}

#[test]
fn the_table_has_every_rule_with_both_answers() {
    let mut in_crd = BTreeSet::new();
    messages(&serde_json::to_value(peerwalk_api::crd()).expect("JSON"), &mut in_crd);
    let cases = table().rules;
    let in_table: BTreeSet<_> = cases.iter().map(|case| case.message.clone()).collect();
    assert_eq!(in_table, in_crd, "the messages of the table are those of the CRD");
    for case in cases {
        assert!(
            !case.accept.is_empty() && !case.reject.is_empty(),
            "{}: both answers are tried",
            case.message
        );
    }
}
