//! The ends of connections inside the cluster, each at a place on a line: pods that selectors cannot tell apart stand side
//! by side, and namespaces as well, so that sets of ends are few intervals.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_model::Protocol;

use super::Objects;
use super::words::{Label, Labelled, Query, Words};
use crate::cluster::{NAMESPACE_NAME_LABEL, Namespace, Node, Pod};
use crate::profile::{HostNetwork, NamedPorts, Profile};
use crate::span::{self, Span};

/// Where the half of the line begins that holds host-network pods and nodes.
pub(super) const HOSTS: u32 = 1 << 31;
/// All other pods, those to come as well.
pub(super) const PODS: Span<u32> = (0, HOSTS - 1);

/// A place on the line: a pod or a node at one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(pub(super) u32);

/// A pod or a node at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose place it is.
    pub owner: Owner,
    /// The address; `None` for a pod that has none yet, or is only a template. No block holds it.
    pub ip: Option<IpAddr>,
    /// What selectors see of it; `None` for nodes and host-network pods that count as their nodes.
    pub(super) class: Option<u32>,
}

/// Whose place it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A pod; a host-network pod too.
    Pod(Arc<Pod>),
    /// A node itself.
    Node(Arc<Node>),
}

impl Member {
    /// The pod, if it is one.
    pub fn as_pod(&self) -> Option<&Arc<Pod>> {
        match &self.owner {
            Owner::Pod(pod) => Some(pod),
            Owner::Node(_) => None,
        }
    }

    /// Whether both are places of one pod.
    pub fn is_same_pod(&self, other: &Self) -> bool {
        match (&self.owner, &other.owner) {
            (Owner::Pod(one), Owner::Pod(other)) => one.is_same(other),
            _ => false,
        }
    }
}

/// Pods that selectors and named ports cannot tell apart.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub namespace: u32,
    /// Host-network pods that count as pods.
    pub host: bool,
    pub named: Box<[Named]>,
    /// Their places.
    pub spans: Vec<Span<u32>>,
}

/// What makes a class within its namespace.
type Key = (Box<[Label]>, Box<[Named]>, bool);

/// A named port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named {
    pub name: u32,
    pub protocol: Protocol,
    pub number: u16,
}

/// The classes of a namespace, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Of {
    pub classes: Vec<u32>,
}

/// The line, and what is asked of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    pub profile: Profile,
    pub words: Words,
    pub namespaces: Vec<Of>,
    namespace_numbers: HashMap<Arc<str>, u32>,
    pub namespace_labels: Labelled,
    pub classes: Vec<Class>,
    pub class_labels: Labelled,
    /// Classes with a port of this name.
    pub naming: HashMap<u32, Vec<u32>>,
    pods: Vec<Option<Member>>,
    hosts: Vec<Option<Member>>,
    /// Addresses of pods.
    pub of_pods: Addresses,
    /// Addresses of nodes and of host-network pods that count as their nodes.
    pub of_nodes: Addresses,
    pub nodes: HashMap<String, Arc<Node>>,
}

/// Who has which address, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    pub v4: Vec<(u32, u32)>,
    pub v6: Vec<(u128, u32)>,
}

impl Addresses {
    fn push(&mut self, ip: Option<IpAddr>, place: u32) {
        match ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => self.v4.push((ip.into(), place)),
            Some(IpAddr::V6(ip)) => self.v6.push((ip.into(), place)),
            None => {}
        }
    }

    fn sort(&mut self) {
        self.v4.sort_unstable();
        self.v6.sort_unstable();
    }

    fn remove(&mut self, place: u32) {
        self.v4.retain(|entry| entry.1 != place);
        self.v6.retain(|entry| entry.1 != place);
    }
}

