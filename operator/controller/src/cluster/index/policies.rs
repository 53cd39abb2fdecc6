//! Policies, and the index that decisions are made by: it takes in each change by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerwalk_netpol as netpol;
use peerwalk_netpol::{PolicyKind, PolicyRef};

/// A policy as it was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    OfNamespace(Arc<netpol::Policy>),
    OfCluster(Arc<netpol::ClusterPolicy>),
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl Policy {
    pub fn of_namespace(policy: Result<Box<netpol::Policy>, String>) -> Self {
        policy.map_or_else(Self::Unreadable, |policy| Self::OfNamespace(policy.into()))
    }

    pub fn of_cluster(policy: Result<Box<netpol::ClusterPolicy>, String>) -> Self {
        policy.map_or_else(Self::Unreadable, |policy| Self::OfCluster(policy.into()))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Policies {
    known: BTreeMap<PolicyRef, Policy>,
    pub index: netpol::PolicyIndex,
}

impl Policies {
    /// Takes in what became of a policy, `None` when it is gone, and gives what it was before.
    pub fn set(&mut self, reference: &PolicyRef, policy: Option<&Policy>) -> Option<Policy> {
        let old = match policy {
            Some(policy) => self.known.insert(reference.clone(), policy.clone()),
            None => self.known.remove(reference),
        };
        if old.as_ref() != policy {
            let name = reference.clone();
            self.index.apply(match policy {
                Some(Policy::OfNamespace(policy)) => netpol::Change::Policy(name, Some(Arc::clone(policy))),
                Some(Policy::OfCluster(policy)) => {
                    netpol::Change::ClusterPolicy(name, Some(Arc::clone(policy)))
                }
                Some(Policy::Unreadable(_)) => {
                    self.index.apply_unreadable(name);
                    return old;
                }
                None if name.kind == PolicyKind::NetworkPolicy => netpol::Change::Policy(name, None),
                None => netpol::Change::ClusterPolicy(name, None),
            });
        }
        old
    }

    /// The names of those of a kind.
    pub fn of_kind(&self, kind: PolicyKind) -> impl Iterator<Item = &PolicyRef> {
        self.known.keys().filter(move |reference| reference.kind == kind)
    }
}
