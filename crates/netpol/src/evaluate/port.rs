//! Whether the port is one that a rule admits.

use peerwalk_model::Direction;

use super::Question;
use super::answer::Answer;
use crate::caveat::Caveat;
use crate::cluster::NamedPort;
use crate::decision::{PortDifference, PortReason};
use crate::policy::{Ports, RulePort};

impl Question<'_> {
    /// Whether one of the items of `ports` matches; if none does, why not, for each.
    pub(super) fn ports(&self, items: &[RulePort]) -> (Answer, Vec<PortDifference>) {
        if items.is_empty() {
            return (Answer::certain(true), Vec::new());
        }
        let mut answer = Answer::certain(false);
        let mut differences = Vec::new();
        for item in items {
            let (matches, reason) = self.port(item);
            answer = answer.or(matches);
            differences.extend(reason.map(|reason| PortDifference { listed: item.clone(), reason }));
        }
        if answer.holds {
            differences.clear();
        }
        (answer, differences)
    }

    pub(super) fn port(&self, item: &RulePort) -> (Answer, Option<PortReason>) {
        let same_protocol = item.protocol == self.flow.protocol;
        let fits = match &item.ports {
            Ports::All => true,
            Ports::Numbers(range) => range.contains(&self.flow.port),
            Ports::Named(name) => return self.named_port(item, name),
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

    /// A name is resolved against the destination pod, in both directions, and only for the item's protocol.
    fn named_port(&self, item: &RulePort, name: &str) -> (Answer, Option<PortReason>) {
        let destination = self.flow.destination.as_pod().filter(|pod| !pod.finished);
        let declared: Vec<&NamedPort> = destination
            .iter()
            .flat_map(|pod| &pod.named_ports)
            .filter(|port| port.name == name && port.protocol == item.protocol)
            .collect();
        let fitting = || declared.iter().filter(|port| port.number == self.flow.port);
        if fitting().next().is_none() {
            let numbers: Vec<u16> = declared.iter().map(|port| port.number).collect();
            let reason = if numbers.is_empty() {
                PortReason::NameUnresolved
            } else {
                PortReason::NameResolvesTo(numbers)
            };
            return (Answer::certain(false), Some(reason));
        }
        if item.protocol != self.flow.protocol {
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
        let mut answer = Answer::certain(true);
        if as_peer {
            answer.doubts.insert(Caveat::HostNetworkPeer);
        }
        if fitting().all(|port| port.init) {
            answer.doubts.insert(Caveat::InitContainerPort);
        }
        if declared.iter().any(|port| port.number != self.flow.port) {
            answer.doubts.insert(Caveat::AmbiguousNamedPort);
        }
        (answer, None)
    }
}
