//! Whether the port is one that a rule lists.

use peerwalk_model::{Direction, Protocol};

use super::Question;
use super::answer::Answer;
use crate::caveat::Caveat;
use crate::cluster::{NamedPort, Pod};
use crate::cluster_policy::ClusterPort;
use crate::difference::{ListedPort, PortDifference, PortReason};
use crate::policy::{Ports, RulePort};
use crate::profile::NamedPorts;

impl Question<'_> {
    /// Whether one of the items of `ports` matches; if none does, why not, for each.
    pub(super) fn ports(&self, items: &[RulePort]) -> (Answer, Vec<PortDifference>) {
        any_of(items, |item| {
            let (matches, reason) = self.port(item);
            (matches, reason.map(|reason| (ListedPort::Port(item.clone()), reason)))
        })
    }

    /// The same for a policy of the cluster. Its ranges of ports are a core part of its API, so that none is a caveat.
    pub(super) fn cluster_ports(&self, items: &[ClusterPort]) -> (Answer, Vec<PortDifference>) {
        any_of(items, |item| match item {
            ClusterPort::Numbers(item) => {
                let (mut matches, reason) = self.port(item);
                matches.doubts.remove(&Caveat::EndPort);
                (matches, reason.map(|reason| (ListedPort::Port(item.clone()), reason)))
            }
            ClusterPort::Named(name) => {
                let (matches, reason) = self.named_port(name, None);
                (matches, reason.map(|reason| (ListedPort::Named(name.clone()), reason)))
            }
            ClusterPort::Unknown(_) => (Answer::certain(false), None),
        })
    }

    pub(super) fn port(&self, item: &RulePort) -> (Answer, Option<PortReason>) {
        let same_protocol = item.protocol == self.flow.protocol;
        let fits = match &item.ports {
            Ports::All => true,
            Ports::Numbers(range) => range.contains(&self.flow.port),
            Ports::Named(name) => return self.rule_named_port(item.protocol, name),
        };
        let reason = match (fits, same_protocol) {
            (true, true) => None,
            (true, false) => Some(PortReason::OtherProtocol),
            (false, _) => Some(PortReason::OtherNumber),
        };
        let mut answer = Answer::certain(reason.is_none());
        if let Ports::Numbers(range) = &item.ports
            && answer.holds
            && *range.start() != self.flow.port
        {
            answer.doubts.insert(Caveat::EndPort);
        }
        (answer, reason)
    }

    /// A name in a NetworkPolicy, which not everybody reads.
    fn rule_named_port(&self, protocol: Protocol, name: &str) -> (Answer, Option<PortReason>) {
        let (mut resolved, reason) = self.named_port(name, Some(protocol));
        if self.profile.named_ports != NamedPorts::Unread {
            return (resolved, reason);
        }
        let fits = protocol == self.flow.protocol;
        if fits != resolved.holds || !resolved.doubts.is_empty() {
            resolved = Answer::doubtful(fits, Caveat::PortName);
        }
        (resolved, if fits { None } else { reason.or(Some(PortReason::OtherProtocol)) })
    }

    /// A name is resolved against the destination pod, in both directions; in a NetworkPolicy only for the item's
    /// protocol, in a policy of the cluster with the pod's.
    fn named_port(&self, name: &str, protocol: Option<Protocol>) -> (Answer, Option<PortReason>) {
        let destination = self.flow.destination.as_pod().filter(|pod| !pod.finished);
        let declared: Vec<&NamedPort> = destination
            .iter()
            .flat_map(|pod| &pod.named_ports)
            .filter(|port| port.name == name && protocol.is_none_or(|protocol| port.protocol == protocol))
            .collect();
        let number_fits = || declared.iter().filter(|port| port.number == self.flow.port);
        if number_fits().next().is_none() {
            let numbers: Vec<u16> = declared.iter().map(|port| port.number).collect();
            let reason = if numbers.is_empty() {
                PortReason::NameUnresolved
            } else {
                PortReason::NameResolvesTo(numbers)
            };
            return (Answer::certain(false), Some(reason));
        }
        let fitting = || number_fits().filter(|port| port.protocol == self.flow.protocol);
        if fitting().next().is_none() {
            return (Answer::certain(false), Some(PortReason::OtherProtocol));
        }
        // As the peer of an egress rule, a host-network pod may be its node, which has no named ports. As the
        // subject of an ingress rule it is a pod, or no policy applies at all.
        let host_network = destination.is_some_and(|pod| pod.host_network);
        let as_peer = host_network && self.direction == Direction::Egress;
        if as_peer && !destination.is_some_and(|pod| self.profile.sees_as_pod(pod)) {
            let answer = Answer::doubtful(false, Caveat::HostNetworkPeer);
            return (answer, Some(PortReason::NameUnresolved));
        }
        let counted = destination.is_some_and(|pod| {
            self.counts(pod, name, &|port| fitting().any(|fitting| std::ptr::eq(*fitting, port)))
        });
        let mut answer = Answer::certain(counted);
        if as_peer {
            answer.doubts.insert(Caveat::HostNetworkPeer);
        }
        if fitting().all(|port| port.init) {
            answer.doubts.insert(Caveat::InitContainerPort);
        }
        let first_only =
            matches!(self.profile.named_ports, NamedPorts::First | NamedPorts::FirstOfProtocol) && !counted;
        if first_only || declared.iter().any(|port| port.number != self.flow.port) {
            answer.doubts.insert(Caveat::AmbiguousNamedPort);
        }
        (answer, (!counted).then_some(PortReason::NameUnresolved))
    }

    /// Whether one of the ports that fit is one that the profile takes the name for.
    fn counts(&self, pod: &Pod, name: &str, fits: &dyn Fn(&NamedPort) -> bool) -> bool {
        let counted =
            |port: &&NamedPort| port.name == name && (self.profile.init_container_ports || !port.init);
        let mut ports = pod.named_ports.iter().filter(counted);
        match self.profile.named_ports {
            NamedPorts::All | NamedPorts::Unread => ports.any(fits),
            NamedPorts::First => ports.next().is_some_and(fits),
            NamedPorts::FirstOfProtocol => {
                ports.find(|port| port.protocol == self.flow.protocol).is_some_and(fits)
            }
        }
    }
}

/// Whether one of the items matches, or there are none; if none does, why not, for each.
fn any_of<T>(
    items: &[T],
    compare: impl Fn(&T) -> (Answer, Option<(ListedPort, PortReason)>),
) -> (Answer, Vec<PortDifference>) {
    if items.is_empty() {
        return (Answer::certain(true), Vec::new());
    }
    let mut answer = Answer::certain(false);
    let mut differences = Vec::new();
    for item in items {
        let (matches, difference) = compare(item);
        answer = answer.or(matches);
        differences.extend(difference.map(|(listed, reason)| PortDifference { listed, reason }));
    }
    if answer.holds {
        differences.clear();
    }
    (answer, differences)
}
