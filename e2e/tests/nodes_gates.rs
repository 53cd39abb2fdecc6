//! Gates with the tools themselves: an application with a check in its chart is rolled out by Helm, `kubectl wait` waits
//! for it, and the rules of kstatus, Flux and Argo CD are held over every version that the API server stored meanwhile.
//! No gate passes on what was said of the pods of before, and none waits for ever.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerwalk_api::ConditionStatus::False;
use peerwalk_e2e::object::{self, NODE_2, to_service, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play};
use serde_json::json;
use tokio::time::Instant;

#[path = "nodes_gates/app.rs"]
mod app;
#[path = "gates/page.rs"]
mod page;
#[path = "nodes_gates/recipes.rs"]
mod recipes;
#[path = "gates/rules.rs"]
mod rules;
#[path = "gates/argocd.rs"]
mod script;
#[path = "nodes_gates/story.rs"]
mod story;

use app::{App, Release};
use rules::Gate::{Fails, Passes, Waits};
use story::Story;

/// Enough for a verdict of young pods on a busy machine.
const LONG: Duration = Duration::from_mins(3);
/// Longer than a rollout takes on a busy machine, as `progressDeadline`.
const PATIENT: &str = "5m";
/// Until a gate that cannot pass gives up.
const SHORT: Duration = Duration::from_secs(45);

/// A server that admits clients of every release but `denied`.
async fn server(scene: &Scene<'_>) -> Result<()> {
    let namespace = scene.name(SERVER);
    let from = with(
        object::in_namespace(&scene.name(CLIENT)),
        &json!({ "podSelector": { "matchExpressions": [{ "key": "release", "operator": "NotIn", "values": ["denied"] }] } }),
    );
    let admits = json!({
        "podSelector": { "matchLabels": { "app": "open" } },
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": [from] }],
    });
    scene
        .deploy(&[
            object::policy(&namespace, "no-denied-clients", &admits),
            object::pod(&namespace, "open", NODE_2, &["serve"]),
            object::service(&namespace, "open", "open", &json!(8080)),
        ])
        .await
}

/// Installs the first release, which is as it should be, and asserts what was said of it.
async fn first<'a>(scene: &'a Scene<'_>, replicas: u32, deadline: &'static str) -> Result<App<'a>> {
    server(scene).await?;
    let app = App::new(scene, deadline)?;
    let life = scene.life(&app.watched().each_ref()).await?;
    app.upgrade(&Release { name: "first", replicas, labels: json!({}) }, LONG).await?;
    let story = Story::of(&life.up_to_now().await?, 1)?;
    ensure!(story.argocd() == ["Progressing", "Healthy"], "{story:#?}");
    ensure!(story.flux() == [Waits, Passes] && story.together() == [Waits, Passes], "{story:#?}");
    ensure!(story.workflow() == [Waits, Passes], "{story:#?}");
    Ok(app)
}

/// Rolls out another release that is as good, and asserts that each gate has waited for its pods.
async fn good(scene: &Scene<'_>, replicas: u32) -> Result<()> {
    let app = first(scene, replicas, PATIENT).await?;
    let life = scene.life(&app.watched().each_ref()).await?;
    app.upgrade(&Release { name: "second", replicas, labels: json!({}) }, LONG).await?;
    let story = Story::of(&life.up_to_now().await?, 2)?;
    ensure!(story.argocd() == ["Healthy", "Progressing", "Healthy"], "{story:#?}");
    ensure!(story.flux() == [Passes, Waits, Passes], "{story:#?}");
    ensure!(story.kstatus() == [Passes, Waits, Passes], "{story:#?}");
    ensure!(story.workflow() == [Passes, Waits, Passes], "{story:#?}");
    ensure!(story.together() == [Waits, Passes], "nothing passed before the new pods were asked: {story:#?}");
    app.wait_for(app::CHECK, SHORT).await.context("what Helm waited for is there")
}

#[tokio::test]
async fn a_good_rollout_passes_once_its_own_pods_are_proven() -> Result<()> {
    play(async |scene| good(scene, 2).await).await
}

#[tokio::test]
async fn a_rollout_of_many_pods_passes_once_its_own_pods_are_proven() -> Result<()> {
    play(async |scene| good(scene, 16).await).await
}

