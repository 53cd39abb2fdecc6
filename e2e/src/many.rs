//! A thousand pods and their sidecars beside a control plane without nodes: the pods are objects alone, and each sidecar
//! is a process of its own.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::nodes::printed;
use crate::object::unscheduled;
use crate::process::{AUDIENCE, Operator, Process};

/// The namespace of all of them.
pub const NAMESPACE: &str = "many";
/// How many there are.
pub const PODS: u32 = GROUPS * PODS_OF_A_GROUP;
/// A check takes 100 pods at most, so ten of them take all.
const GROUPS: u32 = 10;
const PODS_OF_A_GROUP: u32 = 100;
/// Requests to the API server at one time.
const AT_ONCE: usize = 32;
const WITHIN: Duration = Duration::from_mins(3);

/// Pods that run as far as the API knows, and checks that take all of them.
pub async fn pods(operator: &Operator) -> Result<Vec<Pod>> {
    let client = || operator.client.clone();
    let namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    Api::<Namespace>::all(client()).create(&PostParams::default(), &namespace).await?;
    let apply = PatchParams::apply("peerwalk-e2e").force();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    Api::<ServiceAccount>::namespaced(client(), NAMESPACE)
        .patch("default", &apply, &Patch::Apply(&account))
        .await?;
    let checks: Api<peerwalk_api::ConnectivityCheck> = Api::namespaced(client(), NAMESPACE);
    for group in 0..GROUPS {
        let name = format!("group-{group}");
        let check = json!({
            "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": {
                "source": { "podSelector": { "matchLabels": { "app": name } }, "maxPods": PODS_OF_A_GROUP },
                "interval": "1m",
                "targets": [{ "name": "self", "dns": { "name": "localhost" } }],
            },
        });
        checks.create(&PostParams::default(), &serde_json::from_value(check)?).await?;
    }
    let numbers = (0..GROUPS).flat_map(|group| (0..PODS_OF_A_GROUP).map(move |number| (group, number)));
    let made = futures::stream::iter(numbers.map(async |(group, number)| {
        let pods: Api<Pod> = Api::namespaced(operator.client.clone(), NAMESPACE);
        let name = format!("p-{group}-{number}");
        let pod = unscheduled(NAMESPACE, &name, &format!("group-{group}"));
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        let ip = format!("10.250.{group}.{}", number + 1);
        let running = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] } });
        anyhow::Ok(pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&running)).await?)
    }));
    made.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

/// A sidecar of each pod, from an address of its own, as pods have them.
pub async fn attach(operator: &Operator, pods: &[Pod]) -> Result<Vec<Process>> {
    let addresses: Vec<String> =
        (0..pods.len()).map(|number| format!("10.251.{}.{}", number / 200, number % 200 + 1)).collect();
    let lines: Vec<String> = addresses.iter().map(|a| format!("address add {a}/32 dev lo")).collect();
    let script = format!("ip -batch - <<'END'\n{}\nEND", lines.join("\n"));
    printed(Command::new("bash").args(["-c", &script])).context("addresses for the sidecars")?;
    let tokens = futures::stream::iter(pods.iter().map(|pod| operator.token(NAMESPACE, AUDIENCE, Some(pod))));
    let tokens: Vec<_> = tokens.buffered(AT_ONCE).collect().await;
    let mut sidecars = Vec::new();
    for ((pod, token), address) in pods.iter().zip(tokens).zip(&addresses) {
        sidecars.push(operator.sidecar(pod, &token?, address)?);
    }
    let attaching = futures::future::join_all(sidecars.iter_mut().map(|sidecar| sidecar.says(&["new plan"])));
    let plans = tokio::time::timeout(WITHIN, attaching).await.context("not all attach in time")?;
    let attached = plans.iter().filter(|plan| plan.is_ok()).count();
    ensure!(attached == pods.len(), "{attached} of {} sidecars attached", pods.len());
    sidecars.iter_mut().for_each(Process::nobody_listens);
    Ok(sidecars)
}
