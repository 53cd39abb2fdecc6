//! NetworkPolicy evaluation: the decision for a flow, and why.
//!
//! Policies, namespaces, pods and flows go in as plain data; a [`Decision`] comes out with every policy and
//! rule that took part, the nearest misses, and every point of the answer that the Kubernetes API leaves to
//! the implementation ([`Caveat`]). Nothing here does I/O, knows the time or speaks to a cluster. With the
//! feature `k8s`, [`lower`] reads the Kubernetes types; with `serde`, a decision has a form for files.
//!
//! The semantics are those of `networking.k8s.io/v1` (`staging/src/k8s.io/api/networking/v1/types.go`, its
//! defaulting and validation, the NetworkPolicy page of kubernetes.io, and the sig-network e2e tests), and of
//! `policy.networking.k8s.io` v1alpha2 and v1alpha1 (the types and conformance tests of
//! kubernetes-sigs/network-policy-api). Where they leave room, `docs/policy-semantics.md` says how it is read here.

mod admit;
mod caveat;
mod cluster;
mod cluster_policy;
mod decision;
mod difference;
mod evaluate;
#[cfg(test)]
mod fixture;
mod flow;
pub mod foreign;
mod index;
#[cfg(feature = "k8s")]
pub mod lower;
mod matrix;
mod policy;
mod port_set;
mod profile;
#[cfg(feature = "serde")]
mod record;
mod roll_up;
mod selector;
mod span;
mod text;

pub use admit::{AdmittingPeer, AdmittingRule, Fix};
pub use caveat::Caveat;
pub use cluster::{NamedPort, Namespace, Node, Pod};
pub use cluster_policy::{Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, PodSet, Tier};
pub use decision::{
    Cause, Decision, DirectionDecision, Exemption, Mismatch, PolicyStep, RuleRef, RuleStep, Verdict,
};
pub use difference::{Difference, ListedPort, NearestMiss, PeerDifference, PortDifference, PortReason};
pub use evaluate::evaluate;
pub use flow::{Flow, Peer, PeerKind};
pub use index::PolicyIndex;
pub use matrix::{
    AddressRange, Block, Change, Changed, ChangedDecisions, Changes, End, EndId, Matrix, Member, Objects,
    Owner, PairDifference, Party, PortsId, Reach, Reached,
};
pub use peerwalk_model::{Direction, Protocol};
pub use policy::{Policy, PolicyKind, PolicyRef, Ports, Rule, RulePeer, RulePort};
pub use port_set::PortSet;
pub use profile::{HostNetwork, NamedPorts, Profile, ServiceAddress};
pub use roll_up::RollUp;
pub use selector::{Operator, Requirement, Selector};
