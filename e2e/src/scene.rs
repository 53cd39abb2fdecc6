//! Namespaces of one test: made, filled, asked about, told about when the test fails, and removed.

use std::panic::AssertUnwindSafe;
use std::panic::resume_unwind;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DeleteParams, DynamicObject, LogParams, Patch, PatchParams};
use kube::core::{ApiResource, TypeMeta};
use kube::runtime::wait::{Condition, await_condition};
use peerwalk_api::condition::{Condition as CheckCondition, READY, find};
use peerwalk_api::{ConditionStatus, ConnectivityCheck, TargetStatus};
use serde_json::{Value, json};

use crate::nodes::{Alone, Nodes};

mod dump;
mod history;
mod life;

pub use history::History;
pub use life::Life;

/// The namespace of the checks and their source pods.
pub const CLIENT: &str = "client";
/// The namespace of what they connect to.
pub const SERVER: &str = "server";

/// How long a pod may take to be ready, images being there.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long a verdict may take. What is proven is there in 3 s; a policy counts against what young pods do after 30 s,
/// and a pod that missed the connection it was asked to watch for is asked again after 40 s.
const VERDICT_WITHIN: Duration = Duration::from_mins(2);

/// Namespaces of one test.
pub struct Scene<'a> {
    /// The cluster.
    pub nodes: &'a Nodes,
    suffix: String,
}

