//! The pods of a cluster, as selectors choose among them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use peerwalk_manifests::Cluster;
use peerwalk_netpol::{Operator, Pod, PodSet, Requirement, Selector};

/// The label that every namespace has.
const NAME: &str = "kubernetes.io/metadata.name";

/// The namespace that every cluster has, and few folders.
const SYSTEM: &str = "kube-system";

/// Pods that have not finished, and the labels of their namespaces.
pub struct Pods {
    by_namespace: BTreeMap<String, Vec<Arc<Pod>>>,
    labels: HashMap<String, BTreeMap<String, String>>,
    /// Namespaces with pods of which no more than the name was given.
    unlabelled: Vec<String>,
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
        let given: HashSet<&str> = cluster.namespaces.iter().map(|of| of.name.as_str()).collect();
        let unlabelled = by_namespace.keys().filter(|name| !given.contains(name.as_str())).cloned().collect();
        Self { by_namespace, labels, unlabelled }
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

    /// A namespace with such pods of which the selector may ask for labels that were not given.
    pub fn unsure(&self, namespaces: &Selector, pods: &Selector) -> Option<&str> {
        let (by_name, by_labels): (Vec<_>, Vec<_>) =
            namespaces.requirements.iter().partition(|requirement| requirement.key == NAME);
        if by_labels.is_empty() {
            return None;
        }
        let named = |name: &str| {
            let label = BTreeMap::from([(NAME.to_owned(), name.to_owned())]);
            by_name.iter().all(|requirement| requirement.matches(&label))
        };
        let open = |name: &&String| named(name) && self.of(name, pods).next().is_some();
        self.unlabelled.iter().find(open).map(String::as_str)
    }

    /// Whether it is certain which pods a policy of the cluster selects.
    pub fn is_sure(&self, set: &PodSet) -> bool {
        self.unsure(&set.namespaces, &set.pods).is_none()
    }

    /// Whether a selector chooses nothing but what every cluster has, and of which no pod was read.
    pub fn is_elsewhere(&self, namespaces: &Selector) -> bool {
        let system = |requirement: &Requirement| {
            requirement.key == NAME
                && requirement.operator == Operator::In
                && requirement.values.iter().eq([SYSTEM])
        };
        namespaces.requirements.iter().any(system) && !self.are_in(SYSTEM)
    }

    /// The namespaces that a selector chooses by their names alone, where none of them has pods.
    pub fn unread<'a>(&self, namespaces: &'a Selector) -> Option<Vec<&'a str>> {
        let by_name = |of: &Requirement| of.key == NAME && of.operator == Operator::In;
        if !namespaces.requirements.iter().all(by_name) {
            return None;
        }
        let names = namespaces.requirements.first()?.values.iter().map(String::as_str);
        names.map(|name| (!self.are_in(name)).then_some(name)).collect()
    }

    /// Whether a selector may choose what every cluster has, and of which no pod was read.
    pub fn goes_elsewhere(&self, namespaces: &Selector) -> bool {
        let mut of_name = namespaces.requirements.iter().filter(|requirement| requirement.key == NAME);
        let label = BTreeMap::from([(NAME.to_owned(), SYSTEM.to_owned())]);
        !self.are_in(SYSTEM) && of_name.all(|requirement| requirement.matches(&label))
    }

    /// Whether a namespace has any.
    pub fn are_in(&self, namespace: &str) -> bool {
        self.by_namespace.contains_key(namespace)
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
