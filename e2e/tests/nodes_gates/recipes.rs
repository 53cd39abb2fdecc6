//! The recipes of `docs/gitops.md` with its own objects: a hook that is made anew at each sync, a wave, a step of Argo
//! Workflows, and the job of Argo Rollouts as its account. Each for a sync that is good and one that is not.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_e2e::nodes::printed;
use peerwalk_e2e::object::{self, NODE_1, NODE_2};
use peerwalk_e2e::scene::{CLIENT, Scene, play};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::page::{objects, only};
use super::rules::Gate::{Fails, Passes, Waits};
use super::story::Story;

/// An object of the page, in the namespace of the scene.
fn own(scene: &Scene<'_>, mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!(scene.name(CLIENT));
    object
}

/// The page's check with this annotation.
fn check(scene: &Scene<'_>, annotation: &str) -> Result<Value> {
    let pointer = format!("/metadata/annotations/argocd.argoproj.io~1{annotation}");
    let found = objects()?.into_iter().find(|object| object.pointer(&pointer).is_some());
    found.map(|object| own(scene, object)).with_context(|| format!("no check with {annotation}"))
}

fn kubectl(scene: &Scene<'_>) -> Command {
    let mut kubectl = scene.nodes.cluster.kubectl();
    kubectl.args(["--namespace", &scene.name(CLIENT)]);
    kubectl
}

/// What the checks of the page are about: pods `app: web`, and a Service `catalog` with a port `http`.
async fn shop(scene: &Scene<'_>) -> Result<()> {
    let namespace = scene.name(CLIENT);
    scene
        .deploy(&[
            object::pod(&namespace, "catalog", NODE_2, &["serve"]),
            object::service(&namespace, "catalog", "catalog", &json!(8080)),
            object::pod(&namespace, "web", NODE_1, &["pause"]),
        ])
        .await
}

/// A policy by which nobody reaches the catalog.
fn lockdown(scene: &Scene<'_>) -> Value {
    let spec = json!({ "podSelector": { "matchLabels": { "app": "catalog" } }, "policyTypes": ["Ingress"] });
    object::policy(&scene.name(CLIENT), "lockdown", &spec)
}

fn name(object: &Value) -> Result<&str> {
    object["metadata"]["name"].as_str().context("an object has a name")
}

/// One sync with a hook: the object of before is deleted (`BeforeHookCreation`), and a new one waited for until the script of
/// Argo CD gives an answer that ends the sync.
async fn sync(scene: &Scene<'_>, hook: &Value, good: bool) -> Result<Story> {
    let mut delete = kubectl(scene);
    delete.args(["delete", "connectivitycheck", name(hook)?, "--ignore-not-found"]);
    spawn_blocking(move || printed(&mut delete)).await??;
    let life = scene.life(&[hook]).await?;
    scene.apply(std::slice::from_ref(hook)).await?;
    let (status, reason) = if good { (True, "AsExpected") } else { (False, "PolicyDenied") };
    scene.verdict(name(hook)?, status, reason).await?;
    Story::of(&life.up_to_now().await?, 1)
}

#[tokio::test]
async fn a_hook_is_made_anew_at_each_sync_and_passes_on_nothing_of_before() -> Result<()> {
    play(async |scene| {
        shop(scene).await?;
        let hook = check(scene, "hook")?;
        let policy = &hook["metadata"]["annotations"]["argocd.argoproj.io/hook-delete-policy"];
        ensure!(policy == "BeforeHookCreation", "as it is synced here: {policy}");
        for again in [false, true] {
            let story = sync(scene, &hook, true).await?;
            ensure!(story.argocd() == ["Progressing", "Healthy"], "again: {again}, {story:#?}");
        }
        scene.apply(&[lockdown(scene)]).await?;
        let story = sync(scene, &hook, false).await?;
        ensure!(story.argocd() == ["Progressing", "Degraded"], "{story:#?}");
        ensure!(story.workflow() == [Waits, Fails], "{story:#?}");
        scene.delete(&lockdown(scene)).await?;
        let story = sync(scene, &hook, true).await?;
        ensure!(story.argocd().first() == Some(&"Progressing"), "{story:#?}");
        ensure!(story.argocd().last() == Some(&"Healthy"), "{story:#?}");
        Ok(())
    })
    .await
}

