//! The main job on two real nodes: pods, policies and Services as they come, and the conditions that say of
//! them what is true.
//!
//! A scene is two namespaces, `client` with the checks and their source pods, and `server`. What a test has
//! to wait for is a condition, for a bounded time. A test that fails prints its checks with their
//! explanations, its pods and policies, and the logs; with `PEERWALK_KEEP` set, its namespaces stay.

#[path = "nodes_verdicts/denial.rs"]
mod denial;
#[path = "nodes_verdicts/dns.rs"]
mod dns;
#[path = "nodes_verdicts/endpoints.rs"]
mod endpoints;
#[path = "nodes_verdicts/policy.rs"]
mod policy;
#[path = "nodes_verdicts/route.rs"]
mod route;
#[path = "nodes_verdicts/service.rs"]
mod service;
#[path = "nodes_verdicts/workload.rs"]
mod workload;

use anyhow::{Context, Result, ensure};
use peerwalk_api::{ConnectivityCheck, TargetStatus};
use peerwalk_e2e::object::{self, NODE_1, NODE_2};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, ready};
use serde_json::{Value, json};

/// The server `app: NAME` on a node, and a Service of that name in front of it.
fn server(scene: &Scene<'_>, name: &str, node: &str) -> [Value; 2] {
    let namespace = scene.name(SERVER);
    [object::pod(&namespace, name, node, &["serve"]), object::service(&namespace, name, name, &json!(8080))]
}

/// A source pod.
fn client(scene: &Scene<'_>) -> Value {
    object::pod(&scene.name(CLIENT), "client", NODE_1, &["pause"])
}

/// A source pod, a server on its node, and one on the other node.
async fn deploy_shop(scene: &Scene<'_>) -> Result<()> {
    let mut objects = vec![client(scene)];
    objects.extend(server(scene, "near", NODE_1));
    objects.extend(server(scene, "far", NODE_2));
    scene.deploy(&objects).await
}

/// Targets of the server's namespace.
fn targets<const N: usize>(scene: &Scene<'_>, names: [&str; N]) -> [Value; N] {
    names.map(|name| object::to_service(&scene.name(SERVER), name))
}

/// Checks of these targets.
async fn apply_check(scene: &Scene<'_>, name: &str, targets: &[Value]) -> Result<()> {
    scene.apply(&[object::check(&scene.name(CLIENT), name, targets)]).await
}

/// What the status says of a target.
fn row<'a>(check: &'a ConnectivityCheck, target: &str) -> Result<&'a TargetStatus> {
    let rows = check.status.as_ref().map(|status| status.targets.as_slice()).unwrap_or_default();
    rows.iter().find(|row| row.name == target).with_context(|| format!("no row of {target} in {rows:?}"))
}

/// The message of Ready and the policy of the row name it.
fn names_policy(check: &ConnectivityCheck, target: &str, policy: (&str, &str)) -> Result<()> {
    let row = row(check, target)?;
    let named = row.policy.as_ref().map(|p| (p.namespace.as_str(), p.name.as_str()));
    ensure!(named == Some(policy), "expected the policy {policy:?} in the row: {row:?}");
    let message = ready(check).map(|ready| ready.message.as_str()).unwrap_or_default();
    ensure!(message.contains(policy.1), "expected the policy's name in the message: {message}");
    Ok(())
}
