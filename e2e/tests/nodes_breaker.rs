//! A sidecar that cannot start: the first pods wait for it, injection pauses, and the pods after them start. Once it can,
//! a trial finds out.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, watcher};
use peerwalk_api::ConnectivityCheck;
use peerwalk_api::condition::{COVERED, find};
use peerwalk_cluster::Place;
use peerwalk_e2e::nodes::printed;
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, is_ready, play_alone, within};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Nobody listens there, so that a pull is refused at once.
const NO_REGISTRY: &str = "127.0.0.1:1";
/// The first trial comes a minute after the pause began.
const TRIED_WITHIN: Duration = Duration::from_mins(2);
const CAUSE: &str = "the sidecar's image cannot be pulled";

/// A source pod of the checks.
fn source(scene: &Scene<'_>, name: &str) -> Value {
    let mut pod = object::pod(&scene.name(CLIENT), name, NODE_1, &["pause"]);
    pod["metadata"]["labels"]["app"] = json!("client");
    pod
}

/// The first event of that reason in the namespace of the source pods.
async fn event(scene: &Scene<'_>, reason: &str) -> Result<Event> {
    let events: Api<Event> = Api::namespaced(scene.nodes.client.clone(), &scene.name(CLIENT));
    let mut seen = pin!(watcher(events, watcher::Config::default()).applied_objects());
    let found = async {
        loop {
            match seen.next().await {
                Some(Ok(event)) if event.reason.as_deref() == Some(reason) => return Ok(event),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the watch of events ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(2), found)
        .await
        .with_context(|| format!("expected an event {reason}"))?
}

fn is_injected(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    containers.map(|container| container.name.as_str()).any(|name| name == "peerwalk")
}

fn covered(check: Option<&ConnectivityCheck>) -> Option<&str> {
    let status = check?.status.as_ref()?;
    find(&status.conditions, COVERED).map(|covered| covered.message.as_str())
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_holds_no_more_than_a_few_pods() -> Result<()> {
    play_alone(async |scene, alone| {
        let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
        // Another name in each run: once it is there, it stays on the nodes.
        let registry = format!("{NO_REGISTRY}/{client}");
        let image = format!("{registry}/sidecar:dev");
        alone.sidecar_from(&registry)?;

        let held = ["held-0", "held-1", "held-2"];
        let pods: Vec<Value> = held.iter().map(|name| source(scene, name)).collect();
        scene.apply(&pods).await?;
        let paused = event(scene, "InjectionPaused").await?;
        let note = paused.note.unwrap_or_default();
        ensure!(note.contains(CAUSE) && note.contains(&client), "cause and namespace are named: {note}");
        let on = paused.regarding.and_then(|pod| pod.name).unwrap_or_default();
        ensure!(held.contains(&on.as_str()), "on one of the pods that wait: {on}");
        for name in held {
            let pod = scene.pods(CLIENT).get(name).await?;
            ensure!(is_injected(&pod) && !is_ready(Some(&pod)), "{name} waits for its sidecar");
        }

        // The pods after them start, without a sidecar, and say why.
        scene.deploy(&[source(scene, "free-0"), source(scene, "free-1")]).await?;
        for name in ["free-0", "free-1"] {
            let pod = scene.pods(CLIENT).get(name).await?;
            ensure!(!is_injected(&pod), "{name} has no sidecar");
            let said = pod.metadata.annotations.unwrap_or_default().remove("peerwalk.dev/injection");
            let expected = format!("skipped: paused, {CAUSE}");
            ensure!(said.as_ref().is_some_and(|said| said.starts_with(&expected)), "{name}: {said:?}");
        }

        // So do check and metrics. Another namespace has nothing to do with it.
        let serving = object::without_sidecar(object::pod(&server, "open", NODE_2, &["serve"]));
        scene.deploy(&[serving, object::service(&server, "open", "open", &json!(8080))]).await?;
        scene.apply(&[object::check(&client, "good", &[to_service(&server, "open")])]).await?;
        let told = |check: Option<&ConnectivityCheck>| {
            covered(check).is_some_and(|said| said.contains("injection is paused") && said.contains(CAUSE))
        };
        let told = Box::pin(await_condition(scene.checks(), "good", told));
        within(Duration::from_mins(1), "Covered names the pause and its cause", told).await?;
        let metrics = scene.nodes.metrics().await?;
        for line in [
            format!("peerwalk_injection_paused{{namespace=\"{client}\"}} 1"),
            "peerwalk_injection_pauses_total{cause=\"Image\"}".to_owned(),
        ] {
            ensure!(metrics.contains(&line), "{line} is in:\n{metrics}");
        }
        ensure!(
            !metrics.contains(&format!("{{namespace=\"{server}\"}}")),
            "{server} is not paused:\n{metrics}"
        );

        // Once the image is there, those that waited start, and a pod that is injected for trial ends the pause.
        for node in 1..=2 {
            let mut ctr = scene.nodes.cluster.exec(&Place::Node(node), "ctr")?;
            ctr.args(["-n", "k8s.io", "images", "tag", "peerwalk.dev/sidecar:dev", &image]);
            printed(&mut ctr)?;
        }
        for name in held {
            scene.pod_is(&client, name, "ready at last", is_ready).await?;
        }
        let tried = tokio::time::timeout(TRIED_WITHIN, trial(scene)).await.context("a pod is tried")??;
        let resumed = event(scene, "InjectionResumed").await?;
        let on = resumed.regarding.and_then(|pod| pod.name).unwrap_or_default();
        ensure!(on == tried, "on the pod that was tried, {tried}: {on}");
        scene.deploy(&[source(scene, "again")]).await?;
        ensure!(is_injected(&scene.pods(CLIENT).get("again").await?), "the sidecar is back");
        Ok(())
    })
    .await
}

/// Makes pods until one gets the sidecar.
async fn trial(scene: &Scene<'_>) -> Result<String> {
    for n in 0.. {
        let name = format!("trial-{n}");
        scene.deploy(&[source(scene, &name)]).await?;
        if is_injected(&scene.pods(CLIENT).get(&name).await?) {
            return Ok(name);
        }
        sleep(Duration::from_secs(3)).await;
    }
    bail!("no pod was tried")
}
