//! The alerts: in the chart when they are asked for, the same as the plain file, and by metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use peerwalk_e2e::page::{quoted, rows, section};
use serde_json::Value;

use super::{chart, one, render};

fn plain() -> Result<Value> {
    let path = chart().join("../../deploy/prometheus/peerwalk.rules.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    Ok(serde_saphyr::from_str(&text)?)
}

#[test]
fn the_alerts_are_there_when_they_are_asked_for() -> Result<()> {
    ensure!(one(&render(&[])?, "PrometheusRule", "peerwalk").is_err(), "its CRD may not be there");
    let objects = render(&[r#"prometheusRule={"enabled":true,"labels":{"release":"monitoring"}}"#])?;
    let rule = one(&objects, "PrometheusRule", "peerwalk")?;
    ensure!(rule["metadata"]["labels"]["release"] == "monitoring", "{}", rule["metadata"]);
    ensure!(rule["spec"] == plain()?, "the chart's rules are those of the file: {:#}", rule["spec"]);
    Ok(())
}

/// By Prometheus itself: each fires when it should, and stays silent else.
#[test]
fn the_alerts_fire_by_the_rules_of_the_file() -> Result<()> {
    let folder = chart().join("../../deploy/prometheus");
    let tests = "peerwalk.rules.test.yaml";
    let found = Command::new("promtool").args(["test", "rules", tests]).current_dir(&folder).output();
    let output = found.context("promtool is in Debian's package prometheus")?;
    let [said, failed] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    ensure!(output.status.success(), "{said}{failed}");
    let tested: Value = serde_saphyr::from_str(&fs::read_to_string(folder.join(tests))?)?;
    let tested = tested.to_string();
    for rule in plain()?["groups"][0]["rules"].as_array().context("rules")? {
        let name = rule["alert"].as_str().context("a name")?;
        ensure!(tested.matches(name).count() >= 2, "{name} is shown to fire, and not to");
    }
    Ok(())
}

#[test]
fn each_alert_tells_what_it_means_by_metrics_that_are_documented() -> Result<()> {
    let file = plain()?;
    let rules = file["groups"][0]["rules"].as_array().context("rules")?;
    let names: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["alert"].as_str()).collect();
    let alerts = section("operations.md", "Alerts")?;
    let rows = rows(&alerts);
    let told: BTreeSet<&str> = rows.iter().filter_map(|row| quoted(row[0]).first().copied()).collect();
    ensure!(told == names, "each alert has its row in docs/operations.md, and no other: {told:?}, {names:?}");
    for row in &rows {
        ensure!(
            row.len() == 3 && row.iter().all(|cell| !cell.is_empty()),
            "what it means, what to do: {row:?}"
        );
    }
    let documented = fs::read_to_string(chart().join("../../docs/operations.md"))?;
    for rule in rules {
        for words in ["summary", "description"] {
            ensure!(rule["annotations"][words].is_string(), "{words} of {rule:#}");
        }
        let expression = rule["expr"].as_str().context("an expression")?;
        let part = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let metrics = expression.split(part).filter(|word| word.starts_with("peerwalk_"));
        for metric in metrics {
            ensure!(documented.contains(metric), "{metric} is in docs/operations.md");
        }
    }
    Ok(())
}
