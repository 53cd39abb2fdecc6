//! One accepted and one refused change for each bound of the schema of `spec`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// A bound, and changes to the base that just keep and just break it.
pub struct Bound {
    /// Path of property names, with `[]` for items and `{}` for values.
    pub path: &'static str,
    /// The keyword of the schema.
    pub keyword: &'static str,
    pub accept: Value,
    pub reject: Value,
}

fn bound(path: &'static str, keyword: &'static str, [accept, reject]: [Value; 2]) -> Bound {
    Bound { path, keyword, accept, reject }
}

fn target(fields: &Value) -> Value {
    let mut target = json!({ "name": "t" });
    super::merge(&mut target, fields);
    json!({ "targets": [target] })
}

fn named(name: &str) -> Value {
    target(&json!({ "name": name, "dns": { "name": "a" } }))
}

fn service(fields: &Value) -> Value {
    let mut service = json!({ "name": "a", "port": 80 });
    super::merge(&mut service, fields);
    target(&json!({ "service": service }))
}

fn on_service(fields: &Value) -> Value {
    let mut all = json!({ "service": { "name": "a", "port": 80 } });
    super::merge(&mut all, fields);
    target(&all)
}

fn config_map(fields: &Value) -> Value {
    let mut map = json!({ "name": "roots" });
    super::merge(&mut map, fields);
    target(&json!({ "url": "https://a", "tls": { "caBundle": { "configMap": map } } }))
}

fn expression(fields: &Value) -> Value {
    let mut expression = json!({ "key": "app", "operator": "In", "values": ["a"] });
    super::merge(&mut expression, fields);
    json!({ "source": { "podSelector": { "matchExpressions": [expression] } } })
}

fn label(value: &str) -> Value {
    json!({ "source": { "podSelector": { "matchLabels": { "app": value } } } })
}

fn many(n: usize, one: impl Fn(usize) -> Value) -> Value {
    (0..n).map(one).collect()
}

fn labels(n: usize) -> Value {
    // The base has one label already.
    let all: serde_json::Map<_, _> = (1..n).map(|i| (format!("l{i}"), json!("v"))).collect();
    json!({ "source": { "podSelector": { "matchLabels": all } } })
}

/// A name of `n` characters in labels of at most 63, ending in a dot.
fn dns_name(n: usize) -> String {
    let full = format!("{}.", "a".repeat(63)).repeat(n / 64);
    let rest = n % 64;
    if rest == 0 { full } else { format!("{full}{}.", "a".repeat(rest - 1)) }
}

/// Every bound of the schema but those of durations.
pub fn table() -> Vec<Bound> {
    let mut all = of_numbers();
    all.extend(of_targets());
    all.extend(of_services());
    all.extend(of_requests());
    all.extend(of_selectors());
    all
}

fn of_numbers() -> Vec<Bound> {
    let pods = |min: i64, max: i64| json!({ "source": { "minPods": min, "maxPods": max } });
    let failures = |n: i64| json!({ "failureThreshold": n });
    let successes = |n: i64| json!({ "successThreshold": n });
    let attempts = |n: i64| json!({ "retries": { "attempts": n } });
    let profile = |word: &str| json!({ "profile": word });
    vec![
        bound(".source.minPods", "minimum", [pods(0, 1), pods(-1, 1)]),
        bound(".source.minPods", "maximum", [pods(100, 100), pods(101, 101)]),
        bound(".source.maxPods", "minimum", [pods(0, 1), pods(0, 0)]),
        bound(".source.maxPods", "maximum", [pods(0, 100), pods(0, 101)]),
        bound(".failureThreshold", "minimum", [failures(1), failures(0)]),
        bound(".failureThreshold", "maximum", [failures(100), failures(101)]),
        bound(".successThreshold", "minimum", [successes(1), successes(0)]),
        bound(".successThreshold", "maximum", [successes(100), successes(101)]),
        bound(".profile", "enum", [profile("CrossRegion"), profile("Wan")]),
        bound(".retries.attempts", "minimum", [attempts(1), attempts(0)]),
        bound(".retries.attempts", "maximum", [attempts(5), attempts(6)]),
    ]
}

