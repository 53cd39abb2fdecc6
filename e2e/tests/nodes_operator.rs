//! The operator ends and comes back: workloads do not notice, and no condition says what is not true.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::runtime::wait::await_condition;
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_cluster::Place;
use peerwalk_e2e::nodes::{Nodes, SYSTEM, printed};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, denied, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, is_ready, play_alone, within};
use serde_json::json;

/// How often the containers of a pod have been started again.
fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let all = [&status.container_statuses, &status.init_container_statuses];
    all.into_iter().flatten().flatten().map(|container| container.restart_count).sum()
}

/// The uids of all pods of the scene, and how often their containers were started again.
async fn workloads(scene: &Scene<'_>) -> Result<Vec<(Option<String>, i32)>> {
    let mut found = Vec::new();
    for role in [CLIENT, SERVER] {
        let pods = scene.pods(role).list(&ListParams::default()).await?;
        found.extend(pods.items.into_iter().map(|pod| {
            let restarts = restarts(&pod);
            (pod.metadata.uid, restarts)
        }));
    }
    Ok(found)
}

/// Ends the operator's process and waits until it is ready again. Both nodes' processes are seen from the
/// first.
async fn kill(nodes: &Nodes) -> Result<()> {
    let before = nodes.operator().await?;
    let name = before.metadata.name.clone().context("a pod has a name")?;
    let mut shell = nodes.cluster.exec(&Place::Node(1), "bash")?;
    printed(shell.args(["-c", "kill -9 $(pidof peerwalk-operator)"]))?;
    let again = |pod: Option<&Pod>| is_ready(pod) && pod.map(restarts) > Some(restarts(&before));
    let pods = Api::namespaced(nodes.client.clone(), SYSTEM);
    let ready = Box::pin(await_condition(pods, &name, again));
    within(Duration::from_mins(1), "the operator is ready again", ready).await.map(drop)
}

#[tokio::test]
async fn a_killed_operator_says_nothing_wrong_and_touches_no_workload() -> Result<()> {
    play_alone(async |scene, _| {
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
        let before = workloads(scene).await?;
        // From before the end, so that nothing is missed that is written and taken back.
        let histories = [scene.history("good"), scene.history("bad")];

        kill(scene.nodes).await?;
        let time = Duration::from_secs(40);
        let (good, bad) = tokio::join!(
            scene.stays("good", True, "AsExpected", time),
            scene.stays("bad", False, "PolicyDenied", time)
        );
        good?;
        bad?;
        scene.verdict("good", True, "AsExpected").await?;
        scene.verdict("bad", False, "PolicyDenied").await?;
        for (history, expected) in histories.iter().zip([(True, "AsExpected"), (False, "PolicyDenied")]) {
            let seen = history.seen();
            let right = |(status, reason): &(_, String)| (*status, reason.as_str()) == expected;
            ensure!(!seen.is_empty() && seen.iter().all(right), "expected {expected:?} alone: {seen:?}");
        }
        ensure!(
            workloads(scene).await? == before,
            "expected the same pods, none started again: {before:?} before"
        );

        // It is at work again.
        scene.delete(&closed).await?;
        scene.verdict("bad", True, "AsExpected").await?;
        Ok(())
    })
    .await
}
