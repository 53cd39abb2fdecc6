//! From what was read one by one to a cluster: who runs which pods, and what stands behind Services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use peerwalk_netpol::Pod;

use crate::cluster::{Cluster, Service, Workload, WorkloadName};
use crate::reader::Reader;
use crate::service::{Pods, Slice};

/// How many owners above each other are followed: a Pod's ReplicaSet, its Deployment, and one more.
const OWNERS: usize = 4;

/// A pod as it was read.
pub(crate) struct Stored {
    pub pod: Arc<Pod>,
    pub owner: Option<WorkloadName>,
    pub ready: bool,
}

/// A workload, and a pod as its template makes them.
pub(crate) struct Template {
    pub name: WorkloadName,
    pub pod: Arc<Pod>,
    /// Whether it makes several.
    pub several: bool,
}

pub(crate) fn assemble(reader: Reader, cluster: &mut Cluster) {
    let workloads = workloads(&reader);
    cluster.services = services(reader, &workloads);
    cluster.workloads = workloads.into_values().collect();
}

fn workloads(reader: &Reader) -> BTreeMap<WorkloadName, Workload> {
    let mut found: BTreeMap<WorkloadName, Workload> = BTreeMap::new();
    for stored in &reader.pods {
        let name =
            stored.owner.as_ref().map_or_else(|| itself(&stored.pod), |owner| reader.top(owner, &stored.pod));
        let pod = if reader.as_np_guard && stored.pod.finished {
            Arc::new(Pod { finished: false, ..Pod::clone(&stored.pod) })
        } else {
            Arc::clone(&stored.pod)
        };
        let new = || Workload { name: name.clone(), pods: Vec::new(), several: false };
        found.entry(name.clone()).or_insert_with(new).pods.push(pod);
    }
    // A workload's own template says more of it than that of what it made.
    let (own, made): (Vec<_>, Vec<_>) = reader
        .templates
        .iter()
        .map(|template| (reader.top(&template.name, &template.pod), template))
        .partition(|(top, template)| *top == template.name);
    for (name, template) in own.into_iter().chain(made) {
        let (pods, several) = (vec![Arc::clone(&template.pod)], template.several);
        found.entry(name.clone()).or_insert(Workload { name, pods, several });
    }
    found
}

/// A pod that nothing controls.
fn itself(pod: &Pod) -> WorkloadName {
    WorkloadName { namespace: pod.namespace.clone(), name: pod.name.clone(), kind: "Pod".to_owned() }
}

impl Reader {
    /// The uppermost owner.
    fn top(&self, owner: &WorkloadName, pod: &Pod) -> WorkloadName {
        let mut owner = owner;
        if self.as_np_guard {
            return owner.clone();
        }
        for _ in 0..OWNERS {
            let Some(above) = self.owners.get(owner) else { break };
            owner = above;
        }
        deployment(owner, pod).unwrap_or_else(|| owner.clone())
    }
}

/// The Deployment of a ReplicaSet that was not read: its name is followed by the hash that its pods have as a label.
fn deployment(owner: &WorkloadName, pod: &Pod) -> Option<WorkloadName> {
    if owner.kind != "ReplicaSet" {
        return None;
    }
    let hash = pod.labels.get("pod-template-hash")?;
    let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    Some(WorkloadName { name: name.to_owned(), kind: "Deployment".to_owned(), ..owner.clone() })
}

fn services(mut reader: Reader, workloads: &BTreeMap<WorkloadName, Workload>) -> Vec<Service> {
    if reader.services.is_empty() {
        return Vec::new();
    }
    let readiness: HashMap<(&str, &str), bool> = reader
        .pods
        .iter()
        .map(|stored| ((stored.pod.namespace.as_str(), stored.pod.name.as_str()), stored.ready))
        .collect();
    let mut pods = Pods { by_namespace: HashMap::new(), by_name: HashMap::new(), by_address: HashMap::new() };
    for pod in workloads.values().flat_map(|workload| &workload.pods) {
        let name = (pod.namespace.as_str(), pod.name.as_str());
        let ready = readiness.get(&name).copied().unwrap_or(true);
        pods.by_namespace.entry(&pod.namespace).or_default().push((pod, ready));
        pods.by_name.insert(name, pod);
        for ip in &pod.ips {
            let known = pods.by_address.entry(*ip).or_insert(pod);
            if known.finished {
                *known = pod;
            }
        }
    }
    let mut slices: HashMap<(String, String), Vec<Slice>> = HashMap::new();
    for slice in reader.slices.drain(..) {
        slices.entry(slice.of.clone()).or_default().push(slice);
    }
    let read = std::mem::take(&mut reader.services);
    let resolved = read.into_iter().map(|read| {
        let name = (read.service.namespace.clone(), read.service.name.clone());
        read.resolved(slices.get(&name).map_or(&[], Vec::as_slice), &pods)
    });
    resolved.collect()
}