impl Ends {
    pub fn new(objects: &Objects, profile: Profile) -> Self {
        let mut ends = Self { profile, ..Self::default() };
        for node in &objects.nodes {
            ends.nodes.insert(node.name.clone(), Arc::clone(node));
        }
        let mut names: Vec<&str> =
            objects.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
        names.extend(objects.pods.iter().map(|pod| pod.namespace.as_str()));
        names.extend(objects.policies.iter().map(|policy| &*policy.reference.namespace));
        names.sort_unstable();
        names.dedup();
        for name in names {
            ends.namespace(name);
        }
        for namespace in &objects.namespaces {
            ends.set_labels(namespace);
        }
        let mut by_namespace: Vec<Vec<&Arc<Pod>>> = vec![Vec::new(); ends.namespaces.len()];
        for pod in objects.pods.iter().filter(|pod| !pod.finished) {
            if let Some(place) = ends.find_namespace(&pod.namespace) {
                by_namespace[place as usize].push(pod);
            }
        }
        for (namespace, pods) in (0..).zip(&by_namespace) {
            let mut known: HashMap<Key, Vec<&Arc<Pod>>> = HashMap::new();
            let mut order = Vec::new();
            for pod in pods {
                if !ends.has_class(pod) {
                    ends.place(pod, None);
                    continue;
                }
                let key = (ends.words.labels(&pod.labels), ends.named(pod), pod.host_network);
                let members = known.entry(key).or_insert_with_key(|key| {
                    order.push(key.clone());
                    Vec::new()
                });
                members.push(pod);
            }
            for key in order {
                let members = known.remove(&key).unwrap_or_default();
                let class = ends.new_class(namespace, key);
                for pod in members {
                    ends.place(pod, Some(class));
                }
            }
        }
        for node in &objects.nodes {
            ends.place_node(node);
        }
        ends.of_pods.sort();
        ends.of_nodes.sort();
        ends
    }

    /// Whether selectors of NetworkPolicies see a pod, and blocks see it as a pod.
    fn has_class(&self, pod: &Pod) -> bool {
        !pod.host_network || self.profile.host_network.is_peer()
    }

    /// Whether NetworkPolicies apply to a class of host-network pods.
    pub fn are_hosts_subjects(&self) -> bool {
        self.profile.host_network.is_subject()
    }

    /// Whether policies of the cluster see host-network pods.
    pub fn does_cluster_see_hosts(&self) -> bool {
        self.profile.host_network == HostNetwork::Ignored
    }

    /// The places that are "all pods of all namespaces" to a NetworkPolicy.
    pub fn everywhere(&self) -> Vec<Span<u32>> {
        let as_pods =
            self.profile.host_network.is_peer() || self.profile.host_network == HostNetwork::InEveryNamespace;
        let hosts = self.hosts().filter(|(_, member)| as_pods && member.as_pod().is_some());
        let hosts = span::of_values(hosts.map(|(place, _)| place));
        std::iter::once(PODS).chain(hosts).collect()
    }

