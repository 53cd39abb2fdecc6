//! `docs/explain-output.md` against what `explain --output json` prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::peerwalk;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain-output.md")).unwrap()
}

fn answer(arguments: &[&str]) -> Value {
    let output = peerwalk(arguments);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_example_is_real() {
    let page = page();
    let (_, after) = page.split_once("```json\n").expect("the page has an example");
    let (example, _) = after.split_once("\n```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let real = answer(&[&super::EXPLAIN[..], &["-o", "json"]].concat());
    assert_eq!(example, real, "the page shows\n{}", serde_json::to_string_pretty(&real).unwrap());
}

/// The paths of all fields; what is inside objects of Kubernetes is theirs.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if path != "fix" => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

#[test]
fn every_field_is_on_the_page_and_none_else() {
    let questions: [(&str, &str, &str); 5] = [
        ("shop", "shop/web", "ledger/postgres:5432"),
        ("shop", "shop/web", "https://api.example.com"),
        ("tiers", "shop/web", "ledger/postgres:5432"),
        ("tiers", "ledger/api", "ledger/postgres:5432"),
        ("tiers", "node/n1", "10.0.0.7:80"),
    ];
    let mut real = BTreeSet::new();
    for (folder, from, to) in questions {
        let value = answer(&["explain", "-f", folder, "--from", from, "--to", to, "-o", "json"]);
        paths(&value, "", &mut real);
    }
    // Both directions have the same fields.
    let real: BTreeSet<String> = real
        .into_iter()
        .map(|path| path.replace("flows[].egress", "flows[].…").replace("flows[].ingress", "flows[].…"))
        .map(|path| path.replace("flows[].….", "…."))
        .filter(|path| path != "flows[].…")
        .collect();
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let cell = line.split('|').nth(1).unwrap_or_default();
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(|path| path.trim_end_matches("[]").to_owned())
            .collect::<Vec<_>>()
    });
    let written: BTreeSet<String> = rows.collect();
    let both = ["flows[].egress", "flows[].ingress"].map(str::to_owned);
    let expected: BTreeSet<String> = real.into_iter().chain(both).collect();
    let missing: Vec<_> = expected.difference(&written).collect();
    let surplus: Vec<_> = written.difference(&expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "not on the page: {missing:?}; not in any answer: {surplus:?}"
    );
}

#[test]
fn fields_that_nobody_knows_are_named() {
    let value = answer(&[
        "explain",
        "-f",
        "unknown",
        "--from",
        "shop/web",
        "--to",
        "ledger/postgres:5432",
        "-o",
        "json",
    ]);
    let rule = &value["flows"][0]["ingress"]["chain"][0]["rules"][0];
    assert_eq!(rule["unknown"], serde_json::json!(["serviceAccounts"]), "{value}");
    assert_eq!(value["caveats"][0]["code"], "unknownField", "{value}");
}

#[test]
fn what_is_not_known_of_templates_and_namespaces_is_undecided() {
    // By the port, which of them each rule is about.
    let table = [
        ("shop/web", 1, "Undecided", Some("unknownAddress")),
        ("shop/web", 2, "Allowed", Some("ipBlockOnPodAddress")),
        ("shop/web", 3, "Undecided", Some("unknownNamespace")),
        ("shop/web", 4, "Allowed", None),
        ("shop/web", 5, "Denied", None),
        ("shop/agent", 1, "Undecided", Some("unknownAddress")),
        ("shop/agent", 5, "Denied", None),
    ];
    for (from, port, verdict, caveat) in table {
        let to = format!("ledger/postgres:{port}");
        let value = answer(&["explain", "-f", "template", "--from", from, "--to", &to, "-o", "json"]);
        let caveats = value["caveats"].as_array().unwrap();
        let codes: Vec<&str> = caveats.iter().filter_map(|caveat| caveat["code"].as_str()).collect();
        assert_eq!(value["verdict"], verdict, "{from} to {to}: {value}");
        assert_eq!(codes, Vec::from_iter(caveat), "{from} to {to}");
        // A node is admitted by its address, which is not known.
        let is_written = verdict != "Allowed" && from == "shop/web";
        assert_eq!(value["fix"].is_object(), is_written, "{from} to {to}: {value}");
    }
}

#[test]
fn exit_codes_are_those_of_the_page() {
    let table: [(&[&str], i32); 6] = [
        (&[], 0),
        (&["--expect", "denied"], 0),
        (&["--expect", "allowed"], 1),
        (&["--to", "https://api.example.com"], 3),
        (&["--to", "https://api.example.com", "--expect", "denied"], 3),
        (&["--to", "nowhere/nobody:1"], 2),
    ];
    for (more, code) in table {
        let mut arguments = super::EXPLAIN.to_vec();
        if more.first() == Some(&"--to") {
            arguments.truncate(5);
        }
        arguments.extend(more);
        assert_eq!(peerwalk(&arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_service_of_which_some_endpoints_are_open_is_partial() {
    let value =
        answer(&["explain", "-f", "tiers", "--from", "ledger/api", "--to", "ledger/db", "-o", "json"]);
    assert_eq!(value["verdict"], "Partial", "{value:#}");
    let verdicts: BTreeSet<&str> = value["flows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|flow| flow["ingress"]["verdict"].as_str())
        .collect();
    assert_eq!(verdicts, BTreeSet::from(["Allowed", "Denied"]));
}

#[test]
fn what_a_node_does_to_a_connection_is_left_open_where_policies_decide() {
    let codes = |from: &str, to: &str| -> Vec<String> {
        let value = answer(&["explain", "-f", "tiers", "--from", from, "--to", to, "-o", "json"]);
        let caveats = value["caveats"].as_array().unwrap().iter();
        caveats.filter_map(|caveat| Some(caveat["code"].as_str()?.to_owned())).collect()
    };
    let led = |to: &str| codes("203.0.113.7", to).contains(&"throughNode".to_owned());
    assert!(led("node/n1:30432"), "the port of a node");
    assert!(led("198.51.100.4:5432"), "an address beside the Service's own");
    assert!(!led("ledger/db:5432"), "the Service itself");
    assert!(!led("node/n1:22"), "the node itself");
}
