//! Every record by its key, and what a change touched. No async, no client, no clock.

mod made;
mod places;
mod policies;
mod roots;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use peerwalk_api::ConnectivityCheck;
use peerwalk_netpol as netpol;

use super::decode::Kind;
use super::flow;
use super::record::{
    EndpointSlice, Named, Namespace, Node, Object, ObjectKey, Pod, Service, UnreadableCheck,
};
use made::Made;
use policies::{Policies, Policy};
use roots::carried;

/// The records of every watched kind.
#[derive(Debug, Default)]
pub struct Index {
    pods: BTreeMap<ObjectKey, Pod>,
    by_ip: BTreeMap<IpAddr, BTreeSet<ObjectKey>>,
    by_node: BTreeMap<String, BTreeSet<ObjectKey>>,
    by_hub_root: BTreeMap<String, BTreeSet<ObjectKey>>,
    made: Made,
    services: BTreeMap<ObjectKey, Service>,
    services_by_ip: BTreeMap<IpAddr, BTreeSet<ObjectKey>>,
    services_by_foreign_ip: BTreeMap<IpAddr, BTreeSet<ObjectKey>>,
    services_by_node_port: BTreeMap<u16, BTreeSet<ObjectKey>>,
    slices: BTreeMap<ObjectKey, EndpointSlice>,
    slices_of: BTreeMap<ObjectKey, BTreeSet<String>>,
    namespaces: BTreeMap<String, Namespace>,
    nodes: BTreeMap<String, Node>,
    policies: Policies,
    checks: BTreeMap<ObjectKey, ConnectivityCheck>,
    unreadable_checks: BTreeMap<ObjectKey, UnreadableCheck>,
    listed: BTreeSet<Kind>,
}

/// What a change may have touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anyone looks at.
    None,
    /// A pod: its own namespace's checks (as a source), and decisions of every pair with an end there.
    Pod(PodChange),
    /// A Service or its endpoints.
    Service(ObjectKey),
    /// An EndpointSlice went from one Service to another.
    Services(ObjectKey, ObjectKey),
    /// The labels of a namespace: decisions of every pair with an end there.
    Namespace(String),
    /// A policy that applies or applied to pods of these namespaces: decisions of every pair with an end there.
    Policy(BTreeSet<String>),
    /// A node's labels, addresses or readiness.
    Node,
    /// A check's spec, or its removal.
    Check(ObjectKey),
}

/// What changed of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodChange {
    /// Which pod.
    pub key: ObjectKey,
    /// It was not there before.
    pub new: bool,
    /// The addresses it has or had.
    pub ips: Vec<IpAddr>,
    /// It has addresses that it did not have before.
    pub addresses: bool,
    /// It has other labels or ports than before, which policies select it by.
    pub selected_by: bool,
}

impl Index {
    /// Takes in an object that was added or changed.
    pub fn apply(&mut self, object: Named<Object>) -> Change {
        let Named { key, value } = object;
        match value {
            Object::Pod(pod) => self.apply_pod(key, *pod),
            Object::Service(service) => self.apply_service(key, service),
            Object::EndpointSlice(slice) => self.apply_slice(&key, slice),
            Object::Namespace(value) => {
                let (name, labels) = (key.name.clone(), value.labels.clone());
                self.policies.index.apply(netpol::Change::Namespace(netpol::Namespace { name, labels }));
                replace(&mut self.namespaces, &key.name.clone(), value, Change::Namespace(key.name))
            }
            Object::Node(node) => {
                self.policies.index.apply_node(&key.name, Some(flow::node_of(&key.name, &node)));
                replace(&mut self.nodes, &key.name, node, Change::Node)
            }
            Object::NetworkPolicy(policy) => {
                self.set_policy(Kind::NetworkPolicy, &key, Some(&Policy::of_namespace(policy)))
            }
            Object::ClusterPolicy(kind, policy) => {
                self.set_policy(kind, &key, Some(&Policy::of_cluster(policy)))
            }
            Object::Check(Ok(check)) => {
                self.unreadable_checks.remove(&key);
                self.checks.insert(key.clone(), *check);
                Change::Check(key)
            }
            Object::Check(Err(check)) => {
                self.checks.remove(&key);
                self.unreadable_checks.insert(key.clone(), check);
                Change::Check(key)
            }
        }
    }

