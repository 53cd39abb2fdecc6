//! The pods of a cluster, as selectors choose among them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use peerwalk_manifests::Cluster;
use peerwalk_netpol::{Pod, PodSet, Selector};

/// The label that every namespace has.
const NAME: &str = "kubernetes.io/metadata.name";

/// Pods that have not finished, and the labels of their namespaces.
pub struct Pods {
    by_namespace: BTreeMap<String, Vec<Arc<Pod>>>,
    labels: HashMap<String, BTreeMap<String, String>>,
}

impl Pods {
    pub fn new(cluster: &Cluster) -> Self {
        let mut by_namespace: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in cluster.workloads.iter().flat_map(|workload| &workload.pods).filter(|pod| !pod.finished) {
            by_namespace.entry(pod.namespace.clone()).or_default().push(Arc::clone(pod));
        }
        let mut labels: HashMap<String, BTreeMap<String, String>> =
            by_namespace.keys().map(|name| (name.clone(), BTreeMap::new())).collect();
        labels.extend(cluster.namespaces.iter().map(|of| (of.name.clone(), of.labels.clone())));
        for (name, labels) in &mut labels {
            labels.insert(NAME.to_owned(), name.clone());
        }
        Self { by_namespace, labels }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_namespace.values().flatten()
    }

    /// Those of a namespace that a selector selects.
    pub fn of<'a>(&'a self, namespace: &str, selector: &'a Selector) -> impl Iterator<Item = &'a Arc<Pod>> {
        let pods = self.by_namespace.get(namespace).into_iter().flatten();
        pods.filter(|pod| selector.matches(&pod.labels))
    }

    /// Those that a peer of a NetworkPolicy of a namespace selects.
    pub fn peers<'a>(
        &'a self,
        namespace: &str,
        namespaces: Option<&Selector>,
        pods: &'a Selector,
    ) -> Vec<&'a Arc<Pod>> {
        match namespaces {
            None => self.of(namespace, pods).collect(),
            Some(namespaces) => self.chosen(namespaces).flat_map(|name| self.of(name, pods)).collect(),
        }
    }

    /// Those that a policy of the cluster selects: never host-network pods.
    pub fn set<'a>(&'a self, set: &'a PodSet) -> Vec<&'a Arc<Pod>> {
        let all = self.chosen(&set.namespaces).flat_map(|name| self.of(name, &set.pods));
        all.filter(|pod| !pod.host_network).collect()
    }

    /// The namespaces that a selector selects, and that have pods or were given.
    pub fn chosen<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = &'a str> {
        let mut names: Vec<&str> = self
            .labels
            .iter()
            .filter(|(_, labels)| selector.matches(labels))
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names.into_iter()
    }
}