fn of_targets() -> Vec<Bound> {
    let list =
        |n| json!({ "targets": many(n, |i| json!({ "name": format!("t{i}"), "dns": { "name": "a" } })) });
    let same = json!({ "targets": many(2, |_| json!({ "name": "t", "dns": { "name": "a" } })) });
    let expect = |word: &str| on_service(&json!({ "expect": word }));
    vec![
        bound(".targets", "minItems", [list(1), list(0)]),
        bound(".targets", "maxItems", [list(64), list(65)]),
        bound(".targets", "x-kubernetes-list-type", [list(2), same]),
        bound(".targets", "required", [json!({}), json!({ "targets": null })]),
        bound(".source", "required", [json!({}), json!({ "source": null })]),
        bound(".targets[].name", "minLength", [named("a"), named("")]),
        bound(".targets[].name", "maxLength", [named(&"a".repeat(63)), named(&"a".repeat(64))]),
        bound(".targets[].name", "pattern", [named("a-1"), named("A_1")]),
        bound(
            ".targets[].name",
            "required",
            [named("a"), target(&json!({ "name": null, "url": "http://a" }))],
        ),
        bound(".targets[].expect", "enum", [expect("Denied"), expect("denied")]),
    ]
}

fn of_services() -> Vec<Bound> {
    let name = |name: &str| service(&json!({ "name": name }));
    let namespace = |name: &str| service(&json!({ "namespace": name }));
    let port = |port: Value| service(&json!({ "port": port }));
    let hostname = |name: &str| on_service(&json!({ "hostname": name }));
    let (fits, long) = ("a".repeat(63), "a".repeat(64));
    vec![
        bound(".targets[].service.name", "minLength", [name("a"), name("")]),
        bound(".targets[].service.name", "maxLength", [name(&fits), name(&long)]),
        bound(".targets[].service.name", "pattern", [name("a-1"), name("a.b")]),
        bound(".targets[].service.name", "required", [name("a"), service(&json!({ "name": null }))]),
        bound(".targets[].service.namespace", "minLength", [namespace("a"), namespace("")]),
        bound(".targets[].service.namespace", "maxLength", [namespace(&fits), namespace(&long)]),
        bound(".targets[].service.namespace", "pattern", [namespace("a-1"), namespace("*")]),
        bound(".targets[].service.port", "minimum", [port(json!(1)), port(json!(0))]),
        bound(".targets[].service.port", "maximum", [port(json!(65535)), port(json!(65536))]),
        bound(".targets[].service.port", "maxLength", [port(json!(fits)), port(json!(long))]),
        bound(".targets[].service.port", "pattern", [port(json!("http-1")), port(json!("http/1"))]),
        bound(".targets[].service.port", "pattern", [port(json!("8080-tcp")), port(json!("8080"))]),
        bound(".targets[].service.port", "pattern", [port(json!("1-a-1")), port(json!("1-1"))]),
        bound(".targets[].service.port", "required", [port(json!(1)), service(&json!({ "port": null }))]),
        bound(".targets[].hostname", "minLength", [hostname("a"), hostname("")]),
        bound(".targets[].hostname", "maxLength", [hostname(&dns_name(254)), hostname(&dns_name(255))]),
    ]
}

fn of_requests() -> Vec<Bound> {
    let url = |n: usize| target(&json!({ "url": format!("{:a<n$}", "http://", n = n) }));
    let dns = |name: &str, record: &str| target(&json!({ "dns": { "name": name, "type": record } }));
    let http = |fields: &Value| on_service(&json!({ "http": fields }));
    let path = |n: usize| http(&json!({ "path": format!("{:a<n$}", "/", n = n) }));
    let below = |code: u16| http(&json!({ "statusBelow": code }));
    let map = |name: &str| config_map(&json!({ "name": name }));
    let key = |key: &str| config_map(&json!({ "key": key }));
    vec![
        bound(".targets[].url", "minLength", [url(8), target(&json!({ "url": "" }))]),
        bound(".targets[].url", "maxLength", [url(2048), url(2049)]),
        bound(".targets[].dns.name", "minLength", [dns("a", "A"), dns("", "A")]),
        bound(".targets[].dns.name", "maxLength", [dns(&dns_name(254), "A"), dns(&dns_name(255), "A")]),
        bound(".targets[].dns.name", "required", [dns("a", "A"), target(&json!({ "dns": {} }))]),
        bound(".targets[].dns.type", "enum", [dns("a", "AAAA"), dns("a", "MX")]),
        bound(".targets[].http.path", "minLength", [path(1), http(&json!({ "path": "" }))]),
        bound(".targets[].http.path", "maxLength", [path(1024), path(1025)]),
        bound(
            ".targets[].http.method",
            "enum",
            [http(&json!({ "method": "GET" })), http(&json!({ "method": "POST" }))],
        ),
        bound(".targets[].http.statusBelow", "minimum", [below(200), below(199)]),
        bound(".targets[].http.statusBelow", "maximum", [below(600), below(601)]),
        bound(
            ".targets[].tls.caBundle",
            "required",
            [map("a"), target(&json!({ "url": "https://a", "tls": {} }))],
        ),
        bound(
            ".targets[].tls.caBundle.configMap",
            "required",
            [map("a"), target(&json!({ "url": "https://a", "tls": { "caBundle": {} } }))],
        ),
        bound(".targets[].tls.caBundle.configMap.name", "minLength", [map("a"), map("")]),
        bound(
            ".targets[].tls.caBundle.configMap.name",
            "maxLength",
            [map(&"a".repeat(253)), map(&"a".repeat(254))],
        ),
        bound(".targets[].tls.caBundle.configMap.name", "pattern", [map("a.b-1"), map("a..b")]),
        bound(
            ".targets[].tls.caBundle.configMap.name",
            "required",
            [map("a"), config_map(&json!({ "name": null }))],
        ),
        bound(".targets[].tls.caBundle.configMap.key", "minLength", [key("a"), key("")]),
        bound(
            ".targets[].tls.caBundle.configMap.key",
            "maxLength",
            [key(&"a".repeat(253)), key(&"a".repeat(254))],
        ),
        bound(".targets[].tls.caBundle.configMap.key", "pattern", [key("A_b-1.c"), key("a/b")]),
    ]
}

