//! From the chart before to this one, with sidecars at work: they stay, come back to the new operator, no pod is started
//! again, and no condition says what is not so.
//!
//! The programs of that time are not here: `cargo xtask soak upgrade` builds them from git. What its chart left in the
//! cluster is (`e2e/data/chart-before.yaml`), and its operator is one that is away, as at the end of every upgrade of a
//! single replica.

use std::env;
use std::fs;
use std::process;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_e2e::nodes::{Alone, Nodes, SYSTEM};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, denied, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play_alone};
use serde_json::json;

/// What the upgrade must not touch: pods of a scene by uid, with how often each container was started again.
async fn workloads(scene: &Scene<'_>) -> Result<Vec<(Option<String>, Vec<i32>)>> {
    let mut found = Vec::new();
    for role in [CLIENT, SERVER] {
        for pod in scene.pods(role).list(&ListParams::default()).await?.items {
            let status = pod.status.unwrap_or_default();
            let all = [status.init_container_statuses, status.container_statuses];
            let restarts = all.into_iter().flatten().flatten().map(|container| container.restart_count);
            found.push((pod.metadata.uid, restarts.collect()));
        }
    }
    Ok(found)
}

/// Makes the release what the chart before made of it.
fn to_before(alone: &Alone<'_>) -> Result<()> {
    let chart = env::temp_dir().join(format!("peerwalk-before-{}", process::id()));
    fs::create_dir_all(chart.join("templates"))?;
    let about = json!({ "apiVersion": "v2", "name": "peerwalk", "version": "0.1.0", "appVersion": "0.1.0" });
    fs::write(chart.join("Chart.yaml"), about.to_string())?;
    fs::write(chart.join("templates/all.yaml"), include_str!("../data/chart-before.yaml"))?;
    let installed = alone.other_chart(&chart);
    fs::remove_dir_all(&chart)?;
    installed
}

async fn authorities(nodes: &Nodes) -> Result<Secret> {
    let secrets: Api<Secret> = Api::namespaced(nodes.client.clone(), SYSTEM);
    secrets.get("peerwalk-ca").await.context("the operator's Secret is there")
}

async fn deploy(scene: &Scene<'_>) -> Result<serde_json::Value> {
    let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
    let mut objects = vec![object::pod(&client, "client", NODE_1, &["pause"])];
    for (name, node) in [("open", NODE_2), ("sealed", NODE_1), ("shut", NODE_1)] {
        objects.push(object::pod(&server, name, node, &["serve"]));
        objects.push(object::service(&server, name, name, &json!(8080)));
    }
    let closed = json!({ "key": "app", "operator": "In", "values": ["sealed", "shut"] });
    let closed = json!({ "podSelector": { "matchExpressions": [closed] }, "policyTypes": ["Ingress"] });
    let closed = object::policy(&server, "closed", &closed);
    objects.push(closed.clone());
    scene.deploy(&objects).await?;
    let [open, sealed, shut] = ["open", "sealed", "shut"].map(|name| to_service(&server, name));
    scene
        .apply(&[
            object::check(&client, "good", &[open, denied(sealed)]),
            object::check(&client, "bad", &[shut]),
        ])
        .await?;
    scene.verdict("good", True, "AsExpected").await?;
    scene.verdict("bad", False, "PolicyDenied").await?;
    Ok(closed)
}

#[tokio::test]
async fn an_upgrade_from_the_chart_before_touches_no_workload_and_no_verdict() -> Result<()> {
    play_alone(async |scene, alone| {
        let closed = deploy(scene).await?;
        let nodes = scene.nodes;
        let before = (workloads(scene).await?, authorities(nodes).await?.data);
        let histories = [scene.history("good"), scene.history("bad")];

        to_before(alone)?;
        let deployments: Api<Deployment> = Api::namespaced(nodes.client.clone(), SYSTEM);
        let spec = deployments.get("peerwalk").await?.spec.context("a Deployment has a spec")?;
        ensure!(spec.replicas == Some(1), "as it was: {spec:?}");
        let strategy = spec.strategy.and_then(|strategy| strategy.type_);
        ensure!(strategy.as_deref() == Some("Recreate"), "as it was: {strategy:?}");
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(nodes.client.clone(), SYSTEM);
        ensure!(budgets.get_opt("peerwalk").await?.is_none(), "it had none");
        let leases = ["-n", SYSTEM, "delete", "lease", "peerwalk", "--ignore-not-found"];
        peerwalk_e2e::nodes::printed(nodes.cluster.kubectl().args(leases))?;

        alone.own_chart()?;
        let time = Duration::from_mins(1);
        let (good, bad) = tokio::join!(
            scene.stays("good", True, "AsExpected", time),
            scene.stays("bad", False, "PolicyDenied", time)
        );
        good?;
        bad?;
        for (history, expected) in histories.iter().zip([(True, "AsExpected"), (False, "PolicyDenied")]) {
            let seen = history.seen();
            let right = |(status, reason): &(_, String)| (*status, reason.as_str()) == expected;
            ensure!(!seen.is_empty() && seen.iter().all(right), "expected {expected:?} alone: {seen:?}");
        }
        let after = (workloads(scene).await?, authorities(nodes).await?.data);
        ensure!(after.0 == before.0, "the same pods, none started again: {before:?} before, {after:?} after");
        ensure!(after.1 == before.1, "sidecars of before trust the hub by the same root");
        ensure!(budgets.get_opt("peerwalk").await?.is_some(), "and one replica is always there");

        // Sidecars of before are attached and judged.
        let explained = nodes.explain(&scene.name(CLIENT), "good").await?;
        ensure!(explained.contains("client"), "{explained}");
        scene.delete(&closed).await?;
        scene.verdict("bad", True, "AsExpected").await?;
        Ok(())
    })
    .await
}
