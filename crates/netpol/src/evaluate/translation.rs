//! What a rule says of a connection to a Service before the address is translated.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Question;
use crate::policy::{Ports, Rule, RulePeer, RulePort};

impl Question<'_> {
    /// Whether a rule admits the Service's own address and port. Some data planes apply egress policies where the
    /// pod's packets still carry these (the AWS VPC CNI filters at the pod's own interface); selectors are resolved to
    /// Services there, so that they see the same.
    pub(super) fn admits_before(&self, namespace: &Arc<str>, rule: &Rule, service: SocketAddr) -> bool {
        let selected = |item: &RulePeer| match item {
            RulePeer::Pods { namespaces, pods } => self.pods(namespace, namespaces.as_ref(), pods).0.holds,
            RulePeer::IpBlock { .. } => false,
        };
        let by_label = rule.peers.iter().any(selected) && self.ports(&rule.ports).0.holds;
        let read = self.reads(service.ip().to_canonical());
        let held = rule.peers.is_empty() || rule.peers.iter().any(|item| read && item.holds(service.ip()));
        let listed = |item: &RulePort| self.lists_before(item, service.port());
        by_label || (held && (rule.ports.is_empty() || rule.ports.iter().any(listed)))
    }

    /// A name stands for a port of the destination pod, wherever the rule is applied.
    pub(super) fn lists_before(&self, item: &RulePort, port: u16) -> bool {
        match &item.ports {
            Ports::All => item.protocol == self.flow.protocol,
            Ports::Numbers(range) => item.protocol == self.flow.protocol && range.contains(&port),
            Ports::Named(_) => self.port(item).0.holds,
        }
    }
}
