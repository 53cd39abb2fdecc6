//! Rules of policies with their peers as intervals.

use std::collections::HashMap;
use std::sync::Arc;

use peerwalk_model::{Direction, Protocol};

use super::blocks::Held;
use super::ends::{Ends, Named, Owner, PODS};
use super::place;
use super::words::Query;
use crate::cluster_policy::{Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, PodSet, Tier};
use crate::policy::{Policy, Ports, Rule, RulePeer};
use crate::port_set::PortSet;
use crate::profile::NamedPorts;
use crate::selector::Selector;
use crate::span::{self, Span};

/// A set of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peers {
    /// Pods, host-network pods and nodes, by their places.
    pub inside: Vec<Span<u32>>,
    /// Addresses outside.
    pub v4: Vec<Span<u32>>,
    pub v6: Vec<Span<u128>>,
}

impl Peers {
    pub fn everybody() -> Self {
        Self { inside: vec![(0, u32::MAX)], v4: vec![(0, u32::MAX)], v6: vec![(0, u128::MAX)] }
    }

    fn inside(spans: Vec<Span<u32>>) -> Self {
        Self { inside: spans, ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.inside.is_empty() && self.v4.is_empty() && self.v6.is_empty()
    }

    fn union(sets: &[Arc<Self>]) -> Arc<Self> {
        if let [only] = sets {
            return Arc::clone(only);
        }
        Arc::new(Self {
            inside: span::normal(sets.iter().flat_map(|set| set.inside.iter().copied()).collect()),
            v4: span::normal(sets.iter().flat_map(|set| set.v4.iter().copied()).collect()),
            v6: span::normal(sets.iter().flat_map(|set| set.v6.iter().copied()).collect()),
        })
    }
}

/// A rule, or the part of one that is about the same ports of all its peers.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub peers: Arc<Peers>,
    pub ports: PortSet,
    /// Ports by name, of rules for ingress: what they stand for is up to the subject.
    pub names: Box<[Name]>,
    pub action: Action,
}

/// A port by its name; the protocol is the pod's where the rule gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    name: u32,
    protocol: Option<Protocol>,
}

impl Name {
    /// What it stands for on a pod with these named ports.
    fn resolved(self, named: &[Named]) -> impl Iterator<Item = (Protocol, u16)> {
        let fits = move |port: &&Named| {
            port.name == self.name && self.protocol.is_none_or(|protocol| protocol == port.protocol)
        };
        named.iter().filter(fits).map(|port| (port.protocol, port.number))
    }
}

impl Share {
    /// The ports of a subject with these named ports.
    pub fn ports_of(&self, named: &[Named]) -> PortSet {
        if self.names.is_empty() {
            return self.ports.clone();
        }
        let resolved = self.names.iter().flat_map(|name| name.resolved(named));
        let resolved: PortSet = resolved.map(|(protocol, number)| (protocol, number..=number)).collect();
        self.ports.union(&resolved)
    }
}

/// Selectors of namespaces and of pods, and whether host-network pods are among these.
type PodsKey<'a> = (&'a Selector, &'a Selector, bool);

/// A port that a name stands for, and where.
type Resolved = (Protocol, u16, Vec<Span<u32>>);

/// The policies of the cluster, ready to be applied.
pub(super) struct OfCluster {
    namespaces: Query,
    pods: Query,
    /// Rules by direction, once they are needed.
    shares: Option<[Vec<Share>; 2]>,
    pub tier: Tier,
}

impl OfCluster {
    pub fn shares(&self, direction: Direction) -> &[Share] {
        self.shares.as_ref().map_or(&[], |shares| &shares[place(direction)])
    }

    pub fn selects_in(&self, ends: &Ends, namespace: u32) -> bool {
        ends.namespace_labels.matches(namespace, &self.namespaces)
    }

    pub fn selects(&self, ends: &Ends, class: u32) -> bool {
        (!ends.classes[class as usize].host || ends.does_cluster_see_hosts())
            && ends.class_labels.matches(class, &self.pods)
    }
}

/// Turns rules into shares, and remembers what it found of selectors that many rules have.
pub(super) struct Rules<'a> {
    ends: &'a Ends,
    pods: HashMap<PodsKey<'a>, Arc<Peers>>,
    namespaces: HashMap<&'a Selector, Arc<[u32]>>,
    blocks: HashMap<&'a RulePeer, Arc<Peers>>,
    named: HashMap<Name, Arc<[Resolved]>>,
    everybody: Arc<Peers>,
}

impl<'a> Rules<'a> {
    pub fn new(ends: &'a Ends) -> Self {
        Self {
            ends,
            pods: HashMap::new(),
            namespaces: HashMap::new(),
            blocks: HashMap::new(),
            named: HashMap::new(),
            everybody: Arc::new(Peers::everybody()),
        }
    }

    pub fn of_cluster(&self, policy: &ClusterPolicy) -> OfCluster {
        OfCluster {
            namespaces: Query::new(&policy.subject.namespaces, &self.ends.words),
            pods: Query::new(&policy.subject.pods, &self.ends.words),
            shares: None,
            tier: policy.tier,
        }
    }

