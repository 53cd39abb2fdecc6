//! The authorities change under running sidecars: both are rotated on demand, and then their Secret is deleted.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use peerwalk_e2e::nodes::{Nodes, SYSTEM, printed};
use peerwalk_e2e::workloads::newcomer;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

const SECRET: &str = "peerwalk-ca";
const ANNOTATIONS: [&str; 2] = ["peerwalk.dev/rotate-hub-root", "peerwalk.dev/rotate-webhook-ca"];
/// The operator looks once a minute; each authority takes a step, and the webhook's waits until the API server knows.
const DONE_WITHIN: Duration = Duration::from_mins(4);
const LOOK: Duration = Duration::from_secs(1);

pub async fn rotated(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    let before = secret(nodes, "{.metadata.uid}")?;
    let annotate = ANNOTATIONS.map(|annotation| format!("{annotation}=now"));
    printed(nodes.cluster.kubectl().args(["-n", SYSTEM, "annotate", "secret", SECRET]).args(annotate))?;
    let rotated = until(|| {
        let left = secret(nodes, "{.metadata.annotations}")?;
        Ok(ANNOTATIONS.iter().all(|annotation| !left.contains(annotation)))
    });
    let rotated = rotated.await?;
    let (started, injected) = newcomer(steady.scene, "meanwhile").await?;
    ensure!(injected, "a pod made after the rotation has no sidecar");
    printed(nodes.cluster.kubectl().args(["-n", SYSTEM, "delete", "secret", SECRET]))?;
    let back = until(|| {
        let now = secret(nodes, "{.metadata.uid}")?;
        Ok(!now.is_empty() && now != before)
    });
    let back = back.await?;
    let what = format!(
        "hub root and webhook CA rotated within {:.0} s; their Secret deleted, and back after {:.0} s",
        rotated.as_secs_f64(),
        back.as_secs_f64()
    );
    Ok(Told { started: Some(started), ..Told::new(what) })
}

fn secret(nodes: &Nodes, path: &str) -> Result<String> {
    let format = format!("jsonpath={path}");
    printed(nodes.cluster.kubectl().args([
        "-n",
        SYSTEM,
        "get",
        "secret",
        SECRET,
        "--ignore-not-found",
        "-o",
        &format,
    ]))
}

async fn until(so: impl Fn() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while !so()? {
        ensure!(
            begun.elapsed() < DONE_WITHIN,
            "the certificates are not as they should after {DONE_WITHIN:?}"
        );
        sleep(LOOK).await;
    }
    Ok(begun.elapsed())
}
