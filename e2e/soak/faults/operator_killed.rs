//! Operators are killed at random moments, any of the two, while a policy comes and goes.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use peerwalk_e2e::measure::progress;
use peerwalk_e2e::nodes::SYSTEM;
use peerwalk_e2e::workloads::{newcomer, restarts};
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

const KILLS: usize = 20;
/// At a random moment there may be nobody to kill.
const ATTEMPTS: usize = 2 * KILLS;
/// Between two of them: sometimes before another could lead, sometimes when all is quiet.
const PAUSE: Range<u64> = 3_000..35_000;
/// For a policy to be told though nobody may lead for a while, again and again.
const TOLD_WITHIN: Duration = Duration::from_mins(4);
/// How long a policy stays as it is after that was told.
const STAYS: Range<u64> = 1_000..10_000;

pub async fn play(steady: &Steady<'_>) -> Result<Told> {
    let before = steady.observer.outages("flips", "flip");
    let done = tokio::sync::watch::Sender::new(false);
    let killing = async {
        let killed = kill_all(steady).await;
        done.send_replace(true);
        killed
    };
    let (killed, closings, pods) =
        tokio::join!(killing, change_policies(steady, &done), make_pods(steady, &done));
    let (killed, closings, pods) = (killed?, closings?, pods?);
    let outages = steady.observer.outages("flips", "flip") - before;
    let mut told = Told::new(format!(
        "{} kills, {} of them of the leader; {closings} times closed by a policy and opened, told as {outages} outages; \
         {} pods made meanwhile, {} of them without a sidecar",
        killed.all, killed.leaders, pods.all, pods.without
    ));
    told.started = Some(pods.slowest);
    if outages != closings {
        told.wrong.push(format!("{closings} outages were told as {outages}"));
    }
    if killed.all < KILLS {
        told.wrong.push(format!("only {} of {KILLS} kills hit", killed.all));
    }
    Ok(told)
}

/// Processes that were killed.
#[derive(Default)]
struct Killed {
    all: usize,
    leaders: usize,
}

async fn kill_all(steady: &Steady<'_>) -> Result<Killed> {
    let nodes = steady.scene.nodes;
    let pods: Api<Pod> = Api::namespaced(nodes.client.clone(), SYSTEM);
    let mut killed = Killed::default();
    for _ in 0..ATTEMPTS {
        if killed.all == KILLS {
            break;
        }
        sleep(random(&PAUSE)).await;
        let found = nodes.operators().await?;
        let running = found.iter().filter(|pod| runs(pod)).collect::<Vec<_>>();
        let Some(pod) = running.get(below(running.len())) else { continue };
        let name = pod.metadata.name.clone().context("a pod has a name")?;
        let led = nodes.holder()?.is_some_and(|holder| holder == name);
        let again = restarts(pod) > 0;
        if nodes.signal_operator("KILL", &name).is_ok() {
            killed.all += 1;
            killed.leaders += usize::from(led);
            let led = if led { ", which leads" } else { "" };
            progress(&format!("kill {} of {KILLS}: {name}{led}", killed.all));
        }
        // A kubelet waits before it starts a container for the third time, up to minutes. Another pod starts at once.
        if again {
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        }
    }
    Ok(killed)
}

/// Pods that were made.
#[derive(Default)]
struct Made {
    all: usize,
    without: usize,
    slowest: Duration,
}

/// Makes one pod after another until all is done.
async fn make_pods(steady: &Steady<'_>, done: &tokio::sync::watch::Sender<bool>) -> Result<Made> {
    let mut made = Made::default();
    while !*done.borrow() {
        let (took, injected) = newcomer(steady.scene, &format!("meanwhile-{}", made.all)).await?;
        made.all += 1;
        made.without += usize::from(!injected);
        made.slowest = made.slowest.max(took);
        sleep(random(&STAYS)).await;
    }
    Ok(made)
}

/// Closes and opens a server until all is done; gives how often.
async fn change_policies(steady: &Steady<'_>, done: &tokio::sync::watch::Sender<bool>) -> Result<usize> {
    let mut closings = 0;
    while !*done.borrow() {
        steady.close(TOLD_WITHIN).await?;
        closings += 1;
        sleep(random(&STAYS)).await;
        steady.open(TOLD_WITHIN).await?;
        sleep(random(&STAYS)).await;
    }
    Ok(closings)
}

fn runs(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.filter_map(|container| container.state.as_ref()).any(|state| state.running.is_some())
}

fn below(end: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(0)).unwrap_or_default().checked_rem(end).unwrap_or_default()
}

fn random(milliseconds: &Range<u64>) -> Duration {
    let length = (milliseconds.end - milliseconds.start).max(1);
    Duration::from_millis(milliseconds.start + RandomState::new().hash_one(0) % length)
}
