//! The API server and etcd are away for a minute: once they hang, and once they have ended and refuse connections.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

const AWAY: Duration = Duration::from_mins(1);
/// For the API server to answer again.
const BACK_WITHIN: u64 = 60;

pub async fn paused(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    nodes.signal_api("STOP")?;
    sleep(AWAY).await;
    nodes.signal_api("CONT")?;
    back(steady).await?;
    Ok(Told::new("API server and etcd hang for a minute (SIGSTOP)"))
}

pub async fn killed(steady: &Steady<'_>) -> Result<Told> {
    let restart = steady.scene.nodes.kill_api()?;
    sleep(AWAY).await;
    restart.start()?;
    back(steady).await?;
    Ok(Told::new("API server and etcd killed (-9), and started again after a minute"))
}

async fn back(steady: &Steady<'_>) -> Result<()> {
    for _ in 0..BACK_WITHIN {
        let mut ready = steady.scene.nodes.cluster.kubectl();
        let answers = ready.args(["get", "--raw", "/readyz", "--request-timeout=2s"]).output();
        if answers.is_ok_and(|answer| answer.status.success()) {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
    None.context("the API server does not answer again")
}
