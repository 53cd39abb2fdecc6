//! Controls: pods whose answer proves that the path to an endpoint's node is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use peerwalk_model::plan::{Control, TargetKind};
use peerwalk_model::{Protocol, TargetKey};

use super::target::Resolved;
use super::{Engine, limits};
use crate::cluster::flow::Destination;
use crate::cluster::record::Pod;
use crate::decisions::once;

/// Controls of one target, at most.
const CONTROLS: usize = 4;
/// Pods that are looked at to find a control for one node, at most.
const CANDIDATES: usize = 32;

impl Engine {
    /// For each node that holds endpoints which the source dials, and each address family of them: one pod there
    /// that the source may reach by policy, with a port that it declares. On the source's own node the path needs
    /// no proof; there the control tells that the source itself can connect, which ends a diagnosis early.
    ///
    /// A control stays while it is good, whoever else comes: another one would be a change of the plan, and a
    /// walk of every pair.
    pub(super) fn controls(
        &mut self,
        source: &Pod,
        key: &TargetKey,
        resolved: &Resolved,
        kind: &TargetKind,
    ) -> Vec<Control> {
        let Resolved::Service(_, _, Some(found)) = resolved else { return Vec::new() };
        let dialled = |address: &SocketAddr| match kind {
            TargetKind::Service(service) => service.endpoints.contains(address),
            TargetKind::Url(_) | TargetKind::Dns(_) => true,
        };
        let mut places: BTreeMap<Place, Vec<SocketAddr>> = BTreeMap::new();
        for endpoint in found.endpoints.iter().filter(|e| e.ready && dialled(&e.address)) {
            if let Some(node) = endpoint.node.clone() {
                let place = Place { node, v4: endpoint.address.is_ipv4() };
                places.entry(place).or_default().push(endpoint.address);
            }
        }
        let of_the_target: BTreeSet<IpAddr> = found.endpoints.iter().map(|e| e.address.ip()).collect();
        let before = self.controls_by_place(source, key);
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_by_key(|(place, _)| !before.contains_key(place));
        let mut controls = Vec::new();
        for (place, endpoints) in places.into_iter().take(CONTROLS) {
            let wanted = Wanted { place, not: &of_the_target };
            if let Some((pod, address)) = self.control_on(source, &wanted, before.get(&wanted.place)) {
                let proves = endpoints.iter().map(SocketAddr::ip).take(limits::PROVES).collect();
                controls.push(Control { pod, address, proves });
            }
        }
        controls.sort_unstable();
        controls
    }

    /// The controls that the source has for a target, by the places they are at now.
    fn controls_by_place(&self, source: &Pod, key: &TargetKey) -> BTreeMap<Place, Control> {
        let plan = self.plans.get(&source.id).map(|plan| &plan.plan);
        let controls = plan.and_then(|plan| plan.targets.get(key)).into_iter().flat_map(|t| &t.controls);
        let place = |control: &Control| {
            let node = self.index.pod_by_ip(control.address.ip())?.node.clone()?;
            Some(Place { node, v4: control.address.is_ipv4() })
        };
        controls.filter_map(|control| Some((place(control)?, control.clone()))).collect()
    }

    fn control_on(
        &self,
        source: &Pod,
        wanted: &Wanted<'_>,
        before: Option<&Control>,
    ) -> Option<(String, SocketAddr)> {
        let index = &self.index;
        let kept = before.and_then(|control| {
            let pod = index.pod_by_ip(control.address.ip())?;
            wanted.candidate(pod, source).filter(|(_, address)| *address == control.address)
        });
        let others = index
            .pods_on(&wanted.place.node)
            .filter_map(|pod| wanted.candidate(pod, source))
            .take(CANDIDATES);
        kept.into_iter().chain(others).find(|(_, address)| {
            let decision = once(index, source, Destination::direct(*address));
            decision.is_some_and(|decision| decision.is_allowed() && decision.is_certain())
        })
    }
}

/// Where endpoints are: the path to one family of a node's addresses says nothing of the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    node: String,
    /// Of IPv4.
    v4: bool,
}

/// What a control has to be.
struct Wanted<'a> {
    place: Place,
    /// Addresses that are the target itself.
    not: &'a BTreeSet<IpAddr>,
}

impl Wanted<'_> {
    /// The name of a pod and where to dial it, when it could be a control.
    fn candidate(&self, pod: &Pod, source: &Pod) -> Option<(String, SocketAddr)> {
        let there = pod.node.as_ref() == Some(&self.place.node) && !pod.host_network && pod.id != source.id;
        if !there || !pod.running || !pod.ready || pod.terminating {
            return None;
        }
        let ip = pod.ips.iter().find(|ip| ip.is_ipv4() == self.place.v4 && !self.not.contains(ip))?;
        let port = pod.ports.iter().find(|port| port.protocol == Protocol::Tcp)?;
        Some((pod.id.to_string(), SocketAddr::new(*ip, port.number)))
    }
}
