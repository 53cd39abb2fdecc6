//! The kubelet of the node stands still on which a server runs: containers run on, and the node is lost to the API.

use std::time::Duration;

use anyhow::Result;
use peerwalk_e2e::observer::Truth;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::Steady;

/// Longer than the 50 s after which the controllers give up a node, and its pods leave their Services; shorter than the
/// 5 minutes after which they are evicted.
const STANDS: Duration = Duration::from_secs(100);

/// What is true of a server on a node that is lost: its Service has no ready endpoints and refuses, and when it has them
/// again, data planes take a moment.
pub const LOST: [Truth; 4] = [
    ("False", "DnsTimeout"),
    ("False", "NoEndpoints"),
    ("False", "EndpointNotReady"),
    ("False", "ServiceNotProgrammed"),
];
/// The same of the target.
pub const GONE: [Truth; 4] = [
    ("Unreachable", "DnsTimeout"),
    ("Unreachable", "NoEndpoints"),
    ("Unreachable", "EndpointNotReady"),
    ("Unreachable", "ServiceNotProgrammed"),
];

pub async fn kubelet_stopped(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    // Cluster DNS may be on that node as well, and a lookup without it is what is true of every server.
    steady.expect_also(|_| true, &LOST[..1], &GONE[..1]);
    steady.expect_also(|server| server == "open", &LOST, &GONE);
    nodes.signal_program("STOP", "kubelet-n2")?;
    sleep(STANDS).await;
    nodes.signal_program("CONT", "kubelet-n2")?;
    Ok(Told::new(format!("kubelet of the node of a server stopped for {} s", STANDS.as_secs())))
}
