//! The ways to the operator are closed: that of the API server to its webhook, those of sidecars to the hub.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use peerwalk_api::condition::{COVERED, find};
use peerwalk_e2e::counters::Counters;
use peerwalk_e2e::measure::progress;
use peerwalk_e2e::nodes::{Nodes, SYSTEM, printed};
use peerwalk_e2e::object::{self, in_namespace, to_dns};
use peerwalk_e2e::scene::{CLIENT, SERVER};
use peerwalk_e2e::workloads::newcomer;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

/// Longer than sidecars have to come back before it is said that they do not report.
const AWAY: Duration = Duration::from_secs(90);
const SAID_WITHIN: Duration = Duration::from_mins(2);
const COUNTED_WITHIN: Duration = Duration::from_secs(40);

/// Gives a Service of the operator no endpoints, or all again.
pub fn endpoints(nodes: &Nodes, service: &str, there: bool) -> Result<()> {
    let value = if there { Value::Null } else { json!("none") };
    let patch = json!({ "spec": { "selector": { "peerwalk.dev/soak": value } } }).to_string();
    printed(nodes.cluster.kubectl().args([
        "-n",
        SYSTEM,
        "patch",
        "service",
        service,
        "--type=merge",
        "-p",
        &patch,
    ]))
    .map(drop)
}

/// Breaks all streams: the process of the leader ends, and in the same pod it leads again at once.
fn break_streams(nodes: &Nodes) -> Result<()> {
    nodes.signal_operator("KILL", &nodes.leader()?)
}

pub async fn webhook_down(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    let before = Counters::of(nodes).await?;
    endpoints(nodes, "peerwalk-webhook", false)?;
    // Every kube-proxy has heard of it.
    sleep(Duration::from_secs(5)).await;
    let made = newcomer(steady.scene, "meanwhile").await;
    let missed = async {
        let begun = Instant::now();
        loop {
            if let Some(missed) = Counters::of(nodes).await?.since(&before).get("injection_missed") {
                return anyhow::Ok(*missed);
            }
            ensure!(begun.elapsed() < COUNTED_WITHIN, "a pod without its sidecar is not counted");
            sleep(Duration::from_secs(1)).await;
        }
    };
    let missed = missed.await;
    let events = events(nodes, &steady.scene.name(CLIENT));
    endpoints(nodes, "peerwalk-webhook", true)?;
    let ((started, injected), missed) = (made?, missed?);
    ensure!(!injected, "the pod has a sidecar, so the webhook was not away");
    // What waits for it afterwards must not depend on how fast kube-proxy is.
    sleep(Duration::from_secs(5)).await;
    let what = format!(
        "its Service has no endpoints; a pod made meanwhile is counted as missed ({missed}) and told of"
    );
    let mut told = Told { started: Some(started), ..Told::new(what) };
    if !events?.contains("meanwhile") {
        told.wrong.push("no event InjectionMissed".to_owned());
    }
    Ok(told)
}

/// The pods about which an event says that they were made without a sidecar.
fn events(nodes: &Nodes, namespace: &str) -> Result<String> {
    let pods = "jsonpath={.items[?(@.reason==\"InjectionMissed\")].regarding.name}";
    printed(nodes.cluster.kubectl().args(["-n", namespace, "get", "events.events.k8s.io", "-o", pods]))
}

pub async fn hub_without_endpoints(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    steady.expect_silence();
    endpoints(nodes, "peerwalk-hub", false)?;
    let meanwhile = async {
        break_streams(nodes)?;
        let started = newcomer(steady.scene, "meanwhile").await?;
        sleep(AWAY).await;
        Ok(started)
    };
    let meanwhile: Result<_> = meanwhile.await;
    endpoints(nodes, "peerwalk-hub", true)?;
    let (started, _) = meanwhile?;
    let what = format!("no endpoints for {} s, and all streams broken", AWAY.as_secs());
    Ok(Told { started: Some(started), ..Told::new(what) })
}

/// A policy that lets clients reach all but the hub, and what `more` admits.
fn cut_off(namespace: &str, server: &str, more: Option<Value>) -> Value {
    let rules = [to_dns(), json!({ "to": [in_namespace(server)] })].into_iter().chain(more);
    object::deny_egress(namespace, &rules.collect::<Vec<_>>())
}

pub async fn hub_cut_off(steady: &Steady<'_>) -> Result<Told> {
    let scene = steady.scene;
    let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
    let policy = cut_off(&client, &server, None);
    steady.expect_silence();
    scene.apply(std::slice::from_ref(&policy)).await?;
    let meanwhile = async {
        // Established connections go on.
        sleep(Duration::from_secs(2)).await;
        break_streams(scene.nodes)?;
        let said =
            steady.observer.say(&[("good", "Covered", &[("False", "NotReporting")])], SAID_WITHIN).await?;
        let check = scene.checks().get("good").await?;
        let status = check.status.as_ref().context("a check has a status")?;
        let covered = find(&status.conditions, COVERED).context("a status has Covered")?;
        let rule = printed_rule(&covered.message);
        let rule = rule.with_context(|| format!("Covered prints no rule: {}", covered.message))?;
        ensure!(covered.message.contains("deny-egress"), "Covered names no policy: {}", covered.message);
        progress(&covered.message);
        // As it is printed, and nothing else is done.
        scene.apply(&[cut_off(&client, &server, Some(rule))]).await?;
        let reports = steady.observer.say(&[("good", "Covered", &[("True", "AllReporting")])], SAID_WITHIN);
        anyhow::Ok((said, reports.await.context("with the rule that Covered prints")?))
    };
    let meanwhile = meanwhile.await;
    scene.delete(&policy).await?;
    let (said, reports) = meanwhile?;
    Ok(Told::new(format!(
        "a policy closes the way to the hub, and all streams are broken: Covered names it after {:.0} s and prints a \
         rule; {:.0} s after that is added as it is printed, all report",
        said.as_secs_f64(),
        reports.as_secs_f64()
    )))
}

/// The item of `spec.egress` in a message.
fn printed_rule(message: &str) -> Option<Value> {
    let begin = message.find("{\"to\":")?;
    serde_json::Deserializer::from_str(message.get(begin..)?).into_iter().next()?.ok()
}
