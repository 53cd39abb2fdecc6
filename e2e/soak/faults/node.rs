//! The kubelet of the node stands still on which a server runs: containers run on, and the node is lost to the API.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

/// Longer than the 50 s after which the controllers give up a node, and its pods leave their Services; shorter than the
/// 5 minutes after which they are evicted.
const STANDS: Duration = Duration::from_secs(100);

pub async fn kubelet_stopped(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    // A Service without ready endpoints refuses, and that is what is true then.
    steady.expect_of_open(
        &[("False", "NoEndpoints"), ("False", "EndpointNotReady")],
        &[("Unreachable", "NoEndpoints"), ("Unreachable", "EndpointNotReady")],
    );
    nodes.signal_program("STOP", "kubelet-n2")?;
    sleep(STANDS).await;
    nodes.signal_program("CONT", "kubelet-n2")?;
    Ok(Told::new(format!("kubelet of the node of a server stopped for {} s", STANDS.as_secs())))
}