    /// Forgets an object that was deleted.
    pub fn delete(&mut self, kind: Kind, key: &ObjectKey) -> Change {
        match kind {
            Kind::Pod => {
                let gone = self.pods.remove(key);
                if let Some(pod) = &gone {
                    unlink(&mut self.by_ip, &pod.ips, key);
                    unlink(&mut self.by_node, &pod.node, key);
                    unlink(&mut self.by_hub_root, carried(pod), key);
                    self.made.replace(Some(pod), None);
                }
                gone.map_or(Change::None, |pod| {
                    let key = key.clone();
                    let ips = pod.ips;
                    Change::Pod(PodChange { key, new: false, ips, addresses: false, selected_by: false })
                })
            }
            Kind::Service => {
                let gone = self.services.remove(key);
                if let Some(service) = &gone {
                    self.unlink_service(service, key);
                }
                removed(gone.is_some(), Change::Service(key.clone()))
            }
            Kind::EndpointSlice => self.delete_slice(key),
            Kind::Namespace => {
                self.policies.index.remove_namespace(&key.name);
                removed(self.namespaces.remove(&key.name).is_some(), Change::Namespace(key.name.clone()))
            }
            Kind::Node => {
                self.policies.index.apply_node(&key.name, None);
                removed(self.nodes.remove(&key.name).is_some(), Change::Node)
            }
            Kind::Check => {
                let known = self.checks.remove(key).is_some() | self.unreadable_checks.remove(key).is_some();
                if known { Change::Check(key.clone()) } else { Change::None }
            }
            Kind::NetworkPolicy
            | Kind::ClusterNetworkPolicy
            | Kind::AdminNetworkPolicy
            | Kind::BaselineAdminNetworkPolicy => self.set_policy(kind, key, None),
        }
    }

    /// A list of a kind is complete: what it did not name is gone. Returns the keys to delete.
    pub fn finish_list(&mut self, kind: Kind, named: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
        self.listed.insert(kind);
        self.keys(kind).into_iter().filter(|key| !named.contains(key)).collect()
    }

    /// The keys of all objects of a kind.
    pub fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        match kind {
            Kind::Pod => self.pods.keys().cloned().collect(),
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => self.slices.keys().cloned().collect(),
            Kind::Namespace => self.namespaces.keys().map(|n| ObjectKey::new("", n)).collect(),
            Kind::Node => self.nodes.keys().map(|n| ObjectKey::new("", n)).collect(),
            Kind::Check => self.checks.keys().chain(self.unreadable_checks.keys()).cloned().collect(),
            Kind::NetworkPolicy
            | Kind::ClusterNetworkPolicy
            | Kind::AdminNetworkPolicy
            | Kind::BaselineAdminNetworkPolicy => {
                let policies = kind.policy_kind().into_iter().flat_map(|kind| self.policies.of_kind(kind));
                policies.map(|policy| ObjectKey::new(&*policy.namespace, &*policy.name)).collect()
            }
        }
    }

    /// Every required kind has been listed once. Before that nothing is judged and nothing is planned.
    pub fn complete(&self) -> bool {
        Kind::REQUIRED.iter().all(|kind| self.listed.contains(kind))
    }

    /// What becomes of a policy; `None` when it is gone.
    fn set_policy(&mut self, kind: Kind, key: &ObjectKey, policy: Option<&Policy>) -> Change {
        let Some(kind) = kind.policy_kind() else { return Change::None };
        let reference = netpol::PolicyRef {
            kind,
            namespace: key.namespace.as_str().into(),
            name: key.name.as_str().into(),
        };
        let old = self.policies.set(&reference, policy);
        if old.as_ref() == policy {
            return Change::None;
        }
        if !key.namespace.is_empty() {
            return Change::Policy([key.namespace.clone()].into());
        }
        let applies = |labels: &BTreeMap<String, String>| {
            old.iter().chain(policy).any(|policy| match policy {
                Policy::OfCluster(policy) => policy.subject.namespaces.matches(labels),
                // Of one that cannot be read nobody knows whom it applies to.
                Policy::OfNamespace(_) | Policy::Unreadable(_) => true,
            })
        };
        let namespaces = self.namespaces.iter().filter(|(_, namespace)| applies(&namespace.labels));
        Change::Policy(namespaces.map(|(name, _)| name.clone()).collect())
    }

    fn apply_pod(&mut self, key: ObjectKey, pod: Pod) -> Change {
        let old = self.pods.get(&key);
        if old == Some(&pod) {
            return Change::None;
        }
        // A pod that took the name of another is a new one.
        let same = old.filter(|old| old.id == pod.id);
        let change = PodChange {
            key: key.clone(),
            new: same.is_none(),
            ips: pod.ips.iter().chain(old.iter().flat_map(|old| &old.ips)).copied().collect(),
            addresses: !pod.ips.is_empty() && same.is_none_or(|old| old.ips != pod.ips),
            selected_by: same.is_none_or(|old| old.labels != pod.labels || old.ports != pod.ports),
        };
        if let Some(old) = old {
            unlink(&mut self.by_ip, &old.ips, &key);
            unlink(&mut self.by_node, &old.node, &key);
            unlink(&mut self.by_hub_root, carried(old), &key);
        }
        link(&mut self.by_ip, &pod.ips, &key);
        link(&mut self.by_node, &pod.node, &key);
        link(&mut self.by_hub_root, carried(&pod), &key);
        self.made.replace(old, Some(&pod));
        self.pods.insert(key, pod);
        Change::Pod(change)
    }

    fn apply_service(&mut self, key: ObjectKey, service: Service) -> Change {
        if self.services.get(&key) == Some(&service) {
            return Change::None;
        }
        if let Some(old) = self.services.remove(&key) {
            self.unlink_service(&old, &key);
        }
        link(&mut self.services_by_ip, &service.addresses, &key);
        link(&mut self.services_by_foreign_ip, &service.foreign, &key);
        link(&mut self.services_by_node_port, node_ports(&service), &key);
        self.services.insert(key.clone(), service);
        Change::Service(key)
    }

    fn unlink_service(&mut self, service: &Service, key: &ObjectKey) {
        unlink(&mut self.services_by_ip, &service.addresses, key);
        unlink(&mut self.services_by_foreign_ip, &service.foreign, key);
        unlink(&mut self.services_by_node_port, node_ports(service), key);
    }

    fn apply_slice(&mut self, key: &ObjectKey, slice: EndpointSlice) -> Change {
        let service = ObjectKey::new(&key.namespace, &slice.service);
        let old = self.slices.get(key).map(|old| ObjectKey::new(&key.namespace, &old.service));
        let moved = old.filter(|old| *old != service);
        if let Some(old) = &moved {
            self.unlink_slice(old, key);
        }
        self.slices_of.entry(service.clone()).or_default().insert(key.name.clone());
        let change =
            moved.map_or(Change::Service(service.clone()), |old| Change::Services(old, service.clone()));
        replace(&mut self.slices, key, slice, change)
    }

    fn delete_slice(&mut self, key: &ObjectKey) -> Change {
        let Some(slice) = self.slices.remove(key) else { return Change::None };
        let service = ObjectKey::new(&key.namespace, &slice.service);
        self.unlink_slice(&service, key);
        Change::Service(service)
    }

    fn unlink_slice(&mut self, service: &ObjectKey, slice: &ObjectKey) {
        if let Some(names) = self.slices_of.get_mut(service) {
            names.remove(&slice.name);
            if names.is_empty() {
                self.slices_of.remove(service);
            }
        }
    }
}

