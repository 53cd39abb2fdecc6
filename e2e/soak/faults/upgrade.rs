//! From the version before to this one, back, and again, with all that the version before is made of: its chart, its
//! operator, and its sidecars, which go on running.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use peerwalk_e2e::counters::{Counters, DEFECTS};
use peerwalk_e2e::measure::progress;
use peerwalk_e2e::nodes::Alone;
use peerwalk_e2e::object::{self, NODE_2, with};
use peerwalk_e2e::page::{blocks, commands, section};
use peerwalk_e2e::scene::{CLIENT, Scene, play_alone};
use peerwalk_e2e::shell::Shell;
use peerwalk_e2e::workloads::Workloads;
use serde_json::json;
use tokio::time::sleep;

use crate::fault::UPGRADE;
use crate::report::{self, short_row};
use crate::steady::Steady;

/// For sidecars to come back and everything to be as it was.
const RIGHT_WITHIN: Duration = Duration::from_secs(90);
/// What is said later is not blamed on it.
const AFTERWARDS: Duration = Duration::from_mins(1);
const OLD: &str = "operator.image.tag=before,sidecar.image.tag=before";
const NEW: &str = "operator.image.tag=dev,sidecar.image.tag=dev";

/// The first console block of a section of the page.
fn page(heading: &str) -> Result<Vec<String>> {
    let section = section("operations.md", heading)?;
    let block = *blocks(&section, "console").first().context("a block of commands")?;
    Ok(commands(block).into_iter().map(|(command, _)| command.to_owned()).collect())
}

/// Takes this version away, and installs the one before where nothing is.
fn install_before(scene: &Scene<'_>, alone: &Alone<'_>, shell: &Shell, chart: &str) -> Result<()> {
    alone.changes_release();
    // The namespaces of the scene go on asking for sidecars.
    for command in page("Removing")?.iter().filter(|command| !command.starts_with("kubectl label")) {
        shell.run(command)?;
    }
    let install = format!(
        "helm install peerwalk '{chart}' --namespace peerwalk-system --create-namespace --set {OLD} --wait --timeout 2m"
    );
    shell.run(&install).context("the version before does not install")?;
    scene.nodes.await_injection()
}

/// The image of a pod's sidecar.
fn sidecar(pod: &Pod) -> Result<&str> {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let ours = init.into_iter().find(|container| container.name == "peerwalk");
    ours.and_then(|container| container.image.as_deref()).context("the pod has a sidecar")
}

/// Another source pod of all checks, with the sidecar of whoever injects now.
async fn another(scene: &Scene<'_>, name: &str, tag: &str) -> Result<()> {
    let mut pod = object::pod(&scene.name(CLIENT), name, NODE_2, &["pause"]);
    pod["metadata"]["labels"] = with(pod["metadata"]["labels"].take(), &json!({ "app": "client" }));
    scene.deploy(&[pod]).await?;
    let pod = scene.pods(CLIENT).get(name).await?;
    let image = sidecar(&pod)?;
    ensure!(image.ends_with(&format!(":{tag}")), "{name} has the sidecar {image}, expected :{tag}");
    Ok(())
}

/// One change of version: what was said of it, in words and as a count of answers that changed.
async fn change(
    steady: &Steady<'_>,
    what: &str,
    may_doubt: bool,
    run: impl FnOnce() -> Result<()>,
) -> Result<(String, usize)> {
    progress(&format!("== {what}"));
    let before = Workloads::of(steady.scene).await?;
    steady.observer.begin();
    run()?;
    let right = steady.right(RIGHT_WITHIN).await.with_context(|| format!("after: {what}"))?;
    sleep(AFTERWARDS).await;
    steady.right(Duration::ZERO).await.with_context(|| format!("a minute after: {what}"))?;
    let counts = steady.observer.counts();
    let at_work = steady.flip_once().await.with_context(|| format!("at work after: {what}"))?;
    let after = Workloads::of(steady.scene).await?;
    let since = after.since(&before);
    ensure!(since.changed.is_empty(), "{what}: {}", since.changed.join("; "));
    ensure!(counts.wrong.is_empty(), "{what}: {}", counts.wrong.join("; "));
    ensure!(may_doubt || counts.doubts == 0, "{what}: {} answers became Unknown", counts.doubts);
    let sidecars = after.sidecar_restarts - before.sidecar_restarts;
    ensure!(sidecars == 0, "{what}: {sidecars} sidecars were started again");
    let told = format!(
        "{what}: {} to Unknown, right again after {:.1} s, a policy and back {:.1} s, {} applications go on",
        counts.doubts,
        right.as_secs_f64(),
        at_work.as_secs_f64(),
        since.applications,
    );
    progress(&told);
    Ok((told, counts.changes))
}

pub async fn play(write: bool) -> Result<()> {
    let chart = env::var("PEERWALK_BEFORE").context("this runs by `cargo xtask soak`")?;
    let (mut changes, begun) = (Vec::new(), Instant::now());
    play_alone(async |scene, alone| {
        let shell = Shell::of(&scene.nodes.cluster)?;
        install_before(scene, alone, &shell, &chart)?;
        let steady = Steady::deploy(scene).await?;
        let image = sidecar(&steady.client)?;
        ensure!(image.ends_with(":before"), "the source pod has the sidecar of before: {image}");
        let upgrade = page("Upgrading")?;
        let [upgrade] = &upgrade[..] else { bail!("one command: {upgrade:?}") };
        let upgrade = format!("{upgrade} --set {NEW}");
        let helm = |command: &str| {
            shell.run(command)?;
            scene.nodes.await_injection()
        };

        changes.push(change(&steady, "upgrade, sidecars of before", false, || helm(&upgrade)).await?);
        let defects = Counters::of(scene.nodes).await?.since(&Counters::default());
        let defects: Vec<&str> = DEFECTS.into_iter().filter(|defect| defects.contains_key(*defect)).collect();
        ensure!(defects.is_empty(), "sidecars of before and this hub: {defects:?}");
        another(scene, "later", "dev").await?;
        steady.right(RIGHT_WITHIN).await.context("with sidecars of both versions")?;

        // The operator of before takes nothing over: it begins anew, and what it has not seen is Unknown to it.
        let back = "helm rollback peerwalk 1 --namespace peerwalk-system --wait --timeout 2m";
        changes.push(change(&steady, "rollback, sidecars of both", true, || helm(back)).await?);
        another(scene, "latest", "before").await?;
        steady.right(RIGHT_WITHIN).await.context("with another sidecar of before")?;
        changes.push(change(&steady, "upgrade again, sidecars of both", false, || helm(&upgrade)).await?);
        Ok(())
    })
    .await?;
    let told: Vec<&str> = changes.iter().map(|(told, _)| told.as_str()).collect();
    let changed = changes.iter().map(|(_, changed)| changed).sum();
    let row = short_row(UPGRADE, &told.join("; "), begun.elapsed(), changed, &[]);
    if write { report::write(&[row]) } else { Ok(()) }
}
