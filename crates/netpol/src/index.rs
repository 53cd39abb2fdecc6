//! The policies and namespaces of a cluster, arranged for questions.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{NAMESPACE_NAME_LABEL, Namespace, Node, Pod};
use crate::cluster_policy::{ClusterPolicy, Tier};
use crate::matrix::Change;
use crate::policy::{Policy, PolicyKind, PolicyRef};

/// The policies and namespaces of a cluster at one moment. A clone is one reference count, and stays as it is whatever
/// becomes of the other.
///
/// Policies are kept by namespace, so a question touches only those that can select the pod, and a change of one object
/// those beside it.
#[derive(Clone, Debug, Default)]
pub struct PolicyIndex(Arc<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    /// By namespace, ordered by name, so that an explanation does not depend on the order of input.
    policies: HashMap<Arc<str>, Vec<Arc<Policy>>>,
    /// Labels by namespace.
    namespaces: HashMap<String, BTreeMap<String, String>>,
    unreadable: BTreeSet<PolicyRef>,
    /// In the order of evaluation.
    of_cluster: Vec<Arc<ClusterPolicy>>,
    nodes: HashMap<String, Arc<Node>>,
    nodes_by_address: HashMap<IpAddr, Arc<Node>>,
}

impl Inner {
    fn add_node(&mut self, node: Arc<Node>) {
        for address in &node.addresses {
            self.nodes_by_address.insert(address.to_canonical(), Arc::clone(&node));
        }
        self.nodes.insert(node.name.clone(), node);
    }
}

