//! What makes pods in a namespace, and for how many that are still to come a quota needs room.
//!
//! A sidecar takes room from pods that come later. Those that are wanted already must find it, so it is kept for them,
//! as much as they take without sidecars.

use serde_json::{Value, json};

use super::rules::NamespaceRules;

/// What makes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// Of a Deployment, or of a Rollout of Argo Rollouts.
    ReplicaSet,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A Job.
    Job,
}

/// An object that makes pods, as far as quotas count these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    wanted: u32,
    /// A pod of its template, with what sizes and scopes are read from, as JSON: there are many, and few are looked at.
    pod: Box<str>,
}

impl Workload {
    /// Reads an object of this kind; nothing where it wants no pods.
    pub fn read(kind: WorkloadKind, object: &Value) -> Option<Self> {
        let wanted = wanted(kind, &object["spec"], &object["status"]);
        let spec = &object["spec"]["template"]["spec"];
        let sizes = |list: &str| -> Vec<Value> {
            let all = spec[list].as_array().into_iter().flatten();
            let size =
                |one: &Value| json!({"resources": one["resources"], "restartPolicy": one["restartPolicy"]});
            all.map(size).collect()
        };
        let pod = json!({"spec": {
            "containers": sizes("containers"), "initContainers": sizes("initContainers"),
            "overhead": spec["overhead"], "priorityClassName": spec["priorityClassName"],
            "activeDeadlineSeconds": spec["activeDeadlineSeconds"],
        }});
        (wanted > 0).then(|| Self { kind, wanted, pod: pod.to_string().into() })
    }
}

/// How many pods are wanted at a time.
fn wanted(kind: WorkloadKind, spec: &Value, status: &Value) -> u32 {
    let number =
        |value: &Value, default: u64| u32::try_from(value.as_u64().unwrap_or(default)).unwrap_or(u32::MAX);
    match kind {
        WorkloadKind::ReplicaSet | WorkloadKind::StatefulSet => number(&spec["replicas"], 1),
        WorkloadKind::DaemonSet => number(&status["desiredNumberScheduled"], 0),
        WorkloadKind::Job => {
            let mut ends = status["conditions"].as_array().into_iter().flatten();
            let over =
                |c: &Value| (c["type"] == "Complete" || c["type"] == "Failed") && c["status"] == "True";
            if spec["suspend"] == true || ends.any(over) {
                return 0;
            }
            let succeeded = number(&status["succeeded"], 0);
            let left = spec["completions"].as_u64().map_or(u32::MAX, |_| number(&spec["completions"], 1));
            number(&spec["parallelism"], 1).min(left.saturating_sub(succeeded))
        }
    }
}

/// Pods that are still to come.
#[derive(Debug)]
pub(super) struct ToCome {
    /// How many like this one; or whose number is not known yet.
    pub(super) alike: Result<u32, String>,
    /// How many of other kinds: the number, and one of them.
    pub(super) others: Vec<(u32, Value)>,
}

impl ToCome {
    /// After this pod. Of its own kind, those its owner still wants and a quarter of all that it wants, rounded up, as a
    /// Deployment has more by default while it rolls out; one more where nothing that is watched owns it.
    pub(super) fn after(pod: &Value, rules: &NamespaceRules) -> Self {
        let owner = controller(pod);
        let uid = owner.and_then(|owner| owner["uid"].as_str());
        let missing = |uid: &str, workload: &Workload| {
            workload.wanted.saturating_sub(rules.made.get(uid).copied().unwrap_or(0))
        };
        let alike = match uid.and_then(|uid| Some((uid, rules.workloads.get(uid)?))) {
            Some((uid, own)) => {
                Ok(missing(uid, own).saturating_sub(1).saturating_add(own.wanted.div_ceil(4)))
            }
            // Heard of by the one who makes the pod before it was heard of here.
            None => owner.and_then(watched).map_or(Ok(1), Err),
        };
        let others = rules.workloads.iter().filter(|(other, _)| Some(other.as_str()) != uid);
        let others = others.map(|(uid, other)| (missing(uid, other), other));
        let others = others.filter(|(missing, _)| *missing > 0);
        // What was written here is read again.
        let read = |other: &Workload| serde_json::from_str(&other.pod).unwrap_or_default();
        Self { alike, others: others.map(|(missing, other)| (missing, read(other))).collect() }
    }
}

fn controller(pod: &Value) -> Option<&Value> {
    let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.find(|owner| owner["controller"] == true)
}

/// The uid of what makes the pod, where that is worth waiting for: of a kind we watch, and not a DaemonSet, which tells
/// how many pods it wants only after it made some.
pub(crate) fn maker(pod: &Value) -> Option<&str> {
    let told = |owner: &&Value| watched(owner).is_some() && owner["kind"] != "DaemonSet";
    controller(pod).filter(told)?["uid"].as_str()
}

/// Kind and name of an owner that is of a kind we watch.
fn watched(owner: &Value) -> Option<String> {
    let [group, kind, name] =
        ["apiVersion", "kind", "name"].map(|field| owner[field].as_str().unwrap_or_default());
    let known = matches!(
        (group, kind),
        ("apps/v1", "ReplicaSet" | "StatefulSet" | "DaemonSet") | ("batch/v1", "Job")
    );
    known.then(|| format!("{kind} {name}"))
}
