//! Pods that are replaced: rollouts, evictions, nodes that are drained.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use peerwalk_e2e::nodes::printed;
use peerwalk_e2e::object::{self, NODE_1, NODE_2};
use peerwalk_e2e::scene::{CLIENT, Scene, is_ready, play, play_alone, within};
use serde_json::{Value, json};

use crate::sidecar;

/// For a few pods to be replaced.
const REPLACED_WITHIN: Duration = Duration::from_mins(2);

/// A workload of two pods `app: web`.
fn workload(namespace: &str, kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "namespace": namespace, "name": "web" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": spec },
        },
    })
}

/// A pod that any node takes and that is started again.
fn anywhere() -> Value {
    let mut spec = object::pod_spec(NODE_1, &["pause"]);
    spec["nodeSelector"] = json!({});
    spec["restartPolicy"] = json!("Always");
    spec
}

/// The pods of the workload that are there to stay.
async fn pods(scene: &Scene<'_>) -> Result<Vec<Pod>> {
    let pods = scene.pods(CLIENT).list(&ListParams::default().labels("app=web")).await?;
    Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
}

async fn all_injected_and_ready(scene: &Scene<'_>) -> Result<()> {
    let pods = pods(scene).await?;
    ensure!(pods.len() == 2, "two pods: {}", pods.len());
    for pod in &pods {
        ensure!(sidecar(pod).is_some() && is_ready(Some(pod)), "injected and ready: {:?}", pod.metadata.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_stateful_set_rolls_out() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(CLIENT);
        let mut set = workload(&namespace, "StatefulSet", &anywhere());
        set["spec"]["serviceName"] = json!("web");
        scene.apply(&[set]).await?;
        let sets: Api<StatefulSet> = Api::namespaced(scene.nodes.client.clone(), &namespace);
        let out = |set: Option<&StatefulSet>| {
            let seen = set.and_then(|set| set.metadata.generation);
            set.and_then(|set| set.status.as_ref()).is_some_and(|status| {
                status.observed_generation == seen
                    && status.ready_replicas == Some(2)
                    && status.updated_replicas == Some(2)
                    && status.current_revision == status.update_revision
            })
        };
        let rolled = || Box::pin(await_condition(sets.clone(), "web", out));
        within(REPLACED_WITHIN, "the StatefulSet is ready", rolled()).await?;
        let next = json!({ "spec": { "template": { "metadata": { "annotations": { "version": "2" } } } } });
        sets.patch("web", &PatchParams::default(), &Patch::Merge(next)).await?;
        within(REPLACED_WITHIN, "the StatefulSet has rolled out", rolled()).await?;
        all_injected_and_ready(scene).await
    })
    .await
}

fn available(deployment: Option<&Deployment>) -> bool {
    let seen = deployment.and_then(|deployment| deployment.metadata.generation);
    deployment.and_then(|deployment| deployment.status.as_ref()).is_some_and(|status| {
        status.observed_generation == seen
            && status.replicas == Some(2)
            && status.available_replicas == Some(2)
            && status.terminating_replicas.unwrap_or(0) == 0
    })
}

async fn deployed(scene: &Scene<'_>) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(scene.nodes.client.clone(), &scene.name(CLIENT));
    let ready = Box::pin(await_condition(deployments, "web", available));
    within(REPLACED_WITHIN, "the Deployment is available", ready).await.map(drop)
}

#[tokio::test]
async fn an_evicted_pod_is_replaced() -> Result<()> {
    play(async |scene| {
        scene.apply(&[workload(&scene.name(CLIENT), "Deployment", &anywhere())]).await?;
        deployed(scene).await?;
        let evicted = pods(scene).await?.swap_remove(0).metadata;
        let name = evicted.name.context("a pod has a name")?;
        scene.pods(CLIENT).evict(&name, &EvictParams::default()).await?;
        let uid = evicted.uid.context("a pod has a uid")?;
        let gone = conditions::is_deleted(&uid);
        let ended = Box::pin(await_condition(scene.pods(CLIENT), &name, gone));
        within(REPLACED_WITHIN, "the evicted pod has ended", ended).await?;
        deployed(scene).await?;
        all_injected_and_ready(scene).await
    })
    .await
}

/// With a disruption budget, so that the second pod goes only when the first one's successor is ready.
#[tokio::test]
async fn a_drained_node_gives_its_pods_to_the_other() -> Result<()> {
    play_alone(async |scene, _| {
        let namespace = scene.name(CLIENT);
        let budget = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": { "namespace": namespace, "name": "web" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } },
        });
        let mut spec = anywhere();
        // On the node that is drained while it takes pods.
        spec["affinity"] = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100,
            "preference": { "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_2] },
            ] },
        }] } });
        scene.apply(&[budget, workload(&namespace, "Deployment", &spec)]).await?;
        deployed(scene).await?;
        let drained = drain(scene).await;
        let kubectl = |arguments: &[&str]| printed(scene.nodes.cluster.kubectl().args(arguments)).map(drop);
        kubectl(&["uncordon", NODE_2])?;
        drained
    })
    .await
}

async fn drain(scene: &Scene<'_>) -> Result<()> {
    let kubectl = |arguments: &[&str]| printed(scene.nodes.cluster.kubectl().args(arguments)).map(drop);
    kubectl(&["cordon", NODE_2])?;
    // The cluster has no other pods with this label while the test has it alone.
    let selector = "--pod-selector=app=web";
    kubectl(&["drain", NODE_2, selector, "--delete-emptydir-data", "--force", "--timeout=90s"])?;
    deployed(scene).await?;
    all_injected_and_ready(scene).await?;
    for pod in pods(scene).await? {
        let node = pod.spec.and_then(|spec| spec.node_name);
        ensure!(node.as_deref() == Some(NODE_1), "expected all pods on {NODE_1}: {node:?}");
    }
    Ok(())
}
