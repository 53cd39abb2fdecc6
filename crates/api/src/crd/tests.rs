//! The generated definition: fresh, complete and plain.

use std::path::Path;

use super::*;
use crate::ConnectivityCheckStatus;
use crate::condition::{ConditionStatus, READY};
use crate::status::CheckResult;

/// Where the file is kept, from the root of the project: for itself, and in the chart, as Helm reads no file
/// outside of it.
const GENERATED: &[&str] = &[
    "crds/peerwalk.dev_connectivitychecks.yaml",
    "charts/peerwalk/files/crds/peerwalk.dev_connectivitychecks.yaml",
];

/// Every schema of the definition, with the path of property names that leads to it.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&format!("{path}{mark}"), &schema[key], visit);
        }
    }
}

fn schema() -> Value {
    let crd = serde_json::to_value(crd()).expect("JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_generated_files_are_fresh() {
    let fresh = crd_yaml().expect("the definition as YAML");
    for file in GENERATED {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == fresh, "{file} is not what crates/api says: run cargo xtask generate");
    }
}

#[test]
fn the_file_is_the_definition() {
    let yaml = crd_yaml().expect("the definition as YAML");
    let read: CustomResourceDefinition = serde_saphyr::from_str(&yaml).expect("a definition");
    assert_eq!(read, crd());
    assert!(!yaml.contains(".0\n"), "whole numbers are written as integers");
}

#[test]
fn nothing_is_nullable_and_every_field_is_described() {
    walk("", &schema(), &mut |path, schema| {
        assert!(schema.get("nullable").is_none(), "{path} is not nullable");
        let format = schema["format"].as_str().unwrap_or("int32");
        assert!(
            ["int32", "int64", "date-time"].contains(&format),
            "{path} has a format of Kubernetes: {format}"
        );
        let by_name =
            path.rsplit('.').next().is_some_and(|n| !n.is_empty() && !n.ends_with(['[', ']', '{', '}']));
        let described = schema["description"].as_str().is_some_and(|d| d.ends_with('.') && !d.contains('\n'));
        assert!(!by_name || described || ["apiVersion", "kind", "metadata"].contains(&&path[1..]), "{path}");
    });
}

#[test]
fn every_list_says_how_it_merges_and_every_user_list_is_bounded() {
    walk("", &schema(), &mut |path, schema| {
        if schema["type"] == "array" {
            assert!(schema["x-kubernetes-list-type"].is_string(), "{path} has a list type");
            assert!(path.starts_with(".status") || schema["maxItems"].is_u64(), "{path} has maxItems");
        }
        let is_free_text = schema["type"] == "string" && schema.get("enum").is_none();
        if path.starts_with(".spec") && is_free_text {
            assert!(schema["maxLength"].is_u64(), "{path} has maxLength");
        }
    });
}

#[test]
fn the_status_default_reads_as_a_check_nobody_has_seen() {
    let status: ConnectivityCheckStatus =
        serde_json::from_value(schema()["properties"]["status"]["default"].clone()).expect("a status");
    let ready = status.condition(READY).expect("a Ready condition");
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::Unknown, "Pending"));
    assert_eq!(ready.last_transition_time.0, k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    assert_eq!((status.observed_generation, status.result), (Some(-1), CheckResult::Unknown));
    assert_eq!(status.since, None, "a date column over 1970 would read as an age of decades");
}

#[test]
fn nothing_is_accepted_that_is_not_implemented() {
    let schema = schema();
    let names = |path: &Value| -> Vec<String> {
        path["properties"].as_object().expect("properties").keys().cloned().collect()
    };
    let spec = &schema["properties"]["spec"];
    let expected = [
        "failureThreshold",
        "interval",
        "profile",
        "progressDeadline",
        "retries",
        "source",
        "staleAfter",
        "successThreshold",
        "suspend",
        "targets",
        "timeouts",
    ];
    assert_eq!(names(spec), expected);
    let target = &spec["properties"]["targets"]["items"];
    assert_eq!(names(target), ["dns", "expect", "hostname", "http", "name", "service", "tls", "url"]);
}
