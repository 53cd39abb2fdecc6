//! Each CEL rule of the CRD holds and fails where it should.
//!
//! The table is complete: a rule without an entry fails the first test. With the feature `cel` the rules
//! are evaluated here, without an API server; `e2e/tests/api_crd.rs` asks a real one.
#![allow(clippy::expect_used, reason = "a test may end so")]

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Table {
    #[cfg_attr(not(feature = "cel"), allow(dead_code))]
    base: Value,
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

#[cfg(feature = "cel")]
mod cel {
    use kube::core::cel::Validator;
    use serde_json::json;

    use super::*;

    /// RFC 7386.
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(fields) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (key, value) in fields {
            merge(&mut target[key.as_str()], value);
        }
    }

    /// The spec as the API server would hand it to the rules: with the schema's defaults.
    fn defaulted(schema: &Value, value: &mut Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if value.get(name).is_none()
                && let Some(default) = property.get("default")
            {
                value[name.as_str()] = default.clone();
            }
            if let Some(inner) = value.get_mut(name) {
                defaulted(property, inner);
            }
        }
        for item in value.as_array_mut().into_iter().flatten() {
            defaulted(&schema["items"], item);
        }
    }

    fn violations(schema: &Value, base: &Value, patch: &Value) -> Vec<String> {
        let mut spec = base.clone();
        merge(&mut spec, patch);
        let mut object = json!({ "spec": spec });
        defaulted(schema, &mut object);
        match Validator::new().validate(schema, &object, None) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn each_rule_holds_and_fails_where_it_should() {
        let Table { base, rules } = table();
        let crd = serde_json::to_value(peerwalk_api::crd()).expect("JSON");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut wrong = Vec::new();
        for case in &rules {
            for patch in &case.accept {
                let found = violations(schema, &base, patch);
                if !found.is_empty() {
                    wrong.push(format!("{patch} is refused: {found:?}"));
                }
            }
            for patch in &case.reject {
                let found = violations(schema, &base, patch);
                if !found.iter().any(|text| text.contains(&case.message)) {
                    wrong.push(format!("{patch} is not refused with {:?}: {found:?}", case.message));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