/// Reading.
impl Index {
    /// A pod.
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// The pods of a namespace, by name.
    pub fn pods_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods
            .range(ObjectKey::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, pod)| pod)
    }

    /// Every pod.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// A Service.
    pub fn service(&self, key: &ObjectKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// The EndpointSlices of a Service.
    pub fn slices(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        let names = self.slices_of.get(service);
        let namespace = service.namespace.clone();
        names
            .into_iter()
            .flatten()
            .filter_map(move |name| self.slices.get(&ObjectKey::new(namespace.clone(), name)))
    }

    /// The EndpointSlices of a namespace.
    pub fn slices_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a EndpointSlice> {
        self.slices
            .range(ObjectKey::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, slice)| slice)
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    /// A namespace.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// Every namespace.
    pub fn namespaces(&self) -> impl Iterator<Item = (&String, &Namespace)> {
        self.namespaces.iter()
    }

    /// The policies with all that they select by.
    pub fn policies(&self) -> &netpol::PolicyIndex {
        &self.policies.index
    }

    /// A check.
    pub fn check(&self, key: &ObjectKey) -> Option<&ConnectivityCheck> {
        self.checks.get(key)
    }

    /// Every check.
    pub fn checks(&self) -> impl Iterator<Item = (&ObjectKey, &ConnectivityCheck)> {
        self.checks.iter()
    }

    /// Checks that could not be read.
    pub fn unreadable_checks(&self) -> &BTreeMap<ObjectKey, UnreadableCheck> {
        &self.unreadable_checks
    }
}

fn replace<K: Ord + Clone, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    key: &K,
    value: V,
    change: Change,
) -> Change {
    if map.get(key) == Some(&value) {
        return Change::None;
    }
    map.insert(key.clone(), value);
    change
}

fn node_ports(service: &Service) -> impl Iterator<Item = &u16> {
    service.ports.iter().filter_map(|port| port.on_nodes.as_ref())
}

fn link<'a, K: Ord + Clone + 'a>(
    by: &mut BTreeMap<K, BTreeSet<ObjectKey>>,
    places: impl IntoIterator<Item = &'a K>,
    key: &ObjectKey,
) {
    for place in places {
        by.entry(place.clone()).or_default().insert(key.clone());
    }
}

fn unlink<'a, K: Ord + 'a>(
    by: &mut BTreeMap<K, BTreeSet<ObjectKey>>,
    places: impl IntoIterator<Item = &'a K>,
    key: &ObjectKey,
) {
    for place in places {
        if let Some(keys) = by.get_mut(place) {
            keys.remove(key);
            if keys.is_empty() {
                by.remove(place);
            }
        }
    }
}

fn removed(known: bool, change: Change) -> Change {
    if known { change } else { Change::None }
}

#[cfg(test)]
mod tests;
