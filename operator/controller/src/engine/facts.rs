//! What the cluster knows about a pair, put together for judging.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerwalk_diagnosis::{
    Coverage, EndpointDecision, EndpointFacts, Facts, GRACE, Latency, NodeFacts, ServiceFacts, Sighting,
    SourceFacts, TargetFacts,
};
use peerwalk_model::evidence::{DialOutcome, DialPurpose};
use peerwalk_model::{Protocol, TargetKey, Timestamp};

use super::Engine;
use super::sightings::{Path, answered};
use super::target::Resolved;
use crate::cluster::decode::Kind;
use crate::cluster::flow::Destination;
use crate::cluster::record::{ObjectKey, Pod};
use crate::cluster::service::{self, Endpoint, PortSelector, ResolvedService};
use crate::decisions::once;
use crate::evidence::TargetEvidence;

/// An older connection of somebody else says nothing of a run of walks.
const SEEN: Duration = Duration::from_mins(1);
/// What stands for the kinds that discovery will find.
const UNDISCOVERED: &str = "any: the API server has not yet told which kinds it serves";

/// What Services and what stands behind them are known by.
const SERVICES: [Kind; 3] = [Kind::Service, Kind::EndpointSlice, Kind::Pod];

/// One pair of source pod and target, while it is judged.
pub(super) struct Pair<'a> {
    pub source: &'a Pod,
    pub key: &'a TargetKey,
    pub resolved: &'a Resolved,
    /// Since when it leads to this port of a Service, or to none.
    pub asked: Timestamp,
    pub evidence: Option<&'a TargetEvidence>,
    pub stale_after: Duration,
    pub now: Timestamp,
}

impl Engine {
    /// What the policies say of every address that the target stands for.
    pub(super) fn decisions_of(&self, pair: &Pair<'_>) -> Vec<EndpointDecision> {
        let destinations = self.destinations(pair.resolved, pair.evidence.map(|e| &e.walk));
        let known = destinations.into_iter().filter_map(|to| self.decisions.get(&pair.source.id, to));
        known.cloned().collect()
    }

    /// What the cluster knows.
    pub(super) fn facts(&self, pair: &Pair<'_>, hub: Option<Arc<peerwalk_netpol::Decision>>) -> Facts {
        let plan = self.plans.get(&pair.source.id).and_then(|plan| plan.plan.targets.get(pair.key));
        Facts {
            coverage: self.coverage(pair.source, pair.now, hub),
            target: self.target_facts(pair),
            names_service: self.names_service(pair.resolved),
            services_unheard: SERVICES.iter().any(|kind| self.interrupted.contains_key(kind)),
            source: SourceFacts {
                pod: pair.source.id.to_string(),
                addresses: pair.source.ips.clone(),
                node: self.node_facts(pair.source.node.as_deref()),
                host_network: pair.source.host_network,
                started: Some(self.seen.started(pair.source)),
            },
            endpoints: self.endpoint_facts(pair),
            pod_offenders: self.pod_offenders(pair),
            controls: plan.map(|plan| plan.controls.clone()).unwrap_or_default(),
            dns: self.dns_decisions(pair),
            unreadable_policy_kinds: self.unreadable_policy_kinds(),
            stale_after: pair.stale_after,
            latency: self.latency_of(pair),
        }
    }

    /// Whether a target that is none is named after a Service that there is.
    fn names_service(&self, resolved: &Resolved) -> bool {
        match resolved {
            Resolved::Service(..) => false,
            Resolved::Url { in_cluster: named, .. } | Resolved::Dns { named } => {
                let service = named.as_ref().and_then(|key| Some((key, self.index.service(key)?)));
                // A headless one has no address as long as none of its pods is ready.
                let has_address = |key| {
                    let mut endpoints = self.index.slices(key).flat_map(|slice| &slice.endpoints);
                    endpoints.any(|endpoint| endpoint.ready)
                };
                service.is_some_and(|(key, service)| {
                    service.external_name.is_none() && (!service.headless || has_address(key))
                })
            }
        }
    }

