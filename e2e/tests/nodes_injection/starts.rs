//! Pods of every kind start, as what they were, and not later than our container takes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use peerwalk_e2e::object::{self, NODE_1};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play};
use peerwalk_e2e::start::{NEXT_WITHIN_S, prompt, sidecar, started, starts};
use serde_json::{Value, json};

use crate::{client, deploy, sized};

/// Pods of either kind that are compared.
const PODS: usize = 5;

/// The QoS class of a pod of the scene.
async fn qos(scene: &Scene<'_>, name: &str) -> Result<String> {
    let pod = scene.pods(CLIENT).get(name).await?;
    ensure!(sidecar(&pod).is_some(), "{name} has the sidecar");
    pod.status.and_then(|status| status.qos_class).context("a pod has a QoS class")
}

#[tokio::test]
async fn a_guaranteed_pod_stays_guaranteed_and_a_best_effort_pod_becomes_burstable() -> Result<()> {
    play(async |scene| {
        let amounts = json!({ "cpu": "50m", "memory": "64Mi" });
        let named = |name: &str| object::pod(&scene.name(CLIENT), name, NODE_1, &["pause"]);
        let burstable = sized(named("burstable"), &amounts, &json!({}));
        let guaranteed = sized(named("guaranteed"), &amounts, &amounts);
        deploy(scene, &[guaranteed, named("best-effort"), burstable]).await?;
        for (name, class) in
            [("guaranteed", "Guaranteed"), ("best-effort", "Burstable"), ("burstable", "Burstable")]
        {
            let found = qos(scene, name).await?;
            ensure!(found == class, "expected {name} to be {class}: {found}");
        }
        Ok(())
    })
    .await
}

/// Until its image is there, the application waits as it would without us; then it starts.
#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_waited_for() -> Result<()> {
    play(async |scene| {
        let mut pod = client(scene);
        let image = pod["spec"]["containers"][0]["image"].take();
        pod["spec"]["containers"][0]["image"] = json!("peerwalk.dev/nowhere:none");
        scene.apply(&[pod]).await?;
        let namespace = scene.name(CLIENT);
        let waits = |pod: Option<&Pod>| pod.is_some_and(|pod| sidecar_runs(pod) && app_waits(pod));
        scene.pod_is(&namespace, "client", "waiting for its image beside the sidecar", waits).await?;
        let fixed = json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
        scene.pods(CLIENT).patch("client", &PatchParams::default(), &Patch::Strategic(fixed)).await?;
        scene.pod_is(&namespace, "client", "ready", peerwalk_e2e::scene::is_ready).await.map(drop)
    })
    .await
}

fn sidecar_runs(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_deref());
    let mut ours = statuses.unwrap_or_default().iter().filter(|status| status.name == "peerwalk");
    ours.any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn app_waits(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    statuses.unwrap_or_default().iter().any(|status| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("ErrImageNeverPull")
    })
}

/// We start first and run beside an init container, however long that takes.
#[tokio::test]
async fn a_long_init_container_is_neither_kept_waiting_nor_ended() -> Result<()> {
    play(async |scene| {
        let mut pod = client(scene);
        let mut long = pod["spec"]["containers"][0].clone();
        long["name"] = json!("migrate");
        long["args"] = json!(["watch", "127.0.0.1", "1", "8"]);
        pod["spec"]["initContainers"] = json!([long]);
        scene.apply(&[pod]).await?;
        let beside = |pod: Option<&Pod>| {
            pod.is_some_and(|pod| sidecar_runs(pod) && init_state(pod, "migrate")["running"].is_object())
        };
        let namespace = scene.name(CLIENT);
        scene.pod_is(&namespace, "client", "initialising beside the sidecar", beside).await?;
        let pod = scene.pod_is(&namespace, "client", "ready", peerwalk_e2e::scene::is_ready).await?;
        let ended = init_state(&pod, "migrate")["terminated"]["exitCode"].clone();
        ensure!(ended == 0, "expected the init container to have ended well: {ended}");
        prompt(&pod)
    })
    .await
}

/// The state of an init container, as JSON.
fn init_state(pod: &Pod, name: &str) -> Value {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_deref());
    let status = statuses.unwrap_or_default().iter().find(|status| status.name == name);
    status.and_then(|status| serde_json::to_value(&status.state).ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_pod_of_root_runs_and_the_sidecar_is_not_root() -> Result<()> {
    play(async |scene| {
        let mut pod = object::pod(&scene.name(SERVER), "root", NODE_1, &["pause"]);
        pod["spec"]["securityContext"] = json!({ "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": false });
        deploy(scene, &[pod]).await?;
        let pod = scene.pods(SERVER).get("root").await?;
        let ours = sidecar(&pod).context("the pod has the sidecar")?;
        ensure!(ours["securityContext"]["runAsUser"] == 65532, "{}", ours["securityContext"]);
        Ok(())
    })
    .await
}

/// How many seconds after the node took the pod its application started, and how many of them were ours.
async fn start(scene: &Scene<'_>, pod: Value) -> Result<[i64; 2]> {
    let name = pod["metadata"]["name"].as_str().context("a pod has a name")?.to_owned();
    scene.deploy(&[pod]).await?;
    let pod = scene.pods(CLIENT).get(&name).await?;
    scene.pods(CLIENT).delete(&name, &DeleteParams::default()).await?;
    let status = pod.status.as_ref().context("a status")?;
    let taken = status.start_time.as_ref().context("its node took it")?.0.as_second();
    let app = status.container_statuses.iter().flatten().next().and_then(started).context("it started")?;
    let ours = starts(&pod).map_or(0, |[ours, _]| ours.0.as_second() - taken);
    Ok([app.0.as_second() - taken, ours])
}

/// By the kubelet's moments: later by no more than our container takes to start, which a pod waits for as a whole.
#[tokio::test]
async fn applications_start_with_us_as_without() -> Result<()> {
    play(async |scene| {
        let (mut with, mut ours, mut without) = (Vec::new(), Vec::new(), Vec::new());
        // In turns, so that both meet the same moods of the machine.
        for n in 0..PODS {
            let pod =
                |name: &str| object::pod(&scene.name(CLIENT), &format!("{name}-{n}"), NODE_1, &["pause"]);
            let [app, own] = start(scene, pod("with")).await?;
            with.push(app);
            ours.push(own);
            without.push(start(scene, object::without_sidecar(pod("without"))).await?[0]);
        }
        let [with, ours, without] = [with, ours, without].map(|mut times| {
            times.sort_unstable();
            times[PODS / 2]
        });
        ensure!(
            with <= without + ours.max(NEXT_WITHIN_S),
            "started after {with} s with us, of which ours took {ours} s, and {without} s without, by the median"
        );
        Ok(())
    })
    .await
}
