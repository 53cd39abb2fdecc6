//! Operators are killed at random moments, any of the two, while a policy comes and goes.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use peerwalk_e2e::measure::progress;
use peerwalk_e2e::nodes::SYSTEM;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

const KILLS: usize = 20;
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
    let (killed, closings) = tokio::join!(killing, change_policies(steady, &done));
    let (killed, closings) = (killed?, closings?);
    let outages = steady.observer.outages("flips", "flip") - before;
    let mut told = Told::new(format!(
        "{KILLS} kills, {killed} of them of the leader; {closings} times closed by a policy and opened, told as {outages} outages"
    ));
    if outages != closings {
        told.wrong.push(format!("{closings} outages were told as {outages}"));
    }
    Ok(told)
}

/// Gives how many led.
async fn kill_all(steady: &Steady<'_>) -> Result<usize> {
    let nodes = steady.scene.nodes;
    let pods: Api<Pod> = Api::namespaced(nodes.client.clone(), SYSTEM);
    let mut leaders = 0;
    for number in 1..=KILLS {
        sleep(random(&PAUSE)).await;
        let found = nodes.operators().await?;
        let running = found.iter().filter(|pod| runs(pod)).collect::<Vec<_>>();
        let Some(pod) = running.get(below(running.len())) else { continue };
        let name = pod.metadata.name.clone().context("a pod has a name")?;
        let led = nodes.holder()?.is_some_and(|holder| holder == name);
        let again = restarts(pod) > 0;
        progress(&format!("kill {number} of {KILLS}: {name}{}", if led { ", which leads" } else { "" }));
        if nodes.signal_operator("KILL", &name).is_ok() {
            leaders += usize::from(led);
        }
        // A kubelet waits before it starts a container for the third time, up to minutes. Another pod starts at once.
        if again {
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        }
    }
    Ok(leaders)
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

fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}

fn below(end: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(0)).unwrap_or_default().checked_rem(end).unwrap_or_default()
}

fn random(milliseconds: &Range<u64>) -> Duration {
    let length = (milliseconds.end - milliseconds.start).max(1);
    Duration::from_millis(milliseconds.start + RandomState::new().hash_one(0) % length)
}