    /// How long the target takes to answer the source pod, and how long it may.
    fn latency_of(&self, pair: &Pair<'_>) -> Option<Latency> {
        let plan = self.plans.get(&pair.source.id)?;
        let planned = plan.plan.targets.get(pair.key)?;
        let measured = self.evidence.pod(&pair.source.id)?.latency(pair.key, plan.asked_since(pair.key)?)?;
        let (connect, whole) = measured.told();
        Some(Latency {
            samples: measured.walks(),
            connect,
            whole,
            connect_limit: planned.connect_timeout,
            whole_limit: planned.total_timeout,
        })
    }

    /// What policies may rest on and is not known here: kinds that nobody can read, and what was not heard of.
    pub(super) fn unreadable_policy_kinds(&self) -> Vec<String> {
        let mut kinds = self
            .policy_kinds
            .as_ref()
            .map_or_else(|| vec![UNDISCOVERED.into()], |kinds| kinds.unreadable.clone());
        let unheard = self.interrupted.keys();
        kinds.extend(unheard.map(|kind| format!("any: {kind:?} is not heard of")));
        kinds
    }

    /// Whether a source pod can report.
    pub(super) fn coverage(
        &self,
        pod: &Pod,
        now: Timestamp,
        hub: Option<Arc<peerwalk_netpol::Decision>>,
    ) -> Coverage {
        if !pod.injected {
            return Coverage::NotInjected;
        }
        let told = self.evidence.pod(&pod.id);
        if told.is_some_and(|told| told.reports(now, self.settings.silence)) {
            return Coverage::Reporting;
        }
        let latest = [
            pod.sidecar_started,
            Some(pod.created),
            told.and_then(|t| t.detached),
            told.and_then(|t| t.last_heard),
        ];
        let since = latest.into_iter().flatten().max().unwrap_or_default().max(self.seen.since());
        if now.since(since) <= self.settings.attach_within {
            Coverage::Reporting
        } else {
            Coverage::NotReporting { hub, replaced_root: self.has_replaced_root(pod) }
        }
    }

    /// The decision for the way to the hub, where it denies.
    pub(super) fn hub_denied(&self, source: &Pod) -> Option<Arc<peerwalk_netpol::Decision>> {
        let port = PortSelector::Number(self.settings.hub_address.port());
        let hub = service::resolve(&self.index, &self.settings.hub, &port, Protocol::Tcp)?;
        let to = Destination::endpoint(hub.endpoints.first()?.address, Some(self.settings.hub_address));
        let decision = once(&self.index, source, to)?;
        (!decision.is_allowed()).then(|| Arc::new(decision))
    }

    fn endpoint_facts(&self, pair: &Pair<'_>) -> BTreeMap<IpAddr, EndpointFacts> {
        let mut facts = BTreeMap::new();
        if let Resolved::Service(_, _, Some(found)) = pair.resolved {
            for endpoint in &found.endpoints {
                facts.insert(endpoint.address.ip(), self.endpoint_fact(pair, endpoint));
            }
        }
        for to in self.destinations(pair.resolved, pair.evidence.map(|e| &e.walk)) {
            let pod = self.index.pod_by_ip(to.address.ip());
            let endpoint = Endpoint {
                address: to.address,
                ready: true,
                node: pod.and_then(|pod| pod.node.clone()),
                pod: pod.map(|pod| ObjectKey::new(&pod.id.namespace, &pod.id.name)),
            };
            facts.entry(to.address.ip()).or_insert_with(|| self.endpoint_fact(pair, &endpoint));
        }
        facts
    }

