//! What stands behind a Service and is not what it seems: aliases, endpoints that end, lie or say nothing, and pods of
//! several owners.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use peerwalk_api::ConditionStatus::{False, True, Unknown};
use peerwalk_api::status::Outcome;
use peerwalk_e2e::object::{self, NODE_1, NODE_2, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, play, ready};
use serde_json::{Value, json};

use crate::{apply_check, client, server, targets};

#[tokio::test]
async fn an_alias_is_told_as_what_it_is() -> Result<()> {
    play(async |scene| {
        let alias = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "namespace": scene.name(SERVER), "name": "alias" },
            "spec": { "type": "ExternalName", "externalName": "db.example.com" },
        });
        scene.deploy(&[client(scene), alias]).await?;
        apply_check(scene, "alias", &targets(scene, ["alias"])).await?;
        let check = scene.verdict("alias", Unknown, "TargetNotFound").await?;
        let message = ready(&check).map(|ready| ready.message.clone()).unwrap_or_default();
        ensure!(message.contains("ExternalName"), "expected the message to say what it is: {message}");
        Ok(())
    })
    .await
}

/// The only endpoint takes its time to end: connections go to it until it does (KEP-1669).
#[tokio::test]
async fn an_endpoint_that_shuts_down_serves_to_its_end() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let [mut pod, service] = server(scene, "ending", NODE_2);
        pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
        pod["spec"]["containers"][0]["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 20 } } });
        scene.deploy(&[client(scene), pod, service]).await?;
        apply_check(scene, "reach", &targets(scene, ["ending"])).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        scene.pods(SERVER).delete("ending", &DeleteParams::default()).await?;
        let ends = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
        scene.pod_is(&namespace, "ending", "at its end", ends).await?;
        scene.stays("reach", True, "AsExpected", Duration::from_secs(12)).await?;
        scene.verdict("reach", False, "NoEndpoints").await?;
        Ok(())
    })
    .await
}

/// A pod without a readiness probe is Ready, whatever listens in it.
#[tokio::test]
async fn an_endpoint_that_lies_about_its_readiness_is_found() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let objects = [
            client(scene),
            object::pod(&namespace, "liar", NODE_2, &["pause"]),
            object::service(&namespace, "liar", "liar", &json!("web")),
        ];
        scene.deploy(&objects).await?;
        apply_check(scene, "reach", &targets(scene, ["liar"])).await?;
        // Its own sidecar may say more than a reset does.
        let refused = ["ConnectionRefused", "NotListening"];
        scene
            .rows("reach", "says that nothing listens", |rows| {
                rows.iter().any(|row| {
                    row.outcome == Outcome::Failed
                        && row.reason.as_deref().is_some_and(|r| refused.contains(&r))
                })
            })
            .await?;
        Ok(())
    })
    .await
}

/// Without walks that passed there is nothing to call it slow by.
#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_does_not_answer() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let objects = [
            client(scene),
            object::pod(&namespace, "mute", NODE_2, &["listen", "silent:8080"]),
            object::service(&namespace, "mute", "mute", &json!(8080)),
        ];
        scene.deploy(&objects).await?;
        let [mute] = targets(scene, ["mute"]);
        apply_check(scene, "reach", &[with(mute, &json!({ "http": {} }))]).await?;
        scene.verdict("reach", False, "NoResponse").await?;
        Ok(())
    })
    .await
}

/// A ReplicaSet of one server with the label `app: mixed`.
fn replica_set(namespace: &str, name: &str, node: &str) -> Value {
    let labels = json!({ "app": "mixed", "made-by": name });
    let mut spec = object::pod_spec(node, &["serve"]);
    spec["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    })
}

/// All of them are endpoints of the Service: which of them answers is told, and is nobody's fault.
#[tokio::test]
async fn a_service_that_selects_pods_of_two_owners_is_reached() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let objects = [
            client(scene),
            replica_set(&namespace, "one", NODE_1),
            replica_set(&namespace, "other", NODE_2),
            object::service(&namespace, "mixed", "mixed", &json!(8080)),
        ];
        scene.deploy(&objects).await?;
        apply_check(scene, "reach", &targets(scene, ["mixed"])).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        let history = scene.history("reach");
        scene.stays("reach", True, "AsExpected", Duration::from_secs(12)).await?;
        let seen = history.seen();
        ensure!(seen.iter().all(|(status, _)| *status == True), "expected nothing else to be said: {seen:?}");
        let explanation = scene.nodes.explain(&scene.name(CLIENT), "reach").await?;
        let caveat = explanation.lines().find(|line| line.contains("of 2 owners"));
        let caveat = caveat.with_context(|| format!("expected both owners to be told: {explanation}"))?;
        ensure!(caveat.contains("ReplicaSet one, ReplicaSet other"), "expected their names: {caveat}");
        Ok(())
    })
    .await
}
