//! What the sidecar itself suffers, beside an application that must not notice: it is killed, killed for its memory, and
//! has hardly any CPU.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use peerwalk_e2e::scene::CLIENT;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

const KILLS: usize = 3;
/// Between two kills.
const PAUSE: Duration = Duration::from_secs(15);
/// A kubelet waits up to 40 s before it starts a container for the fourth time.
const AGAIN_WITHIN: Duration = Duration::from_mins(2);
const STARVES: Duration = Duration::from_mins(2);
/// 1 % of a processor, in microseconds of 100 ms.
const LITTLE: &str = "1000";

pub async fn killed(steady: &Steady<'_>) -> Result<Told> {
    steady.expect_silence();
    for _ in 0..KILLS {
        steady.scene.nodes.signal_sidecar("KILL", steady.uid()?)?;
        again(steady).await?;
        sleep(PAUSE).await;
    }
    Ok(Told::new(format!("the source pod's sidecar killed (-9) {KILLS} times")))
}

pub async fn out_of_memory(steady: &Steady<'_>) -> Result<Told> {
    steady.expect_silence();
    steady.scene.nodes.exhaust_memory(steady.uid()?)?;
    again(steady).await?;
    sleep(PAUSE).await;
    let pod = steady.scene.pods(CLIENT).get("client").await?;
    let why = last_end(&pod).context("the sidecar was not started again")?;
    ensure!(why == "OOMKilled", "the sidecar ended over {why}, not for its memory");
    Ok(Told::new("the source pod's sidecar killed for its memory"))
}

pub async fn starved(steady: &Steady<'_>) -> Result<Told> {
    let (nodes, uid) = (steady.scene.nodes, steady.uid()?);
    steady.expect_silence();
    let usual = nodes.limit_cpu(uid, LITTLE)?;
    sleep(STARVES).await;
    nodes.limit_cpu(uid, &usual)?;
    Ok(Told::new(format!("1 % of a CPU for {} s, instead of {usual} µs in 100 ms", STARVES.as_secs())))
}

/// Waits until it runs again.
async fn again(steady: &Steady<'_>) -> Result<()> {
    let begun = Instant::now();
    // What was killed may take a moment to be gone.
    sleep(Duration::from_secs(1)).await;
    while steady.scene.nodes.signal_sidecar("0", steady.uid()?).is_err() {
        ensure!(begun.elapsed() < AGAIN_WITHIN, "the sidecar does not run again");
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

fn last_end(pod: &Pod) -> Option<String> {
    let mut containers = pod.status.as_ref()?.init_container_statuses.iter().flatten();
    let sidecar = containers.find(|container| container.name == "peerwalk")?;
    sidecar.last_state.as_ref()?.terminated.as_ref()?.reason.clone()
}
