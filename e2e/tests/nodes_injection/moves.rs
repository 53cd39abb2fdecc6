//! Pods that are replaced: rollouts, evictions, nodes that are drained.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use peerwalk_e2e::nodes::printed;
use peerwalk_e2e::object::{self, NODE_1, NODE_2};
use peerwalk_e2e::scene::{CLIENT, Scene, is_ready, play, play_alone, within};
use peerwalk_e2e::start::prompt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::ASK_EVERY;

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

/// Waits until the workload has its two pods again, ready and each with the sidecar, as soon as that started.
async fn complete(scene: &Scene<'_>) -> Result<Vec<Pod>> {
    let asked = Instant::now();
    loop {
        let pods = pods(scene).await?;
        if pods.len() == 2 && pods.iter().all(|pod| is_ready(Some(pod))) {
            pods.iter().try_for_each(prompt)?;
            return Ok(pods);
        }
        let phases: Vec<_> =
            pods.iter().map(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref())).collect();
        ensure!(
            asked.elapsed() < REPLACED_WITHIN,
            "expected two ready pods within {REPLACED_WITHIN:?}: {phases:?}"
        );
        sleep(ASK_EVERY).await;
    }
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
        complete(scene).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn an_evicted_pod_is_replaced() -> Result<()> {
    play(async |scene| {
        scene.apply(&[workload(&scene.name(CLIENT), "Deployment", &anywhere())]).await?;
        let evicted = complete(scene).await?.swap_remove(0).metadata;
        let name = evicted.name.context("a pod has a name")?;
        scene.pods(CLIENT).evict(&name, &EvictParams::default()).await?;
        let after = complete(scene).await?;
        ensure!(after.iter().all(|pod| pod.metadata.uid != evicted.uid), "the evicted pod is replaced");
        Ok(())
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
        complete(scene).await?;
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
    for pod in complete(scene).await? {
        let node = pod.spec.and_then(|spec| spec.node_name);
        ensure!(node.as_deref() == Some(NODE_1), "expected all pods on {NODE_1}: {node:?}");
    }
    Ok(())
}