    /// Who sent the ICMP errors of a walk, as far as they are pods. Host-network pods answer as their node.
    fn pod_offenders(&self, pair: &Pair<'_>) -> BTreeSet<IpAddr> {
        let connect = pair.evidence.iter().flat_map(|evidence| &evidence.walk.connect);
        let errors = connect.flat_map(|connect| &connect.dials).flat_map(|dial| match &dial.outcome {
            DialOutcome::Failed { queue, .. } => &queue[..],
            _ => &[],
        });
        let offenders = errors.filter_map(|error| error.offender).map(|offender| offender.to_canonical());
        offenders.filter(|offender| self.index.pod_by_ip(*offender).is_some()).collect()
    }

    fn endpoint_fact(&self, pair: &Pair<'_>, endpoint: &Endpoint) -> EndpointFacts {
        let ip = endpoint.address.ip();
        let pod =
            endpoint.pod.as_ref().and_then(|key| self.index.pod(key)).filter(|pod| pod.ips.contains(&ip));
        let pod = pod.or_else(|| self.index.pod_by_ip(ip));
        let node = endpoint.node.clone().or_else(|| pod.and_then(|pod| pod.node.clone()));
        EndpointFacts {
            gone: pod.is_none() && self.is_gone(pair, endpoint),
            pod: pod.map(|pod| pod.id.to_string()).or_else(|| endpoint.pod.as_ref().map(ToString::to_string)),
            node: self.node_facts(node.as_deref()),
            ready: pod.map_or(endpoint.ready, |pod| pod.ready),
            host_network: pod.is_some_and(|pod| pod.host_network),
            node_lease_fresh: node.as_deref().and_then(|n| self.index.node(n)).is_some_and(|n| n.ready),
            started: pod.map(|pod| self.seen.started(pod)),
            last_heard: pod.and_then(|pod| self.heard_from(pod, ip)),
            admitted_source: self.sightings.admitted(
                endpoint.address,
                &pair.source.id,
                pair.evidence.map(|evidence| {
                    (evidence.since.max(pair.now.minus(SEEN)), last_found(evidence, endpoint.address))
                }),
            ),
            path: self.path(pair, node.as_deref(), ip),
        }
    }

    /// Whether the pod that an endpoint names is certain not to have its address: pods are heard of, and not only
    /// later than Services.
    fn is_gone(&self, pair: &Pair<'_>, endpoint: &Endpoint) -> bool {
        let changed = pair.resolved.service().and_then(|service| self.seen.service_changed(service));
        endpoint.pod.is_some()
            && !self.interrupted.contains_key(&Kind::Pod)
            && changed.is_none_or(|at| pair.now.since(at) >= GRACE)
    }

    /// The last packet from a pod in an address family: its stream to the hub has the family of the hub's
    /// address.
    fn heard_from(&self, pod: &Pod, ip: IpAddr) -> Option<Timestamp> {
        let told = self.evidence.pod(&pod.id)?;
        told.last_heard.filter(|_| ip.is_ipv4() == self.settings.hub_address.is_ipv4())
    }

    /// The last proof that the path to a node is whole: what any sidecar of the source's node saw, or the
    /// controls of the walk that was sent. Silence that was proven is told with those of its proof, however old.
    fn path(&self, pair: &Pair<'_>, node: Option<&str>, ip: IpAddr) -> Option<Sighting> {
        let path = pair.source.node.clone().zip(node).map(|(from, to)| Path {
            from,
            to: to.to_owned(),
            v4: ip.is_ipv4(),
        });
        let seen = path.and_then(|path| self.sightings.path(&path));
        let own = self.own_control(pair, node, ip);
        seen.cloned().into_iter().chain(own).max_by_key(|sighting| sighting.at)
    }

