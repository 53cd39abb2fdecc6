//! How the API server gets to the webhook, and what is said when it does not.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use peerwalk_api::ConditionStatus::True;
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play_alone};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Pods that come sooner after their namespace may be older than its label.
const OLD_ENOUGH: Duration = Duration::from_secs(12);
const TOLD_WITHIN: Duration = Duration::from_secs(30);

fn is_injected(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    containers.map(|container| container.name.as_str()).any(|name| name == "peerwalk")
}

/// The first event that a pod was made without the webhook.
async fn missed(scene: &Scene<'_>) -> Result<Event> {
    let events: Api<Event> = Api::namespaced(scene.nodes.client.clone(), &scene.name(CLIENT));
    let mut seen = pin!(watcher(events, watcher::Config::default()).applied_objects());
    loop {
        match seen.next().await {
            Some(Ok(event)) if event.reason.as_deref() == Some("InjectionMissed") => return Ok(event),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => bail!("the watch of events ended"),
        }
    }
}

#[tokio::test]
async fn a_pod_that_was_made_while_nobody_reached_the_webhook_is_told() -> Result<()> {
    play_alone(async |scene, alone| {
        let namespace = scene.name(CLIENT);
        sleep(OLD_ENOUGH).await;
        alone.cut_off_webhook()?;
        // The API server hears of it by a watch.
        let mut made = None;
        for n in 0..10 {
            let name = format!("alone-{n}");
            scene.deploy(&[object::pod(&namespace, &name, NODE_1, &["pause"])]).await?;
            if !is_injected(&scene.pods(CLIENT).get(&name).await?) {
                made = Some(name);
                break;
            }
        }
        let made = made.context("pods are made without the sidecar while nobody reaches the webhook")?;
        let event = timeout(TOLD_WITHIN, missed(scene)).await.context("it is told")??;
        let on = event.regarding.and_then(|pod| pod.name);
        ensure!(on.as_deref() == Some(made.as_str()), "on the pod that was made so, {made}: {on:?}");
        let note = event.note.unwrap_or_default();
        ensure!(note.contains("did not reach the webhook"), "{note}");
        let metrics = scene.nodes.metrics().await?;
        ensure!(!metrics.contains("peerwalk_injection_missed_total 0\n"), "it is counted: {metrics}");
        Ok(())
    })
    .await
}

/// For clusters whose control plane does not reach pods.
#[tokio::test]
async fn an_operator_on_its_nodes_network_injects_and_judges() -> Result<()> {
    play_alone(async |scene, alone| {
        let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
        alone.on_its_nodes_network()?;
        for pod in scene.nodes.operators().await? {
            let status = pod.status.context("a status")?;
            ensure!(status.pod_ip.is_some() && status.pod_ip == status.host_ip, "it has its node's address");
        }
        scene
            .deploy(&[
                object::pod(&client, "client", NODE_1, &["pause"]),
                object::pod(&server, "open", NODE_2, &["serve"]),
                object::service(&server, "open", "open", &json!(8080)),
                object::check(&client, "good", &[to_service(&server, "open")]),
            ])
            .await?;
        ensure!(is_injected(&scene.pods(CLIENT).get("client").await?), "the webhook is reached");
        scene.verdict("good", True, "AsExpected").await.map(drop)
    })
    .await
}