fn of_selectors() -> Vec<Bound> {
    let expressions = |n| {
        let all = many(n, |i| json!({ "key": format!("k{i}"), "operator": "Exists" }));
        json!({ "source": { "podSelector": { "matchExpressions": all } } })
    };
    let key = |n: usize| expression(&json!({ "key": "a".repeat(n) }));
    let values = |n| expression(&json!({ "values": many(n, |i| json!(format!("v{i}"))) }));
    let value = |value: &str| expression(&json!({ "values": [value] }));
    let operator = |word: &str| expression(&json!({ "operator": word }));
    let (fits, long) = ("a".repeat(63), "a".repeat(64));
    let no_selector = json!({ "source": { "podSelector": null } });
    vec![
        bound(".source.podSelector", "required", [label("a"), no_selector]),
        bound(".source.podSelector.matchLabels", "maxProperties", [labels(16), labels(17)]),
        bound(".source.podSelector.matchLabels{}", "maxLength", [label(&fits), label(&long)]),
        bound(".source.podSelector.matchLabels{}", "pattern", [label("a_B.1"), label("a b")]),
        bound(".source.podSelector.matchExpressions", "maxItems", [expressions(16), expressions(17)]),
        bound(".source.podSelector.matchExpressions[].key", "minLength", [key(1), key(0)]),
        bound(".source.podSelector.matchExpressions[].key", "maxLength", [key(317), key(318)]),
        bound(
            ".source.podSelector.matchExpressions[].key",
            "required",
            [key(1), expression(&json!({ "key": null }))],
        ),
        bound(".source.podSelector.matchExpressions[].operator", "enum", [operator("NotIn"), operator("Gt")]),
        bound(
            ".source.podSelector.matchExpressions[].operator",
            "required",
            [operator("In"), expression(&json!({ "operator": null }))],
        ),
        bound(".source.podSelector.matchExpressions[].values", "maxItems", [values(32), values(33)]),
        bound(".source.podSelector.matchExpressions[].values[]", "maxLength", [value(&fits), value(&long)]),
        bound(".source.podSelector.matchExpressions[].values[]", "pattern", [value(""), value("-a")]),
    ]
}

/// Every bound below a schema, as path and keyword.
fn of_schema(path: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
    const KEYWORDS: &[&str] = &[
        "enum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
    ];
    for keyword in KEYWORDS.iter().filter(|keyword| schema.get(**keyword).is_some()) {
        found.insert((path.to_owned(), (*keyword).to_owned()));
    }
    if schema["x-kubernetes-list-type"] == "map" {
        found.insert((path.to_owned(), "x-kubernetes-list-type".to_owned()));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        found.insert((format!("{path}.{name}"), "required".to_owned()));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        of_schema(&format!("{path}.{name}"), property, found);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            of_schema(&format!("{path}{mark}"), &schema[key], found);
        }
    }
}

#[test]
fn the_table_has_every_bound() {
    const DURATIONS: &[&str] = &[
        ".interval",
        ".progressDeadline",
        ".retries.backoff",
        ".retries.maxBackoff",
        ".staleAfter",
        ".timeouts.connect",
        ".timeouts.total",
    ];
    let crd = serde_json::to_value(peerwalk_api::crd()).expect("JSON");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut in_schema = BTreeSet::new();
    of_schema("", spec, &mut in_schema);
    // Their bounds are rules, with messages of their own, and in the table of rules.
    in_schema.retain(|(path, _)| !DURATIONS.contains(&path.as_str()));
    let in_table: BTreeSet<_> = table().iter().map(|b| (b.path.to_owned(), b.keyword.to_owned())).collect();
    assert_eq!(in_table, in_schema, "bounds of the table and of the schema");
}
