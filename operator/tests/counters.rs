//! What is lost is counted: docs/operations.md lists the counters that the operator has, and all of them.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;

use prometheus_client::registry::Registry;

const DOCUMENT: &str = include_str!("../../docs/operations.md");
const RULES: &str = include_str!("../../deploy/prometheus/peerwalk.rules.yaml");
/// Counters of what is done, not of what is lost.
const WORK: [&str; 1] = ["peerwalk_pairs_judged_total"];

/// What `/metrics` shows of an operator that has just started.
fn metrics() -> String {
    let mut registry = Registry::with_prefix("peerwalk");
    peerwalk_controller::metrics::Metrics::default().register(&mut registry);
    peerwalk_hub::Metrics::default().register(&mut registry);
    peerwalk_webhook::WebhookMetrics::default().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics are encoded");
    text
}

/// The counters among them, as queries name them.
fn counters(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    types.map(|name| format!("{name}_total")).collect()
}

/// The counters of the table, by its first column.
fn documented() -> BTreeSet<String> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split(['{', '`']).next());
    rows.map(str::to_owned).collect()
}

#[test]
fn every_counter_of_something_lost_is_documented_and_there() {
    let (documented, counters) = (documented(), counters(&metrics()));
    let lost: BTreeSet<String> = counters.into_iter().filter(|name| !WORK.contains(&name.as_str())).collect();
    assert!(lost.len() > 15, "expected to find the counters, found {lost:?}");
    assert_eq!(documented, lost, "the table of docs/operations.md against what the operator registers");
}

#[test]
fn a_counter_is_shown_before_it_counts() {
    let metrics = metrics();
    for name in documented() {
        let shown = metrics.lines().any(|line| line.starts_with(&name) && line.ends_with(" 0"));
        assert!(shown, "{name} is 0 in:\n{metrics}");
    }
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let part = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let asked = RULES.split(part).filter(|word| word.starts_with("peerwalk_"));
    let metrics = metrics();
    let mut found = 0;
    for name in asked {
        // A gauge of namespaces has none at the start.
        let shown = metrics.lines().any(|line| line.starts_with(name)) || name == "peerwalk_injection_paused";
        assert!(shown, "{name} is in:\n{metrics}");
        found += 1;
    }
    assert!(found > 5, "expected to find the metrics of the alerts, found {found}");
}