/// Creates the manifest of the page's step of Argo Workflows, and gives what the step made of it in the end.
async fn step(scene: &Scene<'_>, good: bool) -> Result<Story> {
    let template = only("WorkflowTemplate")?;
    let manifest = template["spec"]["templates"][0]["resource"]["manifest"].as_str().context("a manifest")?;
    let manifest = own(scene, serde_saphyr::from_str(manifest)?);
    let file = std::env::temp_dir().join(format!("peerwalk-step-{}.json", scene.name(CLIENT)));
    std::fs::write(&file, manifest.to_string()).context("cannot write a manifest")?;
    let mut create = kubectl(scene);
    create.args(["create", "--output", "jsonpath={.metadata.name}", "--filename"]).arg(&file);
    let created = spawn_blocking(move || printed(&mut create)).await?;
    std::fs::remove_file(&file).context("cannot remove a manifest")?;
    let mut made = manifest;
    made["metadata"]["name"] = json!(created?);
    let life = scene.life(&[&made]).await?;
    let (status, reason) = if good { (True, "AsExpected") } else { (False, "PolicyDenied") };
    scene.verdict(name(&made)?, status, reason).await?;
    Story::of(&life.up_to_now().await?, 1)
}

#[tokio::test]
async fn a_step_of_argo_workflows_passes_and_fails_by_its_own_manifest() -> Result<()> {
    play(async |scene| {
        shop(scene).await?;
        let story = step(scene, true).await?;
        ensure!(story.workflow().last() == Some(&Passes), "{story:#?}");
        scene.apply(&[lockdown(scene)]).await?;
        let story = step(scene, false).await?;
        ensure!(story.workflow().last() == Some(&Fails), "{story:#?}");
        ensure!(!story.workflow().contains(&Passes), "nothing of before: {story:#?}");
        Ok(())
    })
    .await
}

/// Runs the command of the page's job as the job's account.
async fn job(scene: &Scene<'_>) -> Result<()> {
    let namespace = scene.name(CLIENT);
    let template = only("AnalysisTemplate")?;
    let pod = &template["spec"]["metrics"][0]["provider"]["job"]["spec"]["template"]["spec"];
    let account = pod["serviceAccountName"].as_str().context("an account")?;
    let words = pod["containers"][0]["command"].as_array().context("a command")?;
    let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
    let words = words.context("a command is of words")?;
    ensure!(words.first() == Some(&"kubectl"), "{words:?}");
    let mut command = scene.nodes.cluster.kubectl();
    command.arg(format!("--as=system:serviceaccount:{namespace}:{account}"));
    command.args(["--as-group=system:serviceaccounts", "--as-group=system:authenticated"]);
    command.args(words.iter().skip(1).map(|word| match *word {
        "shop" => namespace.as_str(),
        // What passes does so sooner, and what does not is not waited for.
        word if word.starts_with("--timeout") => "--timeout=20s",
        word => word,
    }));
    spawn_blocking(move || printed(&mut command)).await?.map(drop)
}

#[tokio::test]
async fn a_wave_stays_and_the_job_of_argo_rollouts_waits_for_it_with_its_own_rights() -> Result<()> {
    play(async |scene| {
        shop(scene).await?;
        let wave = check(scene, "sync-wave")?;
        let life = scene.life(&[&wave]).await?;
        scene.apply(std::slice::from_ref(&wave)).await?;
        scene.verdict(name(&wave)?, True, "AsExpected").await?;

        let refused = job(scene).await.err().context("the account has no rights yet")?;
        ensure!(format!("{refused:#}").contains("orbidden"), "{refused:#}");
        for kind in ["ServiceAccount", "Role", "RoleBinding"] {
            let mut object = own(scene, only(kind)?);
            if kind == "RoleBinding" {
                object["subjects"][0]["namespace"] = json!(scene.name(CLIENT));
            }
            scene.apply(&[object]).await?;
        }
        job(scene).await.context("the page's objects are enough")?;

        scene.apply(&[lockdown(scene)]).await?;
        scene.verdict(name(&wave)?, False, "PolicyDenied").await?;
        let refused = job(scene).await.err().context("it has to fail")?;
        ensure!(format!("{refused:#}").contains("timed out"), "over the check alone: {refused:#}");
        let story = Story::of(&life.up_to_now().await?, 1)?;
        ensure!(story.argocd() == ["Progressing", "Healthy", "Degraded"], "{story:#?}");
        Ok(())
    })
    .await
}
