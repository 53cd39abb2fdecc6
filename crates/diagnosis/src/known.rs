//! What an operator knows, as a file: how it gives its decisions to somebody who judges without it. Every time in it
//! is an age at the moment of writing, as moments of two machines are never compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use peerwalk_model::Timestamp;
use peerwalk_netpol::Decision;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::case::EndpointDecision;
use crate::facts::{EndpointFacts, Facts, NodeFacts, SourceFacts};

/// What is known about where some pods connect to. Documented in `docs/decision.md`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Known {
    /// The check it was asked for, as `namespace/name`.
    #[serde(default)]
    pub check: Option<String>,
    /// Policy kinds of the cluster that nobody here can read; while there are any, no claim about policy is confirmed.
    pub unreadable_policy_kinds: Vec<String>,
    /// The nodes of the sources and their endpoints, by name.
    #[serde(default)]
    pub nodes: BTreeMap<String, KnownNode>,
    /// Addresses of pods in the pod networks of these nodes: a sender among them is not the node.
    #[serde(default)]
    pub pods: BTreeSet<IpAddr>,
    /// The source pods.
    pub sources: Vec<KnownSource>,
    /// What the operator says of its own walks, which is nothing to judge by.
    #[serde(default, skip_serializing)]
    pub walks: IgnoredAny,
}

/// A node, as the sender of ICMP errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownNode {
    /// Its own addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Networks of its pods: an address in them that is no pod's is the node's.
    #[serde(default)]
    pub pod_networks: Vec<IpNet>,
}

/// A source pod and where it connects to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownSource {
    /// `namespace/name`.
    pub pod: String,
    /// Its addresses: what is known holds for walks from these alone.
    pub addresses: Vec<IpAddr>,
    /// Its node.
    #[serde(default)]
    pub node: Option<String>,
    /// It shares the network of its node.
    #[serde(default)]
    pub host_network: bool,
    /// For how long it has run, in milliseconds.
    #[serde(default)]
    pub started_ms_ago: Option<u64>,
    /// Endpoints, and addresses outside the cluster.
    #[serde(default)]
    pub endpoints: Vec<KnownEndpoint>,
    /// Name servers.
    #[serde(default)]
    pub name_servers: Vec<KnownEndpoint>,
}

/// One address that a source connects to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownEndpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// `namespace/name` of the pod behind it; none when it is no pod.
    #[serde(default)]
    pub pod: Option<String>,
    /// The pod's node.
    #[serde(default)]
    pub node: Option<String>,
    /// The pod is Ready.
    pub ready: bool,
    /// The Lease of its node is fresh.
    pub node_lease_fresh: bool,
    /// The pod shares the network of its node.
    #[serde(default)]
    pub host_network: bool,
    /// For how long the pod has run, in milliseconds.
    #[serde(default)]
    pub started_ms_ago: Option<u64>,
    /// What the policies say and said, oldest first; the last is the present decision.
    pub history: Vec<KnownDecision>,
}

/// A decision and since when it is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownDecision {
    /// How long before the writing it came into force, in milliseconds.
    pub since_ms_ago: u64,
    /// What the policies say.
    pub decision: Arc<Decision>,
}

impl Known {
    /// Takes in what a pair was judged by. Moments become ages at `now`.
    pub fn add(&mut self, facts: &Facts, decisions: &[EndpointDecision], now: Timestamp) {
        self.unreadable_policy_kinds.clone_from(&facts.unreadable_policy_kinds);
        let nodes = facts.endpoints.values().filter_map(|endpoint| endpoint.node.as_deref());
        for node in nodes.chain(facts.source.node.as_deref()) {
            let known =
                KnownNode { addresses: node.addresses.clone(), pod_networks: node.pod_networks.clone() };
            self.nodes.insert(node.name.clone(), known);
        }
        let source = &facts.source;
        let position = self.sources.iter().position(|known| known.pod == source.pod).unwrap_or_else(|| {
            self.sources.push(KnownSource {
                pod: source.pod.clone(),
                addresses: source.addresses.clone(),
                node: source.node.as_ref().map(|node| node.name.clone()),
                host_network: source.host_network,
                started_ms_ago: source.started.map(|at| ms(now.since(at))),
                endpoints: Vec::new(),
                name_servers: Vec::new(),
            });
            self.sources.len() - 1
        });
        let Some(known) = self.sources.get_mut(position) else { return };
        for (list, decisions) in
            [(&mut known.endpoints, decisions), (&mut known.name_servers, &facts.dns[..])]
        {
            let new = decisions.iter().map(|decision| KnownEndpoint::new(facts, decision, now));
            for endpoint in new {
                if list.iter().all(|known: &KnownEndpoint| known.address != endpoint.address) {
                    list.push(endpoint);
                }
            }
        }
    }

    /// What in it contradicts the rest. Nothing is to be judged by it then.
    pub fn contradiction(&self) -> Option<Contradiction> {
        self.sources.iter().find_map(KnownSource::contradiction)
    }

