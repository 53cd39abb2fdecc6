//! What the cluster knows about a pair of source pod and target, as far as judging needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use peerwalk_model::Timestamp;
use peerwalk_model::plan::Control;
use peerwalk_netpol::Decision;

use crate::case::EndpointDecision;

/// Data planes take time: a decision younger than this may not be in force yet.
pub const GRACE: Duration = Duration::from_secs(5);
/// The same for a pod that is itself younger than this.
pub const GRACE_OF_YOUNG_PODS: Duration = Duration::from_secs(30);
/// A watch that died without a word goes unnoticed for nearly so long: until then, what contradicts the cluster's state
/// may only show a change that nobody has heard of.
pub const UNNOTICED: Duration = Duration::from_secs(25);

/// What the cluster knows about a pair of source pod and target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the source pod can report at all.
    pub coverage: Coverage,
    /// The target.
    pub target: TargetFacts,
    /// The target is a URL or a name, and leads to no Service's address, but its host is the name of a Service.
    pub names_service: bool,
    /// The watch of Services, of their endpoints or of pods is interrupted: they are told as they were.
    pub services_unheard: bool,
    /// The source pod.
    pub source: SourceFacts,
    /// The endpoints of the target, by address; external addresses of a URL too, when something is known of
    /// them.
    pub endpoints: BTreeMap<IpAddr, EndpointFacts>,
    /// Senders of ICMP errors in the evidence that are pods, of this target or not. A pod's address lies in its
    /// node's network, and is not the node.
    pub pod_offenders: BTreeSet<IpAddr>,
    /// The controls of the plan the walk was made under: which dial proves which path.
    pub controls: Vec<Control>,
    /// Decisions for the name servers of the cluster (port 53, UDP); empty when nobody evaluated them.
    pub dns: Vec<EndpointDecision>,
    /// Policy kinds that discovery found and the policy engine cannot read, such as
    /// `CiliumNetworkPolicy`. While there are any, no claim about policy is confirmed.
    pub unreadable_policy_kinds: Vec<String>,
    /// From which age on evidence is stale.
    pub stale_after: Duration,
    /// How long the target takes to answer this pod; `None` without walks that passed, as in the one-shot probe.
    pub latency: Option<Latency>,
}

/// How long a target takes to answer one source pod, by the walks that passed not long ago, and how long it may. The
/// numbers change rarely: verdicts rest on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many walks that is known of.
    pub samples: usize,
    /// The connection.
    pub connect: Quantiles,
    /// All stages together.
    pub whole: Quantiles,
    /// For one connection.
    pub connect_limit: Duration,
    /// For one walk.
    pub whole_limit: Duration,
}

/// Two points of a distribution of times; walks that ran into a limit are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half take no longer.
    pub p50: Duration,
    /// All but one in a hundred take no longer.
    pub p99: Duration,
}

/// Whether a source pod can report at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Its sidecar is attached, or may still come back.
    #[default]
    Reporting,
    /// The pod has no sidecar.
    NotInjected,
    /// The sidecar has not been attached for longer than it may take.
    NotReporting {
        /// The decision for its way to the hub, where that is the reason: it prints the rule to add.
        hub: Option<Arc<Decision>>,
        /// It was injected under a root by which the hub cannot be verified any more.
        replaced_root: bool,
    },
}

/// The target of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetFacts {
    /// A Service.
    Service(ServiceFacts),
    /// A URL or an address that is no Service.
    Url {
        /// The operator's configuration allows it.
        allowed: bool,
    },
    /// A name that must resolve.
    Dns,
}

/// A Service and what stands behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// `namespace/name`.
    pub name: String,
    /// The port as the check writes it, a name or a number.
    pub port: String,
    /// The Service exists.
    pub found: bool,
    /// One of its ports has the name or number of the check.
    pub port_found: bool,
    /// The number of that port, where it is known.
    pub number: Option<u16>,
    /// It has no cluster address.
    pub headless: bool,
    /// What its name may lead to: its own addresses, and those of its endpoints, ready or not, at whatever port.
    pub addresses: BTreeSet<IpAddr>,
    /// Ready endpoints for the port, in the whole cluster.
    pub ready: usize,
    /// Ready endpoints on the node of the source pod.
    pub local: usize,
    /// `internalTrafficPolicy: Local`.
    pub internal_traffic_policy_local: bool,
    /// Since when the check has asked for this port, and the Service has had it or not, as far as seen.
    pub asked: Option<Timestamp>,
    /// When the Service or its ready endpoints last changed, as far as seen.
    pub changed: Option<Timestamp>,
    /// Who made the pods behind its ready endpoints, such as `Deployment web`.
    pub owners: BTreeSet<String>,
}

/// The source pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// `namespace/name`; empty when not known, as in the one-shot probe.
    pub pod: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its node, when known.
    pub node: Option<Arc<NodeFacts>>,
    /// It shares the network of its node.
    pub host_network: bool,
    /// When it started.
    pub started: Option<Timestamp>,
}

/// A node, as the sender of ICMP errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// `status.addresses`, those that are IP addresses.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`. A node often answers its pods from an address of this network (its bridge, or the
    /// near end of a pod's link) that is in no object of the API.
    pub pod_networks: Vec<IpNet>,
}

/// One endpoint of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFacts {
    /// `namespace/name` of the pod behind it; `None` when it is no pod.
    pub pod: Option<String>,
    /// The EndpointSlice names a pod that does not exist any more, or that has another address, and nobody else has
    /// this one.
    pub gone: bool,
    /// The pod's node.
    pub node: Option<Arc<NodeFacts>>,
    /// The pod is Ready, by its own readiness probes.
    pub ready: bool,
    /// The pod shares the network of its node.
    pub host_network: bool,
    /// The Lease of its node is fresh.
    pub node_lease_fresh: bool,
    /// When the pod started.
    pub started: Option<Timestamp>,
    /// When a packet from this very address, or from the pod in this address family, last reached the hub (the
    /// heartbeat of its sidecar). Never the time of an out-of-band report: that shows a process, no network.
    pub last_heard: Option<Timestamp>,
    /// Another pod that policies admit connected to this address and port, most recently.
    pub admitted_source: Option<Sighting>,
    /// Another pod of the endpoint's node, not host-network, answered the source pod or a sidecar on its node,
    /// most recently.
    pub path: Option<Sighting>,
}

/// Who was seen, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who, as `namespace/name`.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

impl Facts {
    /// What a probe knows that stands alone: nothing of the cluster.
    pub fn alone(target: TargetFacts) -> Self {
        Self {
            coverage: Coverage::Reporting,
            target,
            names_service: false,
            services_unheard: false,
            source: SourceFacts::default(),
            endpoints: BTreeMap::new(),
            pod_offenders: BTreeSet::new(),
            controls: Vec::new(),
            dns: Vec::new(),
            unreadable_policy_kinds: Vec::new(),
            stale_after: Duration::from_mins(1),
            latency: None,
        }
    }

    /// The Service, when the target is one.
    pub fn service(&self) -> Option<&ServiceFacts> {
        match &self.target {
            TargetFacts::Service(service) => Some(service),
            TargetFacts::Url { .. } | TargetFacts::Dns => None,
        }
    }
}

impl NodeFacts {
    /// Whether the node itself answers from this address. Addresses of pods must have been told apart before.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
            || self.pod_networks.iter().any(|network| network.contains(&address))
    }
}
