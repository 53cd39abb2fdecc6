//! Where the sender of an ICMP error stands, seen from the connection.

use std::net::IpAddr;

use crate::address::Address;
use crate::facts::{EndpointFacts, Facts, NodeFacts};

/// Where the sender of an ICMP error stands. Both sides are set when the pods share a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where egress of the source is enforced: its pod or its node.
    pub egress: bool,
    /// Where ingress of the target is enforced: its pod or its node.
    pub ingress: bool,
    /// In words, such as `node n2, the target's`.
    pub text: String,
}

impl Place {
    fn new(egress: bool, ingress: bool, text: impl Into<String>) -> Self {
        Self { egress, ingress, text: text.into() }
    }
}

/// Where the sender of an error about `address` stands.
pub(crate) fn place(facts: &Facts, address: &Address, offender: Option<IpAddr>) -> Place {
    let Some(offender) = offender.map(|offender| offender.to_canonical()) else {
        return Place::new(false, false, "a sender that is not known");
    };
    let target = facts.endpoints.get(&address.remote.ip());
    if facts.source.addresses.contains(&offender) || address.local == Some(offender) {
        // A host-network pod has the address of its node.
        let shared = target.is_some_and(|target| is_of_node(target, offender));
        return Place::new(true, shared, "the source pod itself");
    }
    if offender == address.remote.ip() {
        return Place::new(false, true, "the target's own address");
    }
    let of_pod = facts.endpoints.contains_key(&offender) || facts.pod_offenders.contains(&offender);
    let owns = |node: &NodeFacts| node.addresses.contains(&offender) || (!of_pod && node.owns(offender));
    let own = facts.source.node.as_deref().filter(|node| owns(node));
    let theirs = target.and_then(|target| target.node.as_deref()).filter(|node| owns(node));
    match (own, theirs) {
        (Some(node), Some(_)) => Place::new(true, true, format!("node {}, which both pods share", node.name)),
        (Some(node), None) => Place::new(true, false, format!("node {}, the source's", node.name)),
        (None, Some(node)) => Place::new(false, true, format!("node {}, the target's", node.name)),
        (None, None) if of_pod => Place::new(false, false, "another pod"),
        (None, None) => Place::new(false, false, "neither of the pods' nodes"),
    }
}

fn is_of_node(target: &EndpointFacts, address: IpAddr) -> bool {
    target.node.as_deref().is_some_and(|node| node.addresses.contains(&address))
}

#[cfg(test)]
mod tests;