    /// Makes the shares of a policy of the cluster.
    pub fn prepare(&mut self, prepared: &mut OfCluster, policy: &'a ClusterPolicy) {
        if prepared.shares.is_none() {
            let egress = self.cluster_rules(&policy.egress, Direction::Egress);
            prepared.shares = Some([egress, self.cluster_rules(&policy.ingress, Direction::Ingress)]);
        }
    }

    /// The shares of a NetworkPolicy in a direction, or `None` when it does not isolate it.
    pub fn shares(&mut self, policy: &'a Policy, namespace: u32, direction: Direction) -> Option<Vec<Share>> {
        let rules = policy.rules(direction)?;
        let mut shares = Vec::with_capacity(rules.len());
        for rule in rules {
            let peers = self.peers(rule, namespace);
            let (numbers, names) = self.ports(rule);
            self.share(&mut shares, &peers, numbers, names, Action::Accept, direction);
        }
        Some(shares)
    }

    fn peers(&mut self, rule: &'a Rule, namespace: u32) -> Arc<Peers> {
        if rule.peers.is_empty() {
            return Arc::clone(&self.everybody);
        }
        let sets: Vec<Arc<Peers>> = rule.peers.iter().map(|peer| self.peer(peer, namespace)).collect();
        Peers::union(&sets)
    }

    fn peer(&mut self, peer: &'a RulePeer, namespace: u32) -> Arc<Peers> {
        match peer {
            RulePeer::Pods { namespaces: None, pods } => {
                let classes = self.ends.select_in(namespace, &Query::new(pods, &self.ends.words));
                Arc::new(Peers::inside(self.ends.spans(classes)))
            }
            RulePeer::Pods { namespaces: Some(namespaces), pods } => self.pods(namespaces, pods, true),
            RulePeer::IpBlock { cidr, except } => {
                if let Some(known) = self.blocks.get(peer) {
                    return Arc::clone(known);
                }
                let profile = self.ends.profile;
                let held = Held::new(*cidr, except, profile.ipv6);
                let peers = Arc::new(held.peers(
                    self.ends,
                    profile.ip_block_matches_pods,
                    profile.ip_block_matches_nodes,
                ));
                self.blocks.insert(peer, Arc::clone(&peers));
                peers
            }
        }
    }

    /// Pods by selectors of namespaces and pods.
    fn pods(&mut self, namespaces: &'a Selector, pods: &'a Selector, hosts: bool) -> Arc<Peers> {
        let key = (namespaces, pods, hosts);
        if let Some(known) = self.pods.get(&key) {
            return Arc::clone(known);
        }
        let ends = self.ends;
        let query = Query::new(pods, &ends.words);
        let chosen = self.namespaces(namespaces);
        let mut spans = if query.is_everything() && namespaces.requirements.is_empty() {
            span::normal(ends.everywhere())
        } else {
            ends.spans(ends.select_among(&chosen, &query))
        };
        if !hosts {
            spans = span::both(&spans, &[PODS]);
        }
        let peers = Arc::new(Peers::inside(spans));
        self.pods.insert(key, Arc::clone(&peers));
        peers
    }

    fn namespaces(&mut self, selector: &'a Selector) -> Arc<[u32]> {
        let ends = self.ends;
        let select = || ends.namespace_labels.select(&Query::new(selector, &ends.words)).into();
        Arc::clone(self.namespaces.entry(selector).or_insert_with(select))
    }

    fn ports(&self, rule: &Rule) -> (PortSet, Vec<Name>) {
        if rule.ports.is_empty() {
            return (PortSet::all(), Vec::new());
        }
        let named = rule.ports.iter().filter_map(|port| match &port.ports {
            Ports::Named(name) => Some((port.protocol, name)),
            _ => None,
        });
        let numbers = PortSet::listed(&rule.ports);
        if self.ends.profile.named_ports == NamedPorts::Unread {
            let whole: PortSet = named.map(|(protocol, _)| (protocol, 1..=u16::MAX)).collect();
            return (numbers.union(&whole), Vec::new());
        }
        let names = named.filter_map(|(protocol, name)| {
            Some(Name { name: self.ends.words.find(name)?, protocol: Some(protocol) })
        });
        (numbers, names.collect())
    }

    /// Adds a rule. Names of ports in rules for egress stand for something else of each peer.
    fn share(
        &mut self,
        shares: &mut Vec<Share>,
        peers: &Arc<Peers>,
        ports: PortSet,
        names: Vec<Name>,
        action: Action,
        direction: Direction,
    ) {
        let resolved = if direction == Direction::Egress { self.resolve(peers, &names) } else { Vec::new() };
        let names: Box<[Name]> = if direction == Direction::Ingress { names.into() } else { Box::default() };
        if !peers.is_empty() && (!ports.is_empty() || !names.is_empty()) {
            shares.push(Share { peers: Arc::clone(peers), ports, names, action });
        }
        shares.extend(resolved.into_iter().map(|(protocol, number, spans)| Share {
            peers: Arc::new(Peers::inside(spans)),
            ports: PortSet::of(protocol, number..=number),
            names: Box::default(),
            action,
        }));
    }

