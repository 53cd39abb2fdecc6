//! Where walks go besides the Services that their targets name: name servers, and what a URL's host resolved to.
//! Only the sidecar knows, so it is read from what it found. Policies and endpoints there matter as much as the
//! target's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use peerwalk_model::evidence::DialPurpose;
use peerwalk_model::{PodRef, Protocol, TargetKey, Timestamp, Walk};

use super::target::Resolved;
use super::{Engine, Touched};
use crate::cluster::flow::Destination;
use crate::cluster::record::ObjectKey;
use crate::cluster::service;

/// Where the walks of a check go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Services whose address was asked or dialled, with their ready endpoints.
    services: BTreeMap<ObjectKey, BTreeSet<Destination>>,
    /// Every address where a connection or a question ended.
    ips: BTreeSet<IpAddr>,
    /// The namespaces of the pods there.
    namespaces: BTreeSet<String>,
}

impl Ways {
    /// Takes in the ways of another walk.
    pub fn extend(&mut self, other: Self) {
        self.services.extend(other.services);
        self.ips.extend(other.ips);
        self.namespaces.extend(other.namespaces);
    }

    /// Whether a Service that both know has other endpoints than `before`.
    pub fn differ_from(&self, before: &Self) -> bool {
        let other = |(service, endpoints): (&ObjectKey, &BTreeSet<Destination>)| {
            before.services.get(service).is_some_and(|before| before != endpoints)
        };
        self.services.iter().any(other)
    }

    fn touched(&self, touched: &Touched) -> bool {
        self.services.keys().any(|service| touched.services.contains(service))
            || self.namespaces.iter().any(|namespace| touched.policies.contains(namespace))
            || self.ips.iter().any(|ip| touched.ips.contains(ip))
    }
}

impl Engine {
    /// Checks that a change concerns though it is not one of theirs: something on the way of their walks, or a
    /// Service that a target may now mean.
    pub(super) fn on_the_way_of(&self, touched: &Touched) -> BTreeSet<ObjectKey> {
        if touched.services.is_empty() && touched.policies.is_empty() && touched.ips.is_empty() {
            return BTreeSet::new();
        }
        let may_mean =
            |target: &Resolved| matches!(target, Resolved::Service(.., None) | Resolved::Url { .. });
        let concerned = self.checks.iter().filter(|(_, state)| {
            state.ways.touched(touched)
                || (!touched.services.is_empty() && state.targets.iter().any(may_mean))
        });
        concerned.map(|(key, _)| key.clone()).collect()
    }

    /// What a walk leads to that only the sidecar knows is decided once it has been there.
    pub(super) fn follow_walk(&mut self, pod: &PodRef, walk: &Walk, now: Timestamp) {
        let mut destinations = self.dialled(walk, false);
        destinations.extend(self.name_servers(walk));
        self.decide_all(pod, &destinations, now);
        let ways = self.ways_of(walk, false);
        if let Some(state) = self.checks.get_mut(&ObjectKey::new(&pod.namespace, &walk.target.check)) {
            state.ways.extend(ways);
        }
    }

    /// Every address that a pod's decisions are still wanted for.
    pub(super) fn destinations_of(&self, pod: &PodRef) -> BTreeSet<Destination> {
        let mut all = BTreeSet::new();
        for (key, state) in &self.checks {
            let sampled = || state.selection.sampled.binary_search(pod).is_ok();
            let Some(check) = self.index.check(key).filter(|_| key.namespace == pod.namespace && sampled())
            else {
                continue;
            };
            for (target, resolved) in check.spec.targets.iter().zip(&state.targets) {
                let target = TargetKey { check: key.name.clone(), target: target.name.clone() };
                all.extend(self.on_the_way(resolved, self.walk_of(pod, &target)));
            }
        }
        all
    }

    /// Where connections to a target end and who resolves its name.
    pub(super) fn on_the_way(&self, resolved: &Resolved, walk: Option<&Walk>) -> BTreeSet<Destination> {
        let mut all = self.destinations(resolved, walk);
        all.extend(walk.into_iter().flat_map(|walk| self.name_servers(walk)));
        all
    }

    /// Where connections to a target end, after translation, as far as the cluster or a walk can tell.
    pub(super) fn destinations(&self, resolved: &Resolved, walk: Option<&Walk>) -> BTreeSet<Destination> {
        let mut all = resolved.destinations();
        if let Some(walk) = walk {
            all.extend(self.dialled(walk, matches!(resolved, Resolved::Url { .. })));
        }
        all
    }

    /// The pods behind the name servers that a walk asked.
    pub(super) fn name_servers(&self, walk: &Walk) -> BTreeSet<Destination> {
        let servers = servers(walk).into_iter();
        let of_the_cluster = servers.filter(|server| self.index.service_by_ip(server.ip()).is_some());
        of_the_cluster.flat_map(|server| self.behind(server, Protocol::Udp)).collect()
    }

    pub(super) fn walk_of(&self, pod: &PodRef, key: &TargetKey) -> Option<&Walk> {
        self.evidence.pod(pod)?.target(key).map(|evidence| &evidence.walk)
    }

    /// What a walk went through; `services` as in [`Engine::dialled`].
    pub(super) fn ways_of(&self, walk: &Walk, services: bool) -> Ways {
        let mut ways = Ways::default();
        let asked = servers(walk).into_iter().map(|server| (server, Protocol::Udp));
        let dialled = addresses(walk, services).map(|address| (address, Protocol::Tcp));
        for (address, protocol) in asked.chain(dialled) {
            let ends = self.behind(address, protocol);
            for ip in ends.iter().map(|to| to.address.ip()) {
                ways.namespaces.extend(self.index.pod_by_ip(ip).map(|pod| pod.id.namespace.clone()));
                ways.ips.insert(ip);
            }
            if let Some(service) = self.index.service_by_ip(address.ip()) {
                ways.services.entry(service.clone()).or_default().extend(ends);
            }
        }
        ways
    }

    /// Where the dials of a walk ended, to addresses that a name resolved to. Those of Services among them are
    /// wanted only where the target is no Service itself, whose endpoints are known.
    fn dialled(&self, walk: &Walk, services: bool) -> BTreeSet<Destination> {
        addresses(walk, services).flat_map(|address| self.behind(address, Protocol::Tcp)).collect()
    }

    /// Where connections to an address end: at the ready endpoints when it is a Service's own, else there.
    fn behind(&self, address: SocketAddr, protocol: Protocol) -> BTreeSet<Destination> {
        let Some(endpoints) = service::behind(&self.index, address, protocol) else {
            return BTreeSet::from([Destination { address, protocol, service: None }]);
        };
        let ready = endpoints.into_iter().filter(|endpoint| endpoint.ready);
        ready.map(|e| Destination { address: e.address, protocol, service: Some(address) }).collect()
    }
}

/// The addresses of a walk that its target's name resolved to.
fn addresses(walk: &Walk, services: bool) -> impl Iterator<Item = SocketAddr> + '_ {
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    let wanted = dials.filter(move |dial| match dial.purpose {
        DialPurpose::Address => true,
        DialPurpose::ServiceAddress => services,
        DialPurpose::Endpoint | DialPurpose::Control | DialPurpose::Proxy => false,
    });
    wanted.map(|dial| dial.remote)
}

/// The name servers that a walk asked.
fn servers(walk: &Walk) -> BTreeSet<SocketAddr> {
    walk.resolve.iter().flat_map(|resolve| &resolve.queries).map(|query| query.server).collect()
}
