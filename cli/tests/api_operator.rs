//! `peerwalk wait --fresh` with a real operator and a real sidecar: a check that has long been ready is walked and judged
//! anew, and the status it has of before is left alone.

#[path = "support/ask.rs"]
mod ask;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use peerwalk_api::ConnectivityCheck;
use peerwalk_e2e::object::unscheduled;
use peerwalk_e2e::process::{AUDIENCE, Operator};
use serde_json::json;

const NAMESPACE: &str = "cli-operator";
/// Where the hub's pod is taken to be.
const HUB: &str = "127.0.0.1";

#[tokio::test]
async fn a_steady_check_is_proven_anew() -> Result<()> {
    let Some(operator) = Operator::start().await? else { return Ok(()) };
    let client = operator.client.clone();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    namespaces.create(&PostParams::default(), &namespace).await?;
    // Where there are controllers, they may have been faster.
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    accounts
        .patch("default", &PatchParams::apply("peerwalk-cli-tests").force(), &Patch::Apply(&account))
        .await?;
    let checks: Api<ConnectivityCheck> = Api::namespaced(client.clone(), NAMESPACE);
    let check = json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
        "metadata": { "name": "steady", "namespace": NAMESPACE },
        "spec": {
            "source": { "podSelector": { "matchLabels": { "app": "client" } } },
            "targets": [{ "name": "self", "dns": { "name": "localhost" } }],
        },
    });
    checks.create(&PostParams::default(), &serde_json::from_value(check)?).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = serde_json::from_value(unscheduled(NAMESPACE, "client", "client"))?;
    pods.create(&PostParams::default(), &pod).await?;
    let ip = "10.244.0.9";
    let running = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] } });
    let pod = pods.patch_status("client", &PatchParams::default(), &Patch::Merge(&running)).await?;
    let token = operator.token(NAMESPACE, AUDIENCE, Some(&pod)).await?;
    let mut sidecar = operator.sidecar(&pod, &token, HUB)?;
    sidecar.says(&["new plan"]).await?;
    sidecar.nobody_listens();

    let wait = ["wait", "cli-operator/steady", "--timeout", "50s"];
    let first = ask::peerwalk(&wait).await?;
    ensure!(first.code == 0, "it becomes ready: {first:?}");
    let before = checks.get("steady").await?;
    let fresh = ask::peerwalk(&[&wait[..], &["--fresh"]].concat()).await?;
    ensure!(fresh.code == 0 && fresh.error.contains("is walked and judged as new"), "{fresh:?}");
    let after = checks.get("steady").await?;
    ensure!(before.status == after.status, "the check itself is as it was");
    let names = checks.list_metadata(&ListParams::default()).await?.items.into_iter();
    let names: Vec<String> = names.filter_map(|check| check.metadata.name).collect();
    ensure!(names == ["steady"], "the copy is gone: {names:?}");

    drop(sidecar);
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.context("cannot delete the namespace")?;
    Ok(())
}