    fn resolve(&mut self, peers: &Peers, names: &[Name]) -> Vec<Resolved> {
        let places: u64 = peers.inside.iter().map(|span| u64::from(span.1 - span.0) + 1).sum();
        let mut found = Vec::new();
        for name in names {
            let naming = self.ends.naming.get(&name.name).map_or(0, Vec::len);
            if places < naming as u64 {
                found.extend(self.resolve_few(&peers.inside, *name));
                continue;
            }
            let all = self.resolve_all(*name);
            found.extend(all.iter().filter_map(|(protocol, number, spans)| {
                let spans = span::both(spans, &peers.inside);
                (!spans.is_empty()).then_some((*protocol, *number, spans))
            }));
        }
        found
    }

    fn resolve_few(&self, places: &[Span<u32>], name: Name) -> Vec<Resolved> {
        let mut found: HashMap<(Protocol, u16), Vec<u32>> = HashMap::new();
        for place in places.iter().flat_map(|span| span.0..=span.1) {
            let Some(class) = self.ends.member(place).and_then(|member| member.class) else { continue };
            for port in name.resolved(&self.ends.classes[class as usize].named) {
                found.entry(port).or_default().push(place);
            }
        }
        found.into_iter().map(|(port, places)| (port.0, port.1, span::of_values(places))).collect()
    }

    fn resolve_all(&mut self, name: Name) -> Arc<[Resolved]> {
        if let Some(known) = self.named.get(&name) {
            return Arc::clone(known);
        }
        let mut found: HashMap<(Protocol, u16), Vec<u32>> = HashMap::new();
        for class in self.ends.naming.get(&name.name).into_iter().flatten() {
            for port in name.resolved(&self.ends.classes[*class as usize].named) {
                found.entry(port).or_default().push(*class);
            }
        }
        let all = found.into_iter().map(|(port, classes)| (port.0, port.1, self.ends.spans(classes)));
        let all: Arc<[_]> = all.collect();
        self.named.insert(name, Arc::clone(&all));
        all
    }

    fn cluster_rules(&mut self, rules: &'a [ClusterRule], direction: Direction) -> Vec<Share> {
        let mut shares = Vec::new();
        for rule in rules {
            let unknown = rule.peers.iter().any(|peer| matches!(peer, ClusterPeer::Unknown(_)))
                || rule.ports.iter().any(|port| matches!(port, ClusterPort::Unknown(_)));
            if unknown {
                // It fails closed: what would accept matches nobody, anything else denies everybody.
                if rule.action != Action::Accept {
                    let peers = Arc::clone(&self.everybody);
                    self.share(&mut shares, &peers, PortSet::all(), Vec::new(), Action::Deny, direction);
                }
                continue;
            }
            let sets: Vec<Arc<Peers>> = rule.peers.iter().map(|peer| self.cluster_peer(peer)).collect();
            let peers = Peers::union(&sets);
            let (numbers, names) = self.cluster_ports(&rule.ports);
            self.share(&mut shares, &peers, numbers, names, rule.action, direction);
        }
        shares
    }

    fn cluster_ports(&self, ports: &[ClusterPort]) -> (PortSet, Vec<Name>) {
        if ports.is_empty() {
            return (PortSet::all(), Vec::new());
        }
        let numbers = ports.iter().filter_map(|port| match port {
            ClusterPort::Numbers(port) => Some(port),
            ClusterPort::Named(_) | ClusterPort::Unknown(_) => None,
        });
        let names = ports.iter().filter_map(|port| match port {
            ClusterPort::Named(name) => Some(Name { name: self.ends.words.find(name)?, protocol: None }),
            ClusterPort::Numbers(_) | ClusterPort::Unknown(_) => None,
        });
        (PortSet::listed(numbers), names.collect())
    }

    fn cluster_peer(&mut self, peer: &'a ClusterPeer) -> Arc<Peers> {
        let profile = self.ends.profile;
        match peer {
            ClusterPeer::Pods(PodSet { namespaces, pods }) => {
                self.pods(namespaces, pods, self.ends.does_cluster_see_hosts())
            }
            ClusterPeer::Networks(networks) => {
                let held = Held::networks(networks, profile.ipv6);
                Arc::new(held.peers(self.ends, profile.networks_match_pods, true))
            }
            ClusterPeer::Nodes(selector) if profile.nodes => Arc::new(self.nodes(selector)),
            ClusterPeer::Nodes(_) | ClusterPeer::DomainNames(_) | ClusterPeer::Unknown(_) => Arc::default(),
        }
    }

    /// Nodes, and the host-network pods on them.
    fn nodes(&self, selector: &Selector) -> Peers {
        let places = self.ends.hosts().filter(|(_, member)| {
            let node = match &member.owner {
                Owner::Node(node) => Some(node),
                Owner::Pod(pod) => self.ends.node_of(pod),
            };
            node.map_or(selector.requirements.is_empty(), |node| selector.matches(&node.labels))
        });
        Peers::inside(span::of_values(places.map(|(place, _)| place)))
    }
}
