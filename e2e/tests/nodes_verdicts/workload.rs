//! What the sidecar is to the workload that carries it.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};
use kube::runtime::wait::{await_condition, conditions};
use peerwalk_api::ConditionStatus::Unknown;
use peerwalk_e2e::object::{self, NODE_1};
use peerwalk_e2e::scene::{CLIENT, has_succeeded, play, within};
use peerwalk_e2e::start::prompt;
use serde_json::json;
use std::time::Duration;

use crate::{apply_check, client, targets};

/// The namespace of the client enforces the restricted Pod Security Standard, so that the pod runs at all
/// shows that its sidecar fits.
#[tokio::test]
async fn the_sidecar_is_restricted_and_holds_no_api_token() -> Result<()> {
    play(async |scene| {
        scene.deploy(&[client(scene)]).await?;
        let spec = scene.pods(CLIENT).get("client").await?.spec.context("a pod has a spec")?;
        let containers = spec.init_containers.unwrap_or_default();
        let sidecar = containers.iter().find(|c| c.name == "peerwalk").context("the pod has the sidecar")?;
        let mounts = sidecar.volume_mounts.clone().unwrap_or_default();
        let volumes = spec.volumes.unwrap_or_default();
        let sources = mounts.iter().flat_map(|mount| {
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            volume.and_then(|v| v.projected.clone()).and_then(|p| p.sources).unwrap_or_default()
        });
        let audiences: Vec<_> =
            sources.filter_map(|source| source.service_account_token).map(|token| token.audience).collect();
        ensure!(
            audiences == [Some("peerwalk.dev".to_owned())],
            "expected one token, for the hub alone, in the sidecar: {audiences:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_job_completes_with_the_sidecar() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(CLIENT);
        let template = json!({ "spec": object::pod_spec(NODE_1, &["exit", "0"]) });
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "namespace": namespace, "name": "once" },
            "spec": { "template": template },
        });
        scene.apply(&[job]).await?;
        let jobs = Api::<Job>::namespaced(scene.nodes.client.clone(), &namespace);
        let done = Box::pin(await_condition(jobs, "once", conditions::is_job_completed()));
        within(Duration::from_mins(1), "the Job is complete", done).await?;
        let pods = scene.pods(CLIENT).list(&ListParams::default().labels("job-name=once")).await?.items;
        let [pod] = pods.as_slice() else { bail!("one pod did it: {}", pods.len()) };
        ensure!(has_succeeded(Some(pod)), "it ended well, with its sidecar: {:?}", pod.status);
        let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_deref());
        let ours = statuses.unwrap_or_default().iter().find(|status| status.name == "peerwalk");
        let ours = ours.and_then(|status| status.state.as_ref()?.terminated.as_ref());
        let ended = ours.context("the sidecar was in it, and has ended")?;
        ensure!(ended.exit_code == 0, "the sidecar ended well: {ended:?}");
        prompt(pod)
    })
    .await
}

#[tokio::test]
async fn missing_sources_and_sidecars_are_told() -> Result<()> {
    play(async |scene| {
        apply_check(scene, "nobody", &targets(scene, ["near"])).await?;
        scene.verdict("nobody", Unknown, "NoSourcePods").await?;
        scene.deploy(&[object::without_sidecar(client(scene))]).await?;
        scene.verdict("nobody", Unknown, "NotInjected").await?;
        Ok(())
    })
    .await
}
