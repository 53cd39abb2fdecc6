//! When the containers of a pod with the sidecar have started, by the kubelet.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

/// From the start of our container to that of the next. The kubelet looks once a second whether ours runs, tells moments in
/// whole seconds, and takes a moment to make a container, as it would without us.
pub const NEXT_WITHIN_S: i64 = 3;

/// Our container, as JSON.
pub fn sidecar(pod: &Pod) -> Option<Value> {
    let pod = serde_json::to_value(pod).ok()?;
    let containers = pod["spec"]["initContainers"].as_array()?;
    containers.iter().find(|container| container["name"] == "peerwalk").cloned()
}

/// When a container that was never started again has started.
pub fn started(status: &ContainerStatus) -> Option<&Time> {
    let state = status.state.as_ref().filter(|_| status.restart_count == 0)?;
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    running.or_else(|| state.terminated.as_ref()?.started_at.as_ref())
}

/// When our container has started in the pod, and when that after it has, both by the kubelet.
pub fn starts(pod: &Pod) -> Option<[&Time; 2]> {
    let status = pod.status.as_ref()?;
    let mut initial = status.init_container_statuses.iter().flatten();
    let ours = initial.find(|status| status.name == "peerwalk")?;
    let next = initial.next().or_else(|| status.container_statuses.iter().flatten().next())?;
    Some([started(ours)?, started(next)?])
}

/// Holds a pod with the sidecar to its start: what comes next waits for our container to start, and for nothing else of
/// ours. A node that is busy takes longer for both, so ours is the measure.
pub fn prompt(pod: &Pod) -> Result<()> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    ensure!(sidecar(pod).is_some(), "{name} has the sidecar");
    let both = || format!("both have started, once: {:?}", pod.status);
    let [ours, next] = starts(pod).with_context(both)?.map(|time| time.0.as_second());
    let taken = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).with_context(both)?;
    let (took, later) = (ours - taken.0.as_second(), next - ours);
    ensure!(
        (0..=NEXT_WITHIN_S + took).contains(&later),
        "{name}: started {later} s after the sidecar, which took {took} s"
    );
    Ok(())
}