    fn own_control(&self, pair: &Pair<'_>, node: Option<&str>, ip: IpAddr) -> Option<Sighting> {
        let evidence = pair.evidence?;
        let dials = evidence.walk.connect.iter().flat_map(|connect| &connect.dials);
        let mut controls = dials.filter(|dial| {
            dial.purpose == DialPurpose::Control && dial.remote.is_ipv4() == ip.is_ipv4() && answered(dial)
        });
        controls.find_map(|dial| {
            let pod = self.index.pod_by_ip(dial.remote.ip())?;
            (pod.node.as_deref() == node)
                .then(|| Sighting { who: pod.id.to_string(), at: dial.started.plus(dial.elapsed) })
        })
    }

    fn node_facts(&self, name: Option<&str>) -> Option<Arc<NodeFacts>> {
        let name = name?;
        let record = self.index.node(name);
        Some(Arc::new(NodeFacts {
            name: name.to_owned(),
            addresses: record.map(|node| node.addresses.clone()).unwrap_or_default(),
            pod_networks: record.map(|node| node.pod_networks.clone()).unwrap_or_default(),
        }))
    }

    fn dns_decisions(&self, pair: &Pair<'_>) -> Vec<EndpointDecision> {
        let Some(evidence) = pair.evidence else { return Vec::new() };
        let servers = self.name_servers(&evidence.walk);
        servers.into_iter().filter_map(|to| self.decisions.get(&pair.source.id, to)).cloned().collect()
    }

    /// Who made the pods behind ready endpoints.
    fn owners<'e>(&self, endpoints: impl Iterator<Item = &'e Endpoint>) -> BTreeSet<String> {
        let ready = endpoints.filter(|endpoint| endpoint.ready);
        let pods = ready.filter_map(|endpoint| self.index.pod(endpoint.pod.as_ref()?));
        pods.filter_map(|pod| pod.owner.clone()).collect()
    }

    fn target_facts(&self, pair: &Pair<'_>) -> TargetFacts {
        match pair.resolved {
            Resolved::Service(key, port, found) => TargetFacts::Service(ServiceFacts {
                name: name_of(key, found.as_ref()),
                port: port.to_string(),
                found: found.as_ref().is_some_and(|f| !f.external),
                port_found: found.as_ref().is_some_and(|f| f.port.is_some()),
                number: found.as_ref().and_then(|f| f.port),
                headless: found.as_ref().is_some_and(|f| f.headless),
                addresses: service::members(&self.index, key),
                ready: found.iter().flat_map(|f| &f.endpoints).filter(|e| e.ready).count(),
                local: found
                    .iter()
                    .flat_map(|f| &f.endpoints)
                    .filter(|e| e.ready && e.node == pair.source.node)
                    .count(),
                internal_traffic_policy_local: found.as_ref().is_some_and(|f| f.internal_local),
                asked: Some(pair.asked),
                changed: self.seen.service_changed(key),
                owners: self.owners(found.iter().flat_map(|f| &f.endpoints)),
            }),
            Resolved::Url { allowed, .. } => TargetFacts::Url { allowed: *allowed },
            Resolved::Dns { .. } => TargetFacts::Dns,
        }
    }
}

/// When an endpoint was last found as it is told: of one that is dialled less often, walks tell what an earlier one found.
fn last_found(evidence: &TargetEvidence, endpoint: SocketAddr) -> Timestamp {
    let connect = evidence.walk.connect.as_ref();
    let open = connect.is_some_and(|connect| connect.breakers.iter().any(|b| b.remote == endpoint && b.open));
    let dials = connect.into_iter().flat_map(|connect| &connect.dials).filter(|dial| dial.remote == endpoint);
    let last = dials.map(|dial| dial.started).max();
    last.filter(|_| open).unwrap_or(evidence.started)
}

/// What to call a Service. One that is only an alias in DNS is none that could be walked to, and is told as
/// missing with the way out.
fn name_of(key: &ObjectKey, found: Option<&ResolvedService>) -> String {
    if found.is_some_and(|found| found.external) {
        return format!(
            "{key} with endpoints: it is of type ExternalName, give the check the url that it stands for"
        );
    }
    key.to_string()
}
