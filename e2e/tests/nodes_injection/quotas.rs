//! Quotas: with room, without, and with just enough for the application.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::runtime::wait::await_condition;
use peerwalk_api::ConditionStatus::Unknown;
use peerwalk_api::condition::{COVERED, find};
use peerwalk_e2e::object;
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play, within};
use peerwalk_e2e::start::{prompt, sidecar};
use serde_json::{Value, json};

use crate::{client, deploy, heard, limit_range, note, sized};

/// For a few pods to be made and to be ready.
const COMPLETE_WITHIN: Duration = Duration::from_mins(2);
/// Pods of a Deployment.
const REPLICAS: usize = 4;

fn quota(namespace: &str, hard: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "namespace": namespace, "name": "team" },
        "spec": { "hard": hard },
    })
}

#[tokio::test]
async fn a_quota_with_room_has_the_sidecar_in_it() -> Result<()> {
    play(async |scene| {
        let hard = json!({
            "requests.cpu": "210m", "requests.memory": "144Mi", "limits.cpu": "500m", "limits.memory": "160Mi",
        });
        scene.apply(&[quota(&scene.name(CLIENT), &hard)]).await?;
        let pod = sized(
            client(scene),
            &json!({ "cpu": "100m", "memory": "64Mi" }),
            &json!({ "cpu": "200m", "memory": "64Mi" }),
        );
        let what = "the pod with the sidecar and one more without fill the quota";
        heard(scene, &pod, what, |pod| sidecar(pod).is_some()).await?;
        deploy(scene, &[pod]).await
    })
    .await
}

#[tokio::test]
async fn without_room_in_a_quota_the_application_runs_alone_and_the_check_says_why() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(CLIENT);
        scene.apply(&[quota(&namespace, &json!({ "requests.cpu": "105m" }))]).await?;
        let pod = sized(client(scene), &json!({ "cpu": "100m" }), &json!({}));
        heard(scene, &pod, "the pod goes without the sidecar", |pod| {
            sidecar(pod).is_none() && note(pod).starts_with("skipped: ResourceQuota team: ")
        })
        .await?;
        scene.deploy(&[pod]).await?;
        let target = object::to_service(&scene.name(SERVER), "near");
        scene.apply(&[object::check(&namespace, "why", &[target])]).await?;
        let check = scene.verdict("why", Unknown, "NotInjected").await?;
        let status = check.status.context("a status")?;
        let covered = find(&status.conditions, COVERED).context("Covered is there")?;
        ensure!(covered.message.contains("ResourceQuota team: 105m of requests.cpu is left"), "{covered:?}");
        Ok(())
    })
    .await
}

/// A Deployment whose pods each request 100m, under a quota of so much.
async fn rolled_out(scene: &Scene<'_>, name: &str, hard: &str) -> Result<Vec<Pod>> {
    let namespace = scene.name(CLIENT);
    scene.apply(&[quota(&namespace, &json!({ "requests.cpu": hard }))]).await?;
    let labels = json!({ "app": name });
    let pod = sized(client(scene), &json!({ "cpu": "100m" }), &json!({}));
    let mut spec = pod["spec"].clone();
    spec["restartPolicy"] = json!("Always");
    // By a pod that is as large as all of them, so that it is left alone while only an old quota is known.
    let large = sized(client(scene), &json!({ "cpu": hard }), &json!({}));
    let words = format!("of requests.cpu is left of {}", hard.trim_end_matches("000m"));
    heard(scene, &large, "the quota is known", |pod| note(pod).contains(&words)).await?;
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    });
    scene.apply(&[deployment]).await?;
    let deployments: Api<Deployment> = Api::namespaced(scene.nodes.client.clone(), &namespace);
    let complete = |deployment: Option<&Deployment>| {
        let ready = deployment.and_then(|d| d.status.as_ref()?.ready_replicas);
        ready.is_some_and(|ready| usize::try_from(ready) == Ok(REPLICAS))
    };
    let complete = Box::pin(await_condition(deployments, name, complete));
    within(COMPLETE_WITHIN, "every replica runs", complete).await?;
    let selector = ListParams::default().labels(&format!("app={name}"));
    Ok(scene.pods(CLIENT).list(&selector).await?.items)
}

/// Sidecars of the first pods would leave no room for the last.
#[tokio::test]
async fn a_quota_that_holds_just_the_application_holds_all_of_it() -> Result<()> {
    play(async |scene| {
        for pod in rolled_out(scene, "tight", "400m").await? {
            let said = note(&pod);
            let why =
                said.contains("pods that are still to come take") || said.contains("of requests.cpu is left");
            ensure!(sidecar(&pod).is_none() && why, "it goes without, and says why: {said:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_quota_with_room_for_a_rollout_has_a_sidecar_in_each_pod() -> Result<()> {
    play(async |scene| {
        for pod in rolled_out(scene, "roomy", "1000m").await? {
            prompt(&pod)?;
        }
        Ok(())
    })
    .await
}

/// What a LimitRange gives every container is given to ours as well, and counted.
#[tokio::test]
async fn what_every_container_is_given_is_counted_before_the_sidecar_is_there() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(CLIENT);
        let hard = |amount: &str| quota(&namespace, &json!({ "requests.ephemeral-storage": amount }));
        let item = json!({ "type": "Container", "default": { "ephemeral-storage": "64Mi" } });
        scene.apply(&[limit_range(&namespace, &item), hard("150Mi")]).await?;
        let alone = |pod: &Pod| {
            let why = "skipped: ResourceQuota team: 150Mi of requests.ephemeral-storage is left of 150Mi";
            sidecar(pod).is_none() && note(pod).starts_with(why)
        };
        heard(scene, &client(scene), "the pod goes without the sidecar", alone).await?;
        scene.deploy(&[client(scene)]).await?;
        scene.apply(&[hard("256Mi")]).await?;
        let given = |pod: &Pod| {
            sidecar(pod).is_some_and(|ours| ours["resources"]["limits"]["ephemeral-storage"] == "64Mi")
        };
        let mut second = client(scene);
        second["metadata"]["name"] = json!("second");
        heard(scene, &second, "there is room for the sidecar", given).await?;
        deploy(scene, &[second]).await
    })
    .await
}

/// The API server refuses every container that does not say what a ratio is about.
#[tokio::test]
async fn a_ratio_of_another_resource_keeps_the_sidecar_out_and_not_the_application() -> Result<()> {
    play(async |scene| {
        let item = json!({ "type": "Container", "maxLimitRequestRatio": { "ephemeral-storage": "2" } });
        scene.apply(&[limit_range(&scene.name(CLIENT), &item)]).await?;
        let amounts = json!({ "ephemeral-storage": "64Mi" });
        let pod = sized(client(scene), &amounts, &amounts);
        heard(scene, &pod, "the pod goes without the sidecar", |pod| {
            let why = "skipped: LimitRange small: Container maxLimitRequestRatio.ephemeral-storage is 2";
            sidecar(pod).is_none() && note(pod).starts_with(why)
        })
        .await?;
        scene.deploy(&[pod]).await
    })
    .await
}
