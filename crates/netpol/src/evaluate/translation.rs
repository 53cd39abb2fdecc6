//! What a rule says of a connection to a Service before the address is translated.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Question;
use super::answer::Answer;
use crate::caveat::Caveat;
use crate::difference::{PeerDifference, PortDifference};
use crate::policy::{Ports, Rule, RulePeer, RulePort};
use crate::profile::ServiceAddress;

impl Question<'_> {
    /// Whether a rule admits the Service's own address and port. Some data planes apply egress policies where the
    /// pod's packets still carry these (the AWS VPC CNI filters at the pod's own interface); selectors are resolved to
    /// Services there, so that they see the same.
    pub(super) fn admits_before(&self, namespace: &Arc<str>, rule: &Rule, service: SocketAddr) -> Answer {
        let selected = rule.peers.iter().map(|item| match item {
            RulePeer::Pods { namespaces, pods } => self.pods(namespace, namespaces.as_ref(), pods).0,
            RulePeer::IpBlock { .. } => Answer::certain(false),
        });
        let by_label = any(selected).and(self.ports(&rule.ports).0);
        let read = self.reads(service.ip().to_canonical());
        let held = rule.peers.is_empty() || rule.peers.iter().any(|item| read && item.holds(service.ip()));
        let listed = any(rule.ports.iter().map(|item| self.lists_before(item, service.port())));
        let listed = if rule.ports.is_empty() { Answer::certain(true) } else { listed };
        by_label.or(Answer::certain(held).and(listed))
    }

    /// A name stands for a port of the destination pod, wherever the rule is applied.
    pub(super) fn lists_before(&self, item: &RulePort, port: u16) -> Answer {
        let same_protocol = item.protocol == self.flow.protocol;
        match &item.ports {
            Ports::All => Answer::certain(same_protocol),
            Ports::Numbers(range) if same_protocol && range.contains(&port) && *range.start() != port => {
                Answer::doubtful(true, Caveat::EndPort)
            }
            Ports::Numbers(range) => Answer::certain(same_protocol && range.contains(&port)),
            Ports::Named(_) => self.port(item).0,
        }
    }

    /// Takes in what a rule says of the Service's own address and port: a doubt where it is, or could be, otherwise, and
    /// the answer where the profile says that rules are applied there.
    pub(super) fn translated(
        &self,
        service: SocketAddr,
        before: Answer,
        matches: Answer,
        peer: &mut Vec<PeerDifference>,
        port: &mut Vec<PortDifference>,
    ) -> Answer {
        let after = self.profile.service_address == ServiceAddress::Translated;
        let other = matches.holds != before.holds;
        let answer = Answer::choose(&Answer::doubtful(after, Caveat::TranslatedAddress), matches, before);
        if !after && other {
            peer.clear();
            port.clear();
            if !answer.holds {
                peer.push(PeerDifference::ServiceAddress(service));
            }
        }
        answer
    }
}

/// Whether one of them holds.
pub(super) fn any(answers: impl Iterator<Item = Answer>) -> Answer {
    answers.fold(Answer::certain(false), Answer::or)
}
