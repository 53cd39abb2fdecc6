//! The ends of connections inside the cluster, each at a place on a line: pods that selectors cannot tell apart stand side
//! by side, and namespaces as well, so that sets of ends are few intervals.

mod member;
mod select;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_model::Protocol;

use super::Objects;
use super::words::{Label, Labelled, Words};
use crate::cluster::{NAMESPACE_NAME_LABEL, Namespace, Node, Pod};
use crate::profile::{HostNetwork, NamedPorts, Profile};
use crate::span::{self, Span};

pub(super) use member::Addresses;
pub use member::{EndId, Member, Owner};

/// Where the half of the line begins that holds host-network pods and nodes.
pub(super) const HOSTS: u32 = 1 << 31;
/// All other pods, those to come as well.
pub(super) const PODS: Span<u32> = (0, HOSTS - 1);

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
        // Objects of a namespace mostly come together.
        names.dedup();
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
            let mut known: HashMap<Key, usize> = HashMap::with_capacity(pods.len());
            let mut members: Vec<Vec<&Arc<Pod>>> = Vec::new();
            for pod in pods {
                if !ends.has_class(pod) {
                    ends.place(pod, None);
                    continue;
                }
                let key = (ends.words.labels(&pod.labels), ends.named(pod), pod.host_network);
                let class = *known.entry(key).or_insert(members.len());
                if class == members.len() {
                    members.push(Vec::new());
                }
                members[class].push(pod);
            }
            let mut keys: Vec<(Key, usize)> = known.into_iter().collect();
            keys.sort_unstable_by_key(|(_, class)| *class);
            for (key, class) in keys {
                let number = ends.new_class(namespace, key);
                for pod in &members[class] {
                    ends.place(pod, Some(number));
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
            let mut before = found.iter().filter(|known| known.name == name);
            let counts = match self.profile.named_ports {
                NamedPorts::All | NamedPorts::Unread => true,
                NamedPorts::First => before.next().is_none(),
                NamedPorts::FirstOfProtocol => before.all(|known| known.protocol != port.protocol),
            };
            if !counts || (port.init && !self.profile.init_container_ports) {
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

    /// Those of a part of the line.
    pub fn members_in(&self, span: Span<u32>) -> impl Iterator<Item = (u32, &Member)> {
        let part = |line: &'_ [Option<Member>], first: u32| {
            let from = span.0.saturating_sub(first) as usize;
            let to = (span.1.saturating_sub(first) as usize).saturating_add(1);
            let reaches = span.1 >= first;
            let to = if reaches { to.min(line.len()) } else { 0 };
            from.min(to)..to
        };
        let (pods, hosts) = (part(&self.pods, 0), part(&self.hosts, HOSTS));
        let pods = pods.clone().zip(&self.pods[pods]).map(|(place, member)| (place, 0, member));
        let hosts = hosts.clone().zip(&self.hosts[hosts]).map(|(place, member)| (place, HOSTS, member));
        pods.chain(hosts)
            .filter_map(|(place, first, member)| Some((first + u32::try_from(place).ok()?, member.as_ref()?)))
    }

    pub fn hosts(&self) -> impl Iterator<Item = (u32, &Member)> {
        (HOSTS..).zip(&self.hosts).filter_map(|(place, member)| Some((place, member.as_ref()?)))
    }
}

/// Adds at the end of a line that begins at a place.
fn push(line: &mut Vec<Option<Member>>, first: u32, member: Member) -> u32 {
    let place = first + u32::try_from(line.len()).unwrap_or(HOSTS - 1);
    line.push(Some(member));
    place
}
