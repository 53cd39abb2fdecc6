//! What became of the applications of a scene: none is started again, and a new one starts when it should.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, ListParams};

use crate::object::{self, NODE_1};
use crate::scene::{CLIENT, SERVER, Scene};

/// The containers of all pods of a scene, by pod and name.
#[derive(Debug)]
pub struct Workloads {
    /// The applications' own.
    applications: BTreeMap<(String, String), Run>,
    /// Pods with a sidecar.
    pub sidecars: u64,
    /// How often sidecars were started again.
    pub sidecar_restarts: i32,
    /// How often each of the operator's pods was started again.
    operators: BTreeMap<String, i32>,
}

/// What became of all that ran.
pub struct Since {
    /// Containers of applications.
    pub applications: usize,
    /// Those that are not as they were, in words.
    pub changed: Vec<String>,
    /// Pods of the operator that are not, or were started again, in words.
    pub operators: Vec<String>,
}

/// One run of a container.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    id: Option<String>,
    started: Option<i64>,
    restarts: i32,
}

impl Run {
    fn of(status: &ContainerStatus) -> Self {
        let running = status.state.as_ref().and_then(|state| state.running.as_ref());
        Self {
            id: status.container_id.clone(),
            started: running.and_then(|running| running.started_at.as_ref()).map(|at| at.0.as_second()),
            restarts: status.restart_count,
        }
    }
}

impl Workloads {
    /// As the API server has them now.
    pub async fn of(scene: &Scene<'_>) -> Result<Self> {
        let mut found = Self {
            applications: BTreeMap::new(),
            sidecars: 0,
            sidecar_restarts: 0,
            operators: BTreeMap::new(),
        };
        for role in [CLIENT, SERVER] {
            for pod in scene.pods(role).list(&ListParams::default()).await?.items {
                found.add(&pod);
            }
        }
        for pod in scene.nodes.operators().await? {
            let restarts = restarts(&pod);
            found.operators.insert(pod.metadata.name.unwrap_or_default(), restarts);
        }
        Ok(found)
    }

    fn add(&mut self, pod: &Pod) {
        // A pod that is on its way out is nobody's loss.
        let Some(status) = pod.status.as_ref().filter(|_| pod.metadata.deletion_timestamp.is_none()) else {
            return;
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        for container in status.container_statuses.iter().flatten() {
            self.applications.insert((uid.clone(), container.name.clone()), Run::of(container));
        }
        for sidecar in status.init_container_statuses.iter().flatten().filter(|c| c.name == "peerwalk") {
            self.sidecars += 1;
            self.sidecar_restarts += sidecar.restart_count;
        }
    }

    /// What became of all that ran before.
    pub fn since(&self, before: &Self) -> Since {
        let of_before = before.applications.iter().map(|(key, was)| (key, was, self.applications.get(key)));
        let changed = of_before.filter(|(_, was, now)| *now != Some(*was));
        let told = changed.map(|(key, was, now)| format!("{} of {}: {was:?} -> {now:?}", key.1, key.0));
        let operators = before.operators.iter().map(|(pod, was)| (pod, was, self.operators.get(pod)));
        let operators = operators.filter(|(_, was, now)| *now != Some(*was));
        let of_operators = operators.map(|(pod, was, now)| format!("{pod}: {was} restarts -> {now:?}"));
        Since {
            applications: before.applications.len(),
            changed: told.collect(),
            operators: of_operators.collect(),
        }
    }
}

/// How often the containers of a pod were started again.
pub fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}

/// Makes a pod that asks for a sidecar, and gives how long it took until its application ran, and whether it has the
/// sidecar. The pod is deleted.
pub async fn newcomer(scene: &Scene<'_>, name: &str) -> Result<(Duration, bool)> {
    let namespace = scene.name(CLIENT);
    let begun = Instant::now();
    scene.apply(&[object::pod(&namespace, name, NODE_1, &["pause"])]).await?;
    let runs = |pod: Option<&Pod>| {
        let mut containers = pod
            .and_then(|p| p.status.as_ref())
            .into_iter()
            .flat_map(|s| s.container_statuses.iter().flatten());
        containers.any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
    };
    let pod = scene.pod_is(&namespace, name, "at work", runs).await?;
    let took = begun.elapsed();
    let spec = pod.spec.context("a pod has a spec")?;
    let injected = spec.init_containers.iter().flatten().any(|container| container.name == "peerwalk");
    scene.pods(CLIENT).delete(name, &DeleteParams::default().grace_period(0)).await?;
    Ok((took, injected))
}
