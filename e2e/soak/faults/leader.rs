//! The leader stands still past its Lease and goes on.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use peerwalk_e2e::workloads::newcomer;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

/// A lease and the looks at it, on a machine that is busy.
const TAKEN_WITHIN: Duration = Duration::from_secs(40);
const FLIP_WITHIN: Duration = Duration::from_mins(2);

pub async fn paused(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    let before = nodes.leader()?;
    nodes.signal_operator("STOP", &before)?;
    let meanwhile = async {
        let begun = Instant::now();
        while nodes.holder()?.is_none_or(|holder| holder == before) {
            ensure!(begun.elapsed() < TAKEN_WITHIN, "{before} leads after {TAKEN_WITHIN:?}");
            sleep(Duration::from_millis(500)).await;
        }
        let taken = begun.elapsed();
        // What the paused one would still write is not so any more.
        steady.close(FLIP_WITHIN).await?;
        let started = newcomer(steady.scene, "meanwhile").await?;
        Ok((taken, started))
    };
    let meanwhile = meanwhile.await;
    // The kubelet may have started it anew, as it did not answer.
    let resumed = nodes.signal_operator("CONT", &before).is_ok();
    let (taken, (started, _)) = meanwhile?;
    steady.open(FLIP_WITHIN).await?;
    let how = if resumed { "resumed" } else { "started anew by the kubelet before it could be resumed" };
    let what = format!("another led after {:.1} s; the paused one was {how}", taken.as_secs_f64());
    Ok(Told { started: Some(started), ..Told::new(what) })
}