#[tokio::test]
async fn kubectl_waits_for_the_pods_of_a_rollout() -> Result<()> {
    play(async |scene| {
        let app = first(scene, 2, PATIENT).await?;
        let life = scene.life(&app.watched().each_ref()).await?;
        app.apply(&Release { name: "second", replicas: 2, labels: json!({}) }).await?;
        app.rolled_out().await?;
        app.wait_for(app::CHECK, LONG).await?;
        let story = Story::of(&life.up_to_now().await?, 2)?;
        ensure!(story.argocd() == ["Healthy", "Progressing", "Healthy"], "{story:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rollout_that_breaks_a_dependency_passes_no_gate_until_it_is_taken_back() -> Result<()> {
    play(async |scene| {
        let app = first(scene, 2, PATIENT).await?;
        let life = scene.life(&app.watched().each_ref()).await?;
        let denied = Release { name: "denied", replicas: 2, labels: json!({}) };
        let refused = app.upgrade(&denied, SHORT).await.err().context("Helm has to give up")?;
        ensure!(format!("{refused:#}").contains("ConnectivityCheck"), "it says over what: {refused:#}");
        let late = app.wait_for(app::CHECK, Duration::from_secs(5)).await.err();
        ensure!(late.is_some(), "kubectl gives up too");
        scene.verdict(app::CHECK, False, "PolicyDenied").await?;
        let story = Story::of(&life.up_to_now().await?, 2)?;
        ensure!(story.argocd() == ["Healthy", "Progressing", "Degraded"], "{story:#?}");
        ensure!(story.flux() == [Passes, Waits, Fails], "{story:#?}");
        ensure!(story.workflow() == [Passes, Waits, Fails], "{story:#?}");
        ensure!(story.kstatus() == [Passes, Waits], "it may heal: {story:#?}");
        ensure!(story.together() == [Waits], "nothing has passed: {story:#?}");

        // The strict gate: an object made anew, as a hook makes it.
        let target = to_service(&scene.name(SERVER), "open");
        let fresh = object::check(&scene.name(CLIENT), "fresh", &[target]);
        let life = scene.life(&[&fresh]).await?;
        scene.apply(std::slice::from_ref(&fresh)).await?;
        ensure!(app.wait_for("fresh", SHORT).await.is_err(), "it has nothing from before to pass on");
        scene.verdict("fresh", False, "PolicyDenied").await?;
        let story = Story::of(&life.up_to_now().await?, 1)?;
        ensure!(story.argocd() == ["Progressing", "Degraded"], "{story:#?}");

        let life = scene.life(&app.watched().each_ref()).await?;
        app.roll_back(LONG).await?;
        let story = Story::of(&life.up_to_now().await?, 3)?;
        let healthy = story.argocd().iter().filter(|health| **health == "Healthy").count();
        ensure!(healthy == 1 && story.argocd().last() == Some(&"Healthy"), "once, at the end: {story:#?}");
        ensure!(story.together() == [Waits, Passes], "{story:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rollout_without_sidecars_is_given_up_and_not_waited_for() -> Result<()> {
    play(async |scene| {
        let app = first(scene, 2, "45s").await?;
        let life = scene.life(&app.watched().each_ref()).await?;
        let labels = json!({ "peerwalk.dev/inject": "disabled" });
        let bare = Release { name: "bare", replicas: 2, labels };
        let begun = Instant::now();
        let refused = app.upgrade(&bare, LONG).await.err().context("Helm has to give up")?;
        ensure!(format!("{refused:#}").contains("ConnectivityCheck"), "it says over what: {refused:#}");
        let story = Story::of(&life.up_to_now().await?, 2)?;
        ensure!(story.argocd() == ["Healthy", "Progressing", "Degraded"], "{story:#?}");
        ensure!(story.flux() == [Passes, Waits, Fails], "{story:#?}");
        ensure!(story.together() == [Waits, Fails], "{story:#?}");
        ensure!(story.workflow() == [Passes, Waits], "its own deadline ends it: {story:#?}");
        ensure!(begun.elapsed() < LONG, "Helm fails with the check, and not at its timeout: {refused:#}");
        Ok(())
    })
    .await
}
