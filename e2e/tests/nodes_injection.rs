//! Injection never hurts: whatever a namespace asks of its pods and whatever becomes of them, the application starts,
//! with us or without, and as soon as our container has. The namespace of the clients enforces the restricted Pod
//! Security Standard throughout.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use peerwalk_e2e::object::{self, NODE_1};
use peerwalk_e2e::scene::{CLIENT, Scene, play};
use peerwalk_e2e::start::{prompt, sidecar};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

#[path = "nodes_injection/moves.rs"]
mod moves;
#[path = "nodes_injection/quotas.rs"]
mod quotas;
#[path = "nodes_injection/starts.rs"]
mod starts;

/// How long the webhook may take to hear of a namespace's rules, and the API server to count a new quota.
const HEARD_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The client's pod.
fn client(scene: &Scene<'_>) -> Value {
    object::pod(&scene.name(CLIENT), "client", NODE_1, &["pause"])
}

/// A pod whose application asks for and may use this.
fn sized(mut pod: Value, requests: &Value, limits: &Value) -> Value {
    pod["spec"]["containers"][0]["resources"] = json!({ "requests": requests, "limits": limits });
    pod
}

fn limit_range(namespace: &str, item: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": { "namespace": namespace, "name": "small" },
        "spec": { "limits": [item] },
    })
}

/// Deploys pods that get the sidecar, and holds each to its start.
async fn deploy(scene: &Scene<'_>, pods: &[Value]) -> Result<()> {
    scene.deploy(pods).await?;
    for pod in pods {
        let [namespace, name] = ["namespace", "name"].map(|field| pod["metadata"][field].as_str());
        let pods: Api<Pod> = Api::namespaced(scene.nodes.client.clone(), namespace.context("a namespace")?);
        prompt(&pods.get(name.context("a name")?).await?)?;
    }
    Ok(())
}

/// What the pod was told.
fn note(pod: &Pod) -> &str {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get("peerwalk.dev/injection")).map_or("", String::as_str)
}

/// Asks what would become of the pod until that is so: the webhook hears of rules by watches.
async fn heard(scene: &Scene<'_>, pod: &Value, what: &str, so: impl Fn(&Pod) -> bool) -> Result<()> {
    let namespace = pod["metadata"]["namespace"].as_str().context("a pod has a namespace")?;
    let pods: Api<Pod> = Api::namespaced(scene.nodes.client.clone(), namespace);
    let pod: Pod = serde_json::from_value(pod.clone())?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let asked = Instant::now();
    loop {
        // Refused while a new quota is not counted yet.
        let made = pods.create(&dry, &pod).await;
        if made.as_ref().is_ok_and(&so) {
            return Ok(());
        }
        ensure!(asked.elapsed() < HEARD_WITHIN, "expected within {HEARD_WITHIN:?}: {what}; now {made:?}");
        sleep(ASK_EVERY).await;
    }
}

#[tokio::test]
async fn the_sidecar_fits_minima_maxima_and_ratios() -> Result<()> {
    play(async |scene| {
        let item = json!({
            "type": "Container",
            "min": { "cpu": "40m", "memory": "24Mi" },
            "max": { "cpu": "500m", "memory": "64Mi" },
            "maxLimitRequestRatio": { "cpu": "2", "memory": "1" },
            "default": { "cpu": "100m", "memory": "64Mi" },
            "defaultRequest": { "cpu": "50m", "memory": "64Mi" },
        });
        scene.apply(&[limit_range(&scene.name(CLIENT), &item)]).await?;
        let fits = |pod: &Pod| {
            sidecar(pod).is_some_and(|container| {
                container["resources"]
                    == json!({
                        "requests": { "cpu": "40m", "memory": "24Mi" },
                        "limits": { "cpu": "80m", "memory": "24Mi" },
                    })
            })
        };
        heard(scene, &client(scene), "the sidecar is made to fit", fits).await?;
        deploy(scene, &[client(scene)]).await
    })
    .await
}

#[tokio::test]
async fn the_sidecar_fits_the_bounds_of_the_whole_pod() -> Result<()> {
    play(async |scene| {
        let item = json!({ "type": "Pod", "max": { "cpu": "150m", "memory": "88Mi" } });
        scene.apply(&[limit_range(&scene.name(CLIENT), &item)]).await?;
        let amounts = json!({ "cpu": "100m", "memory": "64Mi" });
        // Burstable, so that ours may ask for less than it may use.
        let pod = sized(client(scene), &json!({ "cpu": "50m", "memory": "64Mi" }), &amounts);
        let limits = json!({ "cpu": "50m", "memory": "24Mi" });
        heard(scene, &pod, "the sidecar takes what is left", |pod| {
            sidecar(pod).is_some_and(|container| container["resources"]["limits"] == limits)
        })
        .await?;
        deploy(scene, &[pod]).await
    })
    .await
}

#[tokio::test]
async fn where_no_sidecar_can_live_the_application_runs_alone() -> Result<()> {
    play(async |scene| {
        let item = json!({ "type": "Container", "max": { "cpu": "15m" } });
        scene.apply(&[limit_range(&scene.name(CLIENT), &item)]).await?;
        heard(scene, &client(scene), "the pod goes without the sidecar", |pod| {
            sidecar(pod).is_none()
                && note(pod).starts_with("skipped: LimitRange small: Container max.cpu is 15m")
        })
        .await?;
        scene.deploy(&[client(scene)]).await
    })
    .await
}
