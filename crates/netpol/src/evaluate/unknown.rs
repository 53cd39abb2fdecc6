//! What cannot be known here: addresses of pods that have none yet, and labels of namespaces that were not given.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Question;
use super::answer::Answer;
use crate::caveat::Caveat;
use crate::cluster::NAMESPACE_NAME_LABEL;
use crate::flow::Peer;
use crate::selector::{Requirement, Selector};

impl Question<'_> {
    /// Whether a block or one of several networks holds the other end's address.
    pub(super) fn held(&self, networks: &[IpNet], except: &[IpNet]) -> Answer {
        let address = self.peer.ip.to_canonical();
        if !self.is_unplaced() {
            let holds = |network: &IpNet| network.contains(&address);
            return Answer::certain(networks.iter().any(holds) && !except.iter().any(holds));
        }
        let of_family = |network: &IpNet| network.addr().is_ipv4() == address.is_ipv4();
        let whole = |network: &IpNet| network.prefix_len() == 0 && of_family(network);
        if except.is_empty() && networks.iter().any(whole) {
            return Answer::certain(true);
        }
        // Between two pods without addresses the connection may be of either family.
        let is_of_family = self.flow.service.is_some() || !is_unplaced(self.flow.subject(self.direction));
        if networks.iter().any(|network| !is_of_family || of_family(network)) {
            Answer::doubtful(false, Caveat::UnknownAddress)
        } else {
            Answer::certain(false)
        }
    }

    /// Whether the other end is a pod that has no address yet. The flow's address says no more than the family then.
    pub(super) fn is_unplaced(&self) -> bool {
        is_unplaced(self.peer)
    }

    /// Whether what a requirement asks of the other end's namespace is not known.
    pub(super) fn is_unknown_of_namespace(&self, requirement: &Requirement) -> bool {
        !self.is_namespace_given && !is_of_name(requirement)
    }
}

fn is_unplaced(peer: &Peer) -> bool {
    peer.as_pod().is_some_and(|pod| pod.ips.is_empty())
}

fn is_of_name(requirement: &Requirement) -> bool {
    requirement.key == NAMESPACE_NAME_LABEL
}

/// Whether a selector selects a namespace. Of one that is not given, only the name is known.
pub(super) fn selects(selector: &Selector, labels: &BTreeMap<String, String>, is_given: bool) -> Answer {
    let mut selected = Answer::certain(selector.matches(labels));
    let mut of_name = selector.requirements.iter().filter(|requirement| is_of_name(requirement));
    if !is_given
        && !selector.requirements.iter().all(is_of_name)
        && of_name.all(|requirement| requirement.matches(labels))
    {
        selected.doubts.insert(Caveat::UnknownNamespace);
    }
    selected
}
