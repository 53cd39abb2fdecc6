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
    metrics_after(|_| {})
}

/// The same after something has happened to its controller.
fn metrics_after(happens: impl FnOnce(&peerwalk_controller::metrics::Metrics)) -> String {
    let mut registry = Registry::with_prefix("peerwalk");
    let controller = peerwalk_controller::metrics::Metrics::default();
    controller.register(&mut registry);
    happens(&controller);
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
    // Other tables of the page are about values and conditions.
    rows.filter(|name| name.starts_with("peerwalk_")).map(str::to_owned).collect()
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

/// What a rule asks for: the metric, and the labels with the values that it may have, if any are named.
fn asked_for(rules: &str) -> BTreeSet<(&str, Vec<(&str, &str)>)> {
    let not_in_name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let mut found = BTreeSet::new();
    for (at, _) in rules.match_indices("peerwalk_") {
        let rest = &rules[at..];
        let (name, after) = rest.split_at(rest.find(not_in_name).unwrap_or(rest.len()));
        let selector =
            after.strip_prefix('{').and_then(|after| after.split_once('}')).map(|(inside, _)| inside);
        let matchers = selector.into_iter().flat_map(|inside| inside.split(',')).filter_map(|matcher| {
            let (label, values) = matcher.split_once('=')?;
            Some((label.trim(), values.trim_matches(['~', '"'])))
        });
        found.insert((name, matchers.collect()));
    }
    found
}

#[test]
fn alerts_ask_for_metrics_and_labels_that_there_are() {
    // A gauge of namespaces has none at the start.
    let metrics = metrics_after(|controller| controller.injection_paused("shop", "Image"));
    let asked = asked_for(RULES);
    assert!(asked.len() > 6, "expected to find the metrics of the alerts, found {asked:?}");
    let mut values = 0;
    for (name, matchers) in asked {
        let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let lines: Vec<&str> = metrics.lines().filter(of).collect();
        assert!(!lines.is_empty(), "{name} is in:\n{metrics}");
        for (label, value) in matchers.iter().flat_map(|(label, all)| all.split('|').map(move |v| (label, v)))
        {
            let wanted = format!("{label}=\"{value}\"");
            assert!(
                lines.iter().any(|line| line.contains(&wanted)),
                "{name} with {wanted} is in:\n{metrics}"
            );
            values += 1;
        }
    }
    assert!(values >= 3, "expected to find the values of labels, found {values}");
    let paused = metrics.lines().find(|line| line.starts_with("peerwalk_injection_paused{"));
    assert!(
        paused.is_some_and(|line| line.contains("{namespace=\"shop\"}")),
        "what a summary names: {paused:?}"
    );
    assert!(RULES.contains("$labels.namespace"), "and it does");
}