    /// What is known about a walk from these addresses that began at `began`: the facts, and the decisions for what
    /// it dialled. `None` when no source has all of the addresses. Of two machines' clocks only this one's counts, and
    /// what was written some time ago seems younger than it is.
    pub fn about(
        &self,
        facts: Facts,
        from: &BTreeSet<IpAddr>,
        dialled: &BTreeSet<SocketAddr>,
        servers: &BTreeSet<SocketAddr>,
        began: Timestamp,
    ) -> Option<(Facts, Vec<EndpointDecision>)> {
        let source = self.source(from)?;
        let met = || source.endpoints.iter().filter(|endpoint| dialled.contains(&endpoint.address));
        let asked = source.name_servers.iter().filter(|server| {
            let service = server.history.last().and_then(|present| present.decision.flow.service);
            servers.contains(&server.address) || service.is_some_and(|service| servers.contains(&service))
        });
        let facts = Facts {
            source: SourceFacts {
                pod: source.pod.clone(),
                addresses: source.addresses.clone(),
                node: self.node(source.node.as_deref()),
                host_network: source.host_network,
                started: source.started_ms_ago.map(|ago| before(began, ago)),
            },
            endpoints: met().map(|known| (known.address.ip(), self.endpoint(known, began))).collect(),
            pod_offenders: self.pods.clone(),
            dns: asked.map(|known| known.decisions(began)).collect(),
            unreadable_policy_kinds: self.unreadable_policy_kinds.clone(),
            ..facts
        };
        Some((facts, met().map(|known| known.decisions(began)).collect()))
    }

    /// The source that has all of these addresses.
    pub fn source(&self, addresses: &BTreeSet<IpAddr>) -> Option<&KnownSource> {
        let all = |source: &&KnownSource| addresses.iter().all(|address| source.addresses.contains(address));
        self.sources.iter().find(all).filter(|_| !addresses.is_empty())
    }

    fn endpoint(&self, known: &KnownEndpoint, began: Timestamp) -> EndpointFacts {
        EndpointFacts {
            pod: known.pod.clone(),
            gone: false,
            node: self.node(known.node.as_deref()),
            ready: known.ready,
            host_network: known.host_network,
            node_lease_fresh: known.node_lease_fresh,
            started: known.started_ms_ago.map(|ago| before(began, ago)),
            // Seen before the walk, and so no part of its proof.
            last_heard: None,
            admitted_source: None,
            path: None,
        }
    }

    fn node(&self, name: Option<&str>) -> Option<Arc<NodeFacts>> {
        let name = name?;
        let known = self.nodes.get(name).cloned().unwrap_or_default();
        Some(Arc::new(NodeFacts {
            name: name.to_owned(),
            addresses: known.addresses,
            pod_networks: known.pod_networks,
        }))
    }
}

/// Something in a file that contradicts the rest of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Contradiction {
    /// A source without addresses is nobody's.
    #[error("addresses of source {0} is empty: write the pod's addresses, by which its walks are known")]
    NoAddress(String),
    /// An endpoint without a decision.
    #[error("history of endpoint {0} is empty: write the present decision, with sinceMsAgo")]
    NoDecision(SocketAddr),
    /// Decisions in the wrong order.
    #[error(
        "history of endpoint {0} is not in order: write the oldest decision first, with the largest sinceMsAgo"
    )]
    Order(SocketAddr),
    /// A decision about something else.
    #[error(
        "a decision of source {pod} for endpoint {endpoint} is about {about}: correct its source, destination or port"
    )]
    AboutAnother {
        /// The source.
        pod: String,
        /// The endpoint.
        endpoint: SocketAddr,
        /// What the decision says it is about.
        about: String,
    },
}

impl KnownSource {
    fn contradiction(&self) -> Option<Contradiction> {
        if self.addresses.is_empty() {
            return Some(Contradiction::NoAddress(self.pod.clone()));
        }
        self.endpoints.iter().chain(&self.name_servers).find_map(|endpoint| {
            let address = endpoint.address;
            if endpoint.history.is_empty() {
                return Some(Contradiction::NoDecision(address));
            }
            if !endpoint.history.iter().rev().is_sorted_by_key(|known| known.since_ms_ago) {
                return Some(Contradiction::Order(address));
            }
            let flows = endpoint.history.iter().map(|known| &known.decision.flow);
            let mut others = flows.filter(|flow| {
                !self.addresses.contains(&flow.source.ip)
                    || flow.destination.ip != address.ip()
                    || flow.port != address.port()
            });
            others.next().map(|flow| Contradiction::AboutAnother {
                pod: self.pod.clone(),
                endpoint: address,
                about: format!("{} to {} port {}", flow.source.ip, flow.destination.ip, flow.port),
            })
        })
    }
}

impl KnownEndpoint {
    fn new(facts: &Facts, known: &EndpointDecision, now: Timestamp) -> Self {
        let endpoint = facts.endpoints.get(&known.endpoint.ip()).cloned().unwrap_or_default();
        let decision = |(since, decision): &(Timestamp, Arc<Decision>)| KnownDecision {
            since_ms_ago: ms(now.since(*since)),
            decision: Arc::clone(decision),
        };
        Self {
            address: known.endpoint,
            pod: endpoint.pod,
            node: endpoint.node.map(|node| node.name.clone()),
            ready: endpoint.ready,
            node_lease_fresh: endpoint.node_lease_fresh,
            host_network: endpoint.host_network,
            started_ms_ago: endpoint.started.map(|at| ms(now.since(at))),
            history: known.history.iter().map(decision).collect(),
        }
    }

    fn decisions(&self, began: Timestamp) -> EndpointDecision {
        let moment = |known: &KnownDecision| (before(began, known.since_ms_ago), Arc::clone(&known.decision));
        EndpointDecision { endpoint: self.address, history: self.history.iter().map(moment).collect() }
    }
}

fn ms(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn before(moment: Timestamp, ms_ago: u64) -> Timestamp {
    moment.minus(Duration::from_millis(ms_ago))
}

#[cfg(test)]
mod tests;
