//! Tests of what is read from the application's containers, and of what must never be.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(containers: &Value) -> Value {
    let read = ProxyEnvironment::read(containers.as_array().expect("a list"));
    serde_json::from_str(&read.to_json()).expect("JSON")
}

#[test]
fn the_json_is_the_contract_with_the_sidecar() {
    let containers = json!([
        {"name": "web", "env": [
            {"name": "HTTP_PROXY", "value": "http://user:secret@proxy:3128"},
            {"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "no"}}},
            {"name": "https_proxy", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
            {"name": "PATH", "value": "/bin"},
        ], "envFrom": [{"configMapRef": {"name": "settings"}}]},
        {"name": "quiet", "env": [{"name": "LOG", "value": "1"}]},
        {"name": "log", "env": [{"name": "no_proxy", "value": ".svc,10.0.0.0/8"}]},
    ]);
    let read = ProxyEnvironment::read(containers.as_array().expect("a list"));
    assert_eq!(
        read.to_json(),
        concat!(
            r#"[{"container":"web","notVisible":["https_proxy","envFrom"],"variables":["#,
            r#"{"name":"HTTP_PROXY","value":"http://***@proxy:3128"},"#,
            r#"{"env":"PEERWALK_PROXY_ENV_0","name":"NO_PROXY"}]},"#,
            r#"{"container":"log","notVisible":[],"variables":[{"name":"no_proxy","value":".svc,10.0.0.0/8"}]}]"#,
        )
    );
    assert_eq!(
        read.reference_variables().collect::<Vec<_>>(),
        [json!({"name": "PEERWALK_PROXY_ENV_0", "valueFrom":
            {"configMapKeyRef": {"name": "proxy", "key": "no", "optional": true}}})],
        "the reference is repeated so that our container starts without it"
    );
}

#[test]
fn what_cannot_be_seen_is_named() {
    let table = [
        (json!({"name": "HTTP_PROXY", "value": "http://$(HOST):3128"}), "another variable's value"),
        (json!({"name": "HTTP_PROXY", "value": "http://$$(HOST):3128"}), "too close to a reference to tell"),
        (json!({"name": "HTTP_PROXY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}), "a Secret"),
        (
            json!({"name": "HTTP_PROXY", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}),
            "a field of its own container",
        ),
        (json!({"name": "HTTP_PROXY", "valueFrom": {"fileKeyRef": {"path": "p"}}}), "a kind yet to come"),
        (
            json!({"name": "HTTP_PROXY", "valueFrom": {"fieldRef": {}, "configMapKeyRef": {}}}),
            "two sources, which no API server accepts today",
        ),
    ];
    for (variable, why) in table {
        let read = read(&json!([{"name": "web", "env": [variable]}]));
        let expected = json!([{"container": "web", "variables": [], "notVisible": ["HTTP_PROXY"]}]);
        assert_eq!(read, expected, "{why}");
    }
}

#[test]
fn the_last_of_several_takes_effect() {
    let env = json!([
        {"name": "HTTP_PROXY", "value": "http://old:1"},
        {"name": "http_proxy", "value": "http://lower:1"},
        {"name": "HTTP_PROXY", "value": "http://new:1"},
    ]);
    let expected = json!([{"container": "web", "notVisible": [], "variables": [
        {"name": "http_proxy", "value": "http://lower:1"},
        {"name": "HTTP_PROXY", "value": "http://new:1"},
    ]}]);
    assert_eq!(read(&json!([{"name": "web", "env": env}])), expected);
}

#[test]
fn one_reference_of_several_containers_is_repeated_once() {
    let env = json!([{"name": "NO_PROXY", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]);
    let containers = json!([{"name": "a", "env": env}, {"name": "b", "env": env}]);
    let read = ProxyEnvironment::read(containers.as_array().expect("a list"));
    assert_eq!(read.references.len(), 1, "both containers refer to the same value");
    assert_eq!(read.containers.len(), 2, "both containers are told apart");
}

#[test]
fn an_empty_literal_is_a_value() {
    for variable in [json!({"name": "NO_PROXY"}), json!({"name": "NO_PROXY", "value": ""})] {
        let expected =
            json!([{"container": "w", "notVisible": [], "variables": [{"name": "NO_PROXY", "value": ""}]}]);
        assert_eq!(read(&json!([{"name": "w", "env": [variable]}])), expected);
    }
}

#[test]
fn values_too_long_to_start_a_program_with_are_left_out() {
    let long = "host.example,".repeat(3000);
    let env = json!([
        {"name": "HTTP_PROXY", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "NO_PROXY", "value": long},
    ]);
    let containers: Vec<Value> = (0..3).map(|n| json!({"name": format!("c{n}"), "env": env})).collect();
    let read = ProxyEnvironment::read(&containers);
    assert!(read.to_json().len() < MAX_BYTES, "the whole fits");
    for container in &read.containers {
        assert_eq!(container.not_visible, ["NO_PROXY"], "what was left out is named");
        assert_eq!(container.variables.len(), 1, "references are short and stay");
    }
    let one = ProxyEnvironment::read(&containers[..1]);
    assert_eq!(one.containers[0].variables.len(), 2, "a long value that fits stays");
}

#[test]
fn users_and_passwords_are_replaced() {
    let table = [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://user:pass@proxy:3128", "http://***@proxy:3128"),
        ("http://user@proxy:3128/", "http://***@proxy:3128/"),
        ("user:pass@proxy:3128", "***@proxy:3128"),
        ("http://user:p@ss@proxy:3128", "http://***@proxy:3128"),
        ("http://user:pa/ss@proxy:3128", "http://***@proxy:3128"),
        ("http://user:pa?s#s@proxy:3128", "http://***@proxy:3128"),
        ("user:a://b@proxy", "***@proxy"),
        ("socks5h://user:pass@[fd00::1]:1080", "socks5h://***@[fd00::1]:1080"),
        ("http://@proxy", "http://proxy"),
        ("http://***@proxy", "http://***@proxy"),
        ("", ""),
        ("proxy", "proxy"),
    ];
    for (url, expected) in table {
        assert_eq!(without_user(url), expected, "{url:?}");
    }
}

proptest! {
    #[test]
    fn no_part_of_a_password_stays(
        user in "[a-z]{0,8}",
        password in "[^@]{0,4}SECRET[ -~]{0,8}",
        scheme in "(http://|https://|socks5://|)",
    ) {
        let url = format!("{scheme}{user}:{password}@proxy:3128");
        prop_assert!(!without_user(&url).contains("SECRET"), "{url} → {}", without_user(&url));
    }

    #[test]
    fn the_text_never_makes_the_kubelet_expand_anything(value in "[$()a-z\"\\\\@]{0,12}") {
        let containers = [json!({"name": "web", "env": [{"name": "HTTP_PROXY", "value": value}]})];
        prop_assert!(!ProxyEnvironment::read(&containers).to_json().contains("$("));
    }
}