    /// The node of a host-network pod: by its name, else by an address of the pod.
    pub fn node_of(&self, pod: &Pod) -> Option<&Arc<Node>> {
        let named = pod.node.as_ref().and_then(|name| self.nodes.get(name));
        named.or_else(|| {
            let canonical = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_canonical).collect::<Vec<_>>();
            let ips = canonical(&pod.ips);
            self.nodes.values().find(|node| canonical(&node.addresses).iter().any(|ip| ips.contains(ip)))
        })
    }

    pub fn find_namespace(&self, name: &str) -> Option<u32> {
        self.namespace_numbers.get(name).copied()
    }

    /// The number of a namespace, known before or not.
    pub fn namespace(&mut self, name: &str) -> u32 {
        if let Some(number) = self.namespace_numbers.get(name) {
            return *number;
        }
        let name: Arc<str> = name.into();
        let label = (self.words.number(NAMESPACE_NAME_LABEL), self.words.number(&name));
        let number = self.namespace_labels.push([label].into());
        self.namespaces.push(Of::default());
        self.namespace_numbers.insert(name, number);
        number
    }

    /// Gives a namespace these labels, and the one that it always has.
    pub fn set_labels(&mut self, namespace: &Namespace) -> u32 {
        let number = self.namespace(&namespace.name);
        let name = (self.words.number(NAMESPACE_NAME_LABEL), self.words.number(&namespace.name));
        let mut labels = self.words.labels(&namespace.labels).into_vec();
        labels.retain(|label| label.0 != name.0);
        labels.insert(labels.partition_point(|label| *label < name), name);
        self.namespace_labels.replace(number, labels.into());
        number
    }

    /// The named ports that the profile reads.
    fn named(&mut self, pod: &Pod) -> Box<[Named]> {
        let mut found: Vec<Named> = Vec::with_capacity(pod.named_ports.len());
        for port in &pod.named_ports {
            let name = self.words.number(&port.name);
            let again = found.iter().any(|known| known.name == name);
            if (port.init && !self.profile.init_container_ports)
                || (again && self.profile.named_ports == NamedPorts::First)
            {
                continue;
            }
            found.push(Named { name, protocol: port.protocol, number: port.number });
        }
        found.into()
    }

    fn new_class(&mut self, namespace: u32, key: Key) -> u32 {
        let (labels, named, host) = key;
        let number = self.class_labels.push(labels);
        for port in &named {
            let naming = self.naming.entry(port.name).or_default();
            if naming.last() != Some(&number) {
                naming.push(number);
            }
        }
        self.classes.push(Class { namespace, host, named, spans: Vec::new() });
        self.namespaces[namespace as usize].classes.push(number);
        number
    }

    fn place(&mut self, pod: &Arc<Pod>, class: Option<u32>) {
        let of_pods = class.is_some();
        let ips = pod.ips.iter().map(|ip| Some(*ip));
        let none = pod.ips.is_empty().then_some(None);
        for ip in ips.chain(none) {
            let member = Member { owner: Owner::Pod(Arc::clone(pod)), ip, class };
            let place = if pod.host_network {
                push(&mut self.hosts, HOSTS, member)
            } else {
                push(&mut self.pods, 0, member)
            };
            let addresses = if of_pods { &mut self.of_pods } else { &mut self.of_nodes };
            addresses.push(ip, place);
            if let Some(class) = class.and_then(|class| self.classes.get_mut(class as usize)) {
                match class.spans.last_mut() {
                    Some(last) if last.1 + 1 == place => last.1 = place,
                    _ => class.spans.push((place, place)),
                }
            }
        }
    }

    fn place_node(&mut self, node: &Arc<Node>) {
        for ip in &node.addresses {
            let member = Member { owner: Owner::Node(Arc::clone(node)), ip: Some(*ip), class: None };
            let place = push(&mut self.hosts, HOSTS, member);
            self.of_nodes.push(Some(*ip), place);
        }
    }

    /// A pod comes: its places, and its class if it has one. What it was before has been taken away.
    pub fn add(&mut self, pod: &Arc<Pod>) -> Option<u32> {
        if pod.finished {
            return None;
        }
        let namespace = self.namespace(&pod.namespace);
        let class = self.has_class(pod).then(|| {
            let labels = self.words.labels(&pod.labels);
            let named = self.named(pod);
            let known = self.namespaces[namespace as usize].classes.iter().copied().find(|class| {
                let known = &self.classes[*class as usize];
                known.host == pod.host_network
                    && known.named == named
                    && *self.class_labels.of(*class) == *labels
            });
            known.unwrap_or_else(|| self.new_class(namespace, (labels, named, pod.host_network)))
        });
        self.place(pod, class);
        self.of_pods.sort();
        self.of_nodes.sort();
        class
    }

    /// The places of a pod, by name.
    pub fn places(&self, namespace: &str, name: &str) -> Vec<u32> {
        let named = |member: &Member| {
            member.as_pod().is_some_and(|pod| pod.namespace == namespace && pod.name == name)
        };
        let of = self.find_namespace(namespace).and_then(|number| self.namespaces.get(number as usize));
        let of_classes = of.into_iter().flat_map(|of| &of.classes);
        let spans = of_classes.flat_map(|class| self.classes[*class as usize].spans.iter());
        let mut found: Vec<u32> = spans
            .flat_map(|span| span.0..=span.1)
            .filter(|place| self.member(*place).is_some_and(&named))
            .collect();
        let hosts = (HOSTS..).zip(&self.hosts);
        found.extend(hosts.filter(|(_, member)| member.as_ref().is_some_and(&named)).map(|(place, _)| place));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A pod goes. Its places stay empty.
    pub fn remove(&mut self, places: &[u32]) {
        for place in places {
            self.of_pods.remove(*place);
            self.of_nodes.remove(*place);
            let class = self.member(*place).and_then(|member| member.class);
            if let Some(class) = class.and_then(|class| self.classes.get_mut(class as usize)) {
                class.spans = span::without(&class.spans, &[(*place, *place)]);
            }
            let (line, place) = self.line(*place);
            if let Some(member) = line.get_mut(place) {
                *member = None;
            }
        }
    }

    fn line(&mut self, place: u32) -> (&mut Vec<Option<Member>>, usize) {
        if place < HOSTS {
            (&mut self.pods, place as usize)
        } else {
            (&mut self.hosts, (place - HOSTS) as usize)
        }
    }

    pub fn member(&self, place: u32) -> Option<&Member> {
        let found = if place < HOSTS {
            self.pods.get(place as usize)
        } else {
            self.hosts.get((place - HOSTS) as usize)
        };
        found.and_then(Option::as_ref)
    }

    /// Every place that is taken.
    pub fn members(&self) -> impl Iterator<Item = (u32, &Member)> {
        let pods = (0..).zip(&self.pods);
        pods.chain((HOSTS..).zip(&self.hosts)).filter_map(|(place, member)| Some((place, member.as_ref()?)))
    }

    pub fn hosts(&self) -> impl Iterator<Item = (u32, &Member)> {
        (HOSTS..).zip(&self.hosts).filter_map(|(place, member)| Some((place, member.as_ref()?)))
    }

    /// The classes of a namespace that a selector selects, ascending.
    pub fn select_in(&self, namespace: u32, selector: &Query) -> Vec<u32> {
        let all = self.namespaces.get(namespace as usize).map_or(&[][..], |of| &of.classes);
        if selector.is_everything() {
            return all.to_vec();
        }
        let chosen = |class: &u32| self.class_labels.matches(*class, selector);
        match self.class_labels.candidates(selector) {
            Some(few) if few.len() < all.len() => few
                .iter()
                .copied()
                .filter(|class| self.classes[*class as usize].namespace == namespace && chosen(class))
                .collect(),
            _ => all.iter().copied().filter(chosen).collect(),
        }
    }

    /// Every class of these namespaces that a selector selects.
    pub fn select_among(&self, namespaces: &[u32], selector: &Query) -> Vec<u32> {
        match self.class_labels.candidates(selector) {
            Some(few) if few.len() < namespaces.len() => few
                .iter()
                .copied()
                .filter(|class| {
                    namespaces.binary_search(&self.classes[*class as usize].namespace).is_ok()
                        && self.class_labels.matches(*class, selector)
                })
                .collect(),
            _ => namespaces.iter().flat_map(|namespace| self.select_in(*namespace, selector)).collect(),
        }
    }

    /// Where these classes stand.
    pub fn spans(&self, classes: impl IntoIterator<Item = u32>) -> Vec<Span<u32>> {
        let of = |class: u32| self.classes.get(class as usize).map_or(&[][..], |class| &class.spans);
        span::normal(classes.into_iter().flat_map(|class| of(class).iter().copied()).collect())
    }
}

/// Adds at the end of a line that begins at a place.
fn push(line: &mut Vec<Option<Member>>, first: u32, member: Member) -> u32 {
    let place = first + u32::try_from(line.len()).unwrap_or(HOSTS - 1);
    line.push(Some(member));
    place
}
