//! Which values the chart takes, and which it refuses before the operator has to.

use std::fs;

use anyhow::{Context, Result, ensure};
use peerwalk_e2e::page::{blocks, quoted, rows, section};
use serde_json::{Value, json};

use super::{chart, one, render};

#[test]
fn wrong_values_are_refused_by_name() -> Result<()> {
    for (value, words) in [
        (r#"operator={"imag":{}}"#, "imag"),
        (r#"operator={"replicas":0}"#, "/operator/replicas"),
        (r#"operator={"replicas":"two"}"#, "/operator/replicas"),
        (r#"webhook={"port":443}"#, "/webhook/port"),
        (r#"webhook={"port":8081}"#, "/webhook/port"),
        (r#"webhook={"hostNetwork":"yes"}"#, "/webhook/hostNetwork"),
        // The kubelet listens there.
        (r#"webhook={"hostNetwork":true}"#, "webhook.port: 10250"),
        (r#"sidecar={"imagePullSecrets":["Not_A_Name"]}"#, "/sidecar/imagePullSecrets/0"),
        (r#"sidecar={"imagePullSecrets":[{"name":"pull"}]}"#, "/sidecar/imagePullSecrets/0"),
        (r#"sidecar={"image":{"pullPolicy":"Sometimes"}}"#, "/sidecar/image/pullPolicy"),
        (r#"sidecar={"resources":{"requests":{"cpu":"ten"}}}"#, "/sidecar/resources/requests/cpu"),
        (r#"sidecar={"resources":{"requests":{"cpu":"0.5m"}}}"#, "/sidecar/resources/requests/cpu"),
        (r#"sidecar={"resources":{"limits":{"memory":"0Mi"}}}"#, "/sidecar/resources/limits/memory"),
        (r#"sidecar={"resources":{"limits":{"memory":"32MB"}}}"#, "/sidecar/resources/limits/memory"),
        (r#"sidecar={"resources":{"limits":{"memory":null}}}"#, "memory"),
        (r#"sidecar={"resources":{"limits":{"storage":"1Gi"}}}"#, "storage"),
        (r#"operator={"log":{"format":"xml"}}"#, "/operator/log/format"),
        (r#"certManager={"enabled":"yes"}"#, "/certManager/enabled"),
        (r#"certManager={"issuerRef":{"kind":"ClusterIssuer"}}"#, "name"),
        (r#"crds={"keep":"yes"}"#, "/crds/keep"),
        (r#"prometheusRule={"enabled":"yes"}"#, "/prometheusRule/enabled"),
        (r#"nameOverride="Peerwalk""#, "/nameOverride"),
        (r#"nameOverride="walk-""#, "/nameOverride"),
        (r#"nameOverride="walk.er""#, "/nameOverride"),
        (r#"fullnameOverride="my_walk""#, "/fullnameOverride"),
        // Services are named by it.
        (r#"fullnameOverride="9walk""#, "/fullnameOverride"),
    ] {
        let refused = render(&[value]).err().with_context(|| format!("{value} is refused"))?;
        ensure!(refused.to_string().contains(words), "{words} is in {refused}");
    }
    Ok(())
}

#[test]
fn names_that_are_labels_are_taken() -> Result<()> {
    for value in [r#"nameOverride="9-walk""#, r#"fullnameOverride="w9""#, r#"fullnameOverride="""#] {
        render(&[value])?;
    }
    Ok(())
}

/// The operator takes all of these, and none of `NO_TARGETS`: it would not start.
const TARGETS: &[&str] = &[
    "192.0.2.7",
    "192.0.2.0/24",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "10.9.0.0/9",
    "::",
    "::1",
    "::/0",
    "2001:db8::/32",
    "2001:DB8::1/128",
    "fd00::/8",
    "1::8",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1:2:3::5:6:7:8/109",
    "localhost",
    "api.example.com",
    "API.Example.com",
    "*.example.com",
    "_ldap._tcp.example.com",
    "10.0.0.example",
    "a-b.c1",
];

const NO_TARGETS: &[&str] = &[
    "",
    " ",
    "https://example.com",
    "example.com:443",
    "example.com/",
    "a/b",
    "a..b",
    ".example.com",
    "*",
    "*.",
    "*example.com",
    "a.*.example.com",
    "**.example.com",
    "exämple.com",
    "a b",
    "10.0.0.0/99",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "300.1.1.1",
    "256.0.0.0/8",
    "010.0.0.1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.4:80",
    "example.1",
    "::/129",
    "2001:db8::/1280",
    "1::2::3",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "g::1",
    "[::1]",
    "fe80::1%eth0",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
];

#[test]
fn targets_are_networks_addresses_and_hosts() -> Result<()> {
    render(&[&format!("allowedTargets={}", json!(TARGETS))])?;
    let refused = render(&[&format!("allowedTargets={}", json!(NO_TARGETS))]).err().context("refused")?;
    let refused = refused.to_string();
    for (index, target) in NO_TARGETS.iter().enumerate() {
        ensure!(refused.contains(&format!("at '/allowedTargets/{index}'")), "{target:?} is refused");
    }
    Ok(())
}

#[test]
fn targets_are_short_few_and_different() -> Result<()> {
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("h{n}.example")).collect() };
    let long = |labels: usize| vec![format!("{}example", "abcde.".repeat(labels))];
    for targets in [many(256), long(41)] {
        render(&[&format!("allowedTargets={}", json!(targets))])?;
    }
    for targets in [many(257), vec!["a.b".to_owned(); 2], long(42)] {
        let value = format!("allowedTargets={}", json!(targets));
        let refused = render(&[&value]).err().with_context(|| format!("{value} is refused"))?;
        ensure!(refused.to_string().contains("/allowedTargets"), "{refused}");
    }
    Ok(())
}

#[test]
fn the_values_of_the_page_are_values_of_the_chart() -> Result<()> {
    let page = section("operations.md", "Installing")?;
    let example: Value = serde_saphyr::from_str(blocks(&page, "yaml").first().context("values.yaml")?)?;
    let example = example.as_object().context("an object")?.iter();
    let values: Vec<String> = example.map(|(name, value)| format!("{name}={value}")).collect();
    let objects = render(&values.iter().map(String::as_str).collect::<Vec<_>>())?;
    one(&objects, "PrometheusRule", "peerwalk").context("as it is asked for there")?;

    let all: Value = serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml"))?)?;
    let rows = rows(&page);
    ensure!(rows.len() > 5, "a table of values: {rows:?}");
    for value in rows.iter().flat_map(|row| quoted(row[0])) {
        let name = value.split(':').next().unwrap_or(value);
        let pointer = format!("/{}", name.replace('.', "/"));
        ensure!(all.pointer(&pointer).is_some(), "there is no value {name}");
    }
    Ok(())
}