/// Plays a scene beside other tests. Without a cluster nothing is played.
pub async fn play(test: impl AsyncFnOnce(&Scene<'_>) -> Result<()>) -> Result<()> {
    let Some(nodes) = Nodes::connect().await? else { return Ok(()) };
    let _others = nodes.beside_others().await;
    Scene::new(&nodes).run(test).await
}

/// Plays a scene that changes what is global to the cluster.
pub async fn play_alone(test: impl AsyncFnOnce(&Scene<'_>, &Alone<'_>) -> Result<()>) -> Result<()> {
    let Some(nodes) = Nodes::connect().await? else { return Ok(()) };
    let alone = nodes.alone().await;
    Scene::new(&nodes).run(async |scene| test(scene, &alone).await).await
}

impl<'a> Scene<'a> {
    fn new(nodes: &'a Nodes) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let suffix = format!("{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { nodes, suffix }
    }

    async fn run(&self, test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let played = AssertUnwindSafe(async {
            self.namespace(CLIENT, "restricted").await?;
            self.namespace(SERVER, "privileged").await?;
            test(self).await
        });
        let ended = played.catch_unwind().await;
        if !matches!(ended, Ok(Ok(()))) {
            self.dump().await;
        }
        if std::env::var_os("PEERWALK_KEEP").is_none() {
            self.remove().await?;
        }
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The name of a namespace of this scene.
    pub fn name(&self, role: &str) -> String {
        format!("{role}-{}", self.suffix)
    }

    async fn namespace(&self, role: &str, security: &str) -> Result<()> {
        let labels = json!({
            "peerwalk.dev/inject": "enabled",
            "pod-security.kubernetes.io/enforce": security,
            "e2e": self.suffix,
        });
        let metadata = json!({ "name": self.name(role), "labels": labels });
        self.apply(&[json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })]).await?;
        // Pods are refused until the namespace has it.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.nodes.client.clone(), &self.name(role));
        let there = |account: Option<&k8s_openapi::api::core::v1::ServiceAccount>| account.is_some();
        within(
            READY_WITHIN,
            "the namespace has a ServiceAccount",
            Box::pin(await_condition(accounts, "default", there)),
        )
        .await
        .map(drop)
    }

    fn api(&self, object: &Value) -> Result<Api<DynamicObject>> {
        let types: TypeMeta = serde_json::from_value(object.clone()).context("an object has a kind")?;
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::try_from(types)?);
        let client = self.nodes.client.clone();
        Ok(match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        })
    }

    /// Applies objects, in this order.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        for object in objects {
            let name = object["metadata"]["name"].as_str().context("an object has a name")?;
            let parameters = PatchParams::apply("peerwalk-e2e").force();
            self.api(object)?
                .patch(name, &parameters, &Patch::Apply(object))
                .await
                .with_context(|| format!("cannot apply {} {name}", object["kind"]))?;
        }
        Ok(())
    }

    /// The cluster address of a Service.
    pub async fn service_address(&self, namespace: &str, name: &str) -> Result<String> {
        let services: Api<Service> = Api::namespaced(self.nodes.client.clone(), namespace);
        let service = services.get(name).await.with_context(|| format!("no Service {namespace}/{name}"))?;
        service.spec.and_then(|spec| spec.cluster_ip).context("a Service has an address")
    }

    /// Deletes an object, without waiting.
    pub async fn delete(&self, object: &Value) -> Result<()> {
        let name = object["metadata"]["name"].as_str().context("an object has a name")?;
        self.api(object)?.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The pods of a namespace of this scene.
    pub fn pods(&self, role: &str) -> Api<Pod> {
        Api::namespaced(self.nodes.client.clone(), &self.name(role))
    }

    /// Applies objects and waits until those pods among them are ready that are servers or clients.
    pub async fn deploy(&self, objects: &[Value]) -> Result<()> {
        self.apply(objects).await?;
        for pod in objects.iter().filter(|object| object["kind"] == "Pod") {
            let metadata = &pod["metadata"];
            let (Some(namespace), Some(name)) = (metadata["namespace"].as_str(), metadata["name"].as_str())
            else {
                continue;
            };
            self.pod_is(namespace, name, "ready", is_ready).await?;
        }
        Ok(())
    }

    /// Waits until a pod is as it should.
    pub async fn pod_is(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        condition: impl Condition<Pod>,
    ) -> Result<Pod> {
        let pods = Api::namespaced(self.nodes.client.clone(), namespace);
        let pod = within(
            READY_WITHIN,
            &format!("pod {namespace}/{name} is {what}"),
            Box::pin(await_condition(pods, name, condition)),
        )
        .await?;
        pod.with_context(|| format!("pod {namespace}/{name} is gone"))
    }

    /// The checks of this scene.
    pub fn checks(&self) -> Api<ConnectivityCheck> {
        Api::namespaced(self.nodes.client.clone(), &self.name(CLIENT))
    }

    /// Waits for the verdict of a check: the status and the reason of Ready.
    pub async fn verdict(
        &self,
        check: &str,
        status: ConditionStatus,
        reason: &str,
    ) -> Result<ConnectivityCheck> {
        let met = |check: Option<&ConnectivityCheck>| {
            check.and_then(ready).is_some_and(|ready| ready.status == status && ready.reason == reason)
        };
        let what = format!("check {check} is Ready={status:?} {reason}");
        let check =
            within(VERDICT_WITHIN, &what, Box::pin(await_condition(self.checks(), check, met))).await?;
        check.context("the check is gone")
    }

    /// Waits until the rows of a check's status, of its present spec, are as they should.
    pub async fn rows(
        &self,
        check: &str,
        what: &str,
        met: impl Fn(&[TargetStatus]) -> bool,
    ) -> Result<ConnectivityCheck> {
        let met = |check: Option<&ConnectivityCheck>| {
            let of_spec = check.filter(|check| ready(check).is_some());
            of_spec.and_then(|check| check.status.as_ref()).is_some_and(|status| met(&status.targets))
        };
        let what = format!("check {check} {what}");
        let check =
            within(VERDICT_WITHIN, &what, Box::pin(await_condition(self.checks(), check, met))).await?;
        check.context("the check is gone")
    }

    /// Fails when Ready of a check becomes another than this, for as long as `time`.
    pub async fn stays(
        &self,
        check: &str,
        status: ConditionStatus,
        reason: &str,
        time: Duration,
    ) -> Result<()> {
        let wrong = |ready: &CheckCondition| ready.status != status || ready.reason != reason;
        let is_wrong = |found: Option<&ConnectivityCheck>| found.and_then(ready).is_some_and(wrong);
        match tokio::time::timeout(time, Box::pin(await_condition(self.checks(), check, is_wrong))).await {
            Err(_) => Ok(()),
            Ok(found) => {
                bail!("check {check} is not as it should stay: {:?}", found?.as_ref().and_then(ready))
            }
        }
    }

    /// Everything that Ready of a check says from now on.
    pub fn history(&self, check: &str) -> History {
        History::of(self.checks(), check)
    }

    /// Every version of these objects from now on, those that are stored at this moment among them.
    pub async fn life(&self, objects: &[&Value]) -> Result<Life> {
        let named = objects.iter().map(|object| {
            let name = object["metadata"]["name"].as_str().context("an object has a name")?;
            Ok((self.api(object)?, name.to_owned(), object["kind"].clone()))
        });
        let life = Life::of(named.collect::<Result<_>>()?);
        life.begun().await?;
        Ok(life)
    }

    /// What a container of the source pods' namespace has printed.
    pub async fn log(&self, role: &str, pod: &str, container: &str) -> Result<String> {
        let parameters = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
        Ok(self.pods(role).logs(pod, &parameters).await?)
    }
}

/// The Ready condition of a check, when it is about its present spec.
pub fn ready(check: &ConnectivityCheck) -> Option<&CheckCondition> {
    let condition = find(&check.status.as_ref()?.conditions, READY)?;
    (condition.observed_generation == check.metadata.generation).then_some(condition)
}

/// The pod is ready.
pub fn is_ready(pod: Option<&Pod>) -> bool {
    let conditions = pod.and_then(|pod| pod.status.as_ref()).and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// The pod has ended well.
pub fn has_succeeded(pod: Option<&Pod>) -> bool {
    let phase = pod.and_then(|pod| pod.status.as_ref()).and_then(|status| status.phase.as_deref());
    phase == Some("Succeeded")
}

/// Waits for something, and no longer.
pub async fn within<T, E: std::error::Error + Send + Sync + 'static>(
    time: Duration,
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    tokio::time::timeout(time, future)
        .await
        .with_context(|| format!("expected within {} s: {what}", time.as_secs()))?
        .with_context(|| format!("cannot see whether {what}"))
}
