//! The policies that `explain` says to add: what they are called, and when there are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

#[path = "support/given.rs"]
mod given;

use std::collections::BTreeMap;

use clap::Parser as _;
use peerwalk_cli::args::{Args, Command};
use peerwalk_cli::command::explain;
use peerwalk_manifests::Cluster;
use serde_json::Value;

const DENY: &str = "
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: ledger}, spec: {podSelector: {}}}
";

fn explained(cluster: &Cluster, (from, to): (&str, &str), output: &str) -> String {
    let arguments = ["peerwalk", "explain", "--from", from, "--to", to, "-o", output];
    match Args::try_parse_from(arguments).unwrap().command {
        Command::Explain(arguments) => explain::answer(&arguments, cluster).unwrap().0,
        other => panic!("{other:?} explains nothing"),
    }
}

fn pod(namespace: &str, name: &str, labels: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}, status: \
         {{podIP: 10.0.0.1}}}}\n"
    )
}

/// The names of the policies to add, with what they say.
fn fixes(cluster: &Cluster, ends: (&str, &str)) -> Vec<(String, Value)> {
    let report: Value = serde_json::from_str(&explained(cluster, ends, "json")).unwrap();
    let fix = &report["fix"];
    let items = fix["items"].as_array().cloned().unwrap_or_else(|| vec![fix.clone()]);
    let named =
        |item: &Value| (item["metadata"]["name"].as_str().unwrap_or("none").to_owned(), item["spec"].clone());
    items.iter().map(named).collect()
}

#[test]
fn names_say_whose_pods_whom_and_where() {
    let pods = [
        pod("ledger", "pg", "app: pg"),
        pod("ledger", "worker", "app: worker"),
        pod("ledger", "bare", ""),
        pod("ledger", "v1", "app: v1.pg"),
        pod("ledger", "tier", "app.kubernetes.io/name: pg, app.kubernetes.io/component: db"),
        pod("ledger", "named", "app.kubernetes.io/name: pg"),
        pod("ledger", "long", &format!("app: {}", "l".repeat(63))),
        pod("ledger", "longer", &format!("app: {}m", "l".repeat(62))),
        pod("shop", "web", "app: web"),
        pod("shop", "other", "app: web-from-a"),
        pod("shop", "bare", ""),
    ];
    let cluster = given::of(&format!("{DENY}{}", pods.concat()));
    let table = [
        ("shop/web", "ledger/pg:8080", "allow-pg-from-shop.web-8080"),
        ("shop/web", "ledger/worker:8080", "allow-worker-from-shop.web-8080"),
        ("shop/web", "ledger/pg:53/UDP", "allow-pg-from-shop.web-53-udp"),
        ("shop/bare", "ledger/pg:80", "allow-pg-from-shop-80"),
        ("203.0.113.7", "ledger/pg:80", "allow-pg-from-203.0.113.7-80"),
        // What a name does not tell, a digest does.
        ("shop/web", "ledger/bare:80", "allow-all-from-shop.web-80-*"),
        ("shop/web", "ledger/v1:80", "allow-v1.pg-from-shop.web-80-*"),
        ("shop/web", "ledger/named:80", "allow-pg-from-shop.web-80-*"),
        ("shop/web", "ledger/tier:80", "allow-pg-db-from-shop.web-80-*"),
        ("shop/other", "ledger/pg:80", "allow-pg-from-shop.web-from-a-80-*"),
        ("shop/web", "ledger/long:80", "allow-llllllllllllllllllllllllllllllllllllllllllllllll-*"),
        ("shop/web", "ledger/longer:80", "allow-llllllllllllllllllllllllllllllllllllllllllllllll-*"),
    ];
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for (from, to, expected) in table {
        let [(name, spec)] = fixes(&cluster, (from, to)).try_into().unwrap();
        let fits = match expected.strip_suffix('*') {
            Some(start) => name.strip_prefix(start).is_some_and(|digest| digest.len() == 8),
            None => name == expected,
        };
        assert!(fits && name.len() <= 63, "{from} → {to}: {name}");
        assert!(known.insert(name.clone(), spec).is_none(), "{name} is of two policies");
    }
}

#[test]
fn a_name_that_is_taken_is_not_used() {
    let taken = |name: &str| {
        format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: ledger}}, spec: \
             {{podSelector: {{}}}}}}\n"
        )
    };
    let pods = pod("ledger", "pg", "app: pg") + &pod("shop", "web", "app: web");
    let name = |cluster: &str| fixes(&given::of(cluster), ("shop/web", "ledger/pg:80")).remove(0).0;
    let one = format!("{DENY}{pods}{}", taken("allow-pg-from-shop.web-80"));
    assert_eq!(name(&one), "allow-pg-from-shop.web-80-2");
    assert_eq!(
        name(&format!("{one}{}", taken("allow-pg-from-shop.web-80-2"))),
        "allow-pg-from-shop.web-80-3"
    );
}

#[test]
fn no_rule_names_an_address_that_is_not_known() {
    let agent = "---\n{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent, namespace: kube-system}, spec: {template: \
                 {spec: {hostNetwork: true}}}}\n";
    let cluster = given::of(&format!("{DENY}{}{agent}", pod("ledger", "pg", "app: pg")));
    let ends = ("kube-system/agent", "ledger/pg:5432");
    assert_eq!(fixes(&cluster, ends), [("none".to_owned(), Value::Null)]);
    let text = explained(&cluster, ends, "text");
    assert!(!text.contains("0.0.0.0"), "{text}");
    assert!(text.contains("the address of kube-system/agent, which is not known"), "{text}");
}