impl PolicyIndex {
    /// Arranges them. `kubernetes.io/metadata.name` is added to every namespace; a namespace that is not
    /// given is read as having this label alone, and what hangs on others carries
    /// [`Caveat::UnknownNamespace`](crate::Caveat::UnknownNamespace). Of two policies with one name, the last counts.
    pub fn new(
        namespaces: impl IntoIterator<Item = Namespace>,
        policies: impl IntoIterator<Item = Arc<Policy>>,
    ) -> Self {
        let namespaces = namespaces.into_iter().map(|mut namespace| {
            namespace.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), namespace.name.clone());
            (namespace.name, namespace.labels)
        });
        let mut by_name = BTreeMap::new();
        for policy in policies {
            by_name.insert(policy.reference.clone(), policy);
        }
        let mut by_namespace: HashMap<Arc<str>, Vec<Arc<Policy>>> = HashMap::new();
        for (reference, policy) in by_name {
            by_namespace.entry(reference.namespace).or_default().push(policy);
        }
        Self(Arc::new(Inner { policies: by_namespace, namespaces: namespaces.collect(), ..Inner::default() }))
    }

    /// The same, with policies of the cluster. Of two of one kind and name, the last counts.
    pub fn with_cluster_policies(self, policies: impl IntoIterator<Item = Arc<ClusterPolicy>>) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        let given = policies.into_iter().map(|policy| (policy.reference.clone(), policy));
        let by_name: BTreeMap<PolicyRef, Arc<ClusterPolicy>> = given.collect();
        inner.of_cluster = by_name.into_values().collect();
        inner.of_cluster.sort_by(|a, b| a.order().cmp(&b.order()));
        Self(Arc::new(inner))
    }

    /// The same, with nodes: what `nodes` of policies of the cluster say of host-network pods.
    pub fn with_nodes(self, nodes: impl IntoIterator<Item = Arc<Node>>) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        for node in nodes {
            inner.add_node(node);
        }
        Self(Arc::new(inner))
    }

    /// The node of a host-network pod: by its name, else by an address of the pod.
    pub fn node_of(&self, pod: &Pod) -> Option<&Arc<Node>> {
        let named = pod.node.as_ref().and_then(|name| self.0.nodes.get(name));
        named.or_else(|| pod.ips.iter().find_map(|ip| self.0.nodes_by_address.get(&ip.to_canonical())))
    }

    /// The policies of the cluster of a tier, in the order of evaluation.
    pub fn cluster_policies(&self, tier: Tier) -> impl Iterator<Item = &Arc<ClusterPolicy>> {
        self.0.of_cluster.iter().filter(move |policy| policy.tier == tier)
    }

    /// The same, with policies that exist but could not be read (see `lower`). What they say is unknown, so
    /// every decision about a pod of their namespaces (of any namespace, for a policy of the cluster) that they could
    /// turn carries [`Caveat::UnreadablePolicy`](crate::Caveat::UnreadablePolicy).
    pub fn with_unreadable(self, policies: impl IntoIterator<Item = PolicyRef>) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.unreadable.extend(policies);
        Self(Arc::new(inner))
    }

    /// Takes in what became of one object. Pods are none of this index's.
    pub fn apply(&mut self, change: Change) {
        let inner = Arc::make_mut(&mut self.0);
        match change {
            Change::Policy(reference, policy) => {
                inner.unreadable.remove(&reference);
                let policies = inner.policies.entry(Arc::clone(&reference.namespace)).or_default();
                match (policies.binary_search_by(|known| known.reference.cmp(&reference)), policy) {
                    (Ok(place), Some(policy)) => policies[place] = policy,
                    (Ok(place), None) => drop(policies.remove(place)),
                    (Err(place), Some(policy)) => policies.insert(place, policy),
                    (Err(_), None) => {}
                }
                if policies.is_empty() {
                    inner.policies.remove(&reference.namespace);
                }
            }
            Change::ClusterPolicy(reference, policy) => {
                inner.unreadable.remove(&reference);
                inner.of_cluster.retain(|known| known.reference != reference);
                if let Some(policy) = policy {
                    let place = inner.of_cluster.partition_point(|known| known.order() < policy.order());
                    inner.of_cluster.insert(place, policy);
                }
            }
            Change::Namespace(Namespace { name, mut labels }) => {
                labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
                inner.namespaces.insert(name, labels);
            }
            Change::Pod { .. } => {}
        }
    }

    /// Takes in that a namespace is gone: its labels are not known any more.
    pub fn remove_namespace(&mut self, name: &str) {
        Arc::make_mut(&mut self.0).namespaces.remove(name);
    }

    /// Takes in that a policy exists and cannot be read; what it said before counts no more. See
    /// [`with_unreadable`](Self::with_unreadable).
    pub fn apply_unreadable(&mut self, policy: PolicyRef) {
        self.apply(match policy.kind {
            PolicyKind::NetworkPolicy => Change::Policy(policy.clone(), None),
            _ => Change::ClusterPolicy(policy.clone(), None),
        });
        Arc::make_mut(&mut self.0).unreadable.insert(policy);
    }

    /// Takes in what became of a node, `None` when it is gone.
    pub fn apply_node(&mut self, name: &str, node: Option<Arc<Node>>) {
        let inner = Arc::make_mut(&mut self.0);
        if let Some(known) = inner.nodes.remove(name) {
            for address in known.addresses.iter().map(IpAddr::to_canonical) {
                // Another node may have taken it over.
                if inner.nodes_by_address.get(&address).is_some_and(|node| node.name == name) {
                    inner.nodes_by_address.remove(&address);
                }
            }
        }
        if let Some(node) = node {
            inner.add_node(node);
        }
    }

    /// The policies of a namespace, ordered by name.
    pub fn policies(&self, namespace: &str) -> &[Arc<Policy>] {
        self.0.policies.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The policies of a namespace that could not be read; with an empty namespace, those of the cluster.
    pub fn unreadable<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a PolicyRef> + 'a {
        self.0.unreadable.iter().filter(move |policy| *policy.namespace == *namespace)
    }

    /// Whether the labels of a namespace are known.
    pub(crate) fn is_namespace_given(&self, namespace: &str) -> bool {
        self.0.namespaces.contains_key(namespace)
    }

    /// The labels of a namespace.
    pub(crate) fn namespace_labels(&self, namespace: &str) -> Cow<'_, BTreeMap<String, String>> {
        self.0.namespaces.get(namespace).map_or_else(
            || Cow::Owned(BTreeMap::from([(NAMESPACE_NAME_LABEL.to_owned(), namespace.to_owned())])),
            Cow::Borrowed,
        )
    }
}
