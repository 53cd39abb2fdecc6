//! From watch events to records: partial types that decode only the fields we use.

mod check;
mod cluster_policy;
mod network;
mod pod;
mod sidecar;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use peerwalk_netpol as netpol;

use super::record::{Named, Object, ObjectKey};

pub use check::SomeCheck;
pub use cluster_policy::cluster_policy;
pub use network::{SlimEndpointSlice, SlimNamespace, SlimNode, SlimService};
pub use pod::SlimPod;

/// A watched kind that becomes a record.
pub trait Decode: kube::Resource {
    /// Which kind it is.
    const KIND: Kind;

    /// The record. Never fails: what cannot be read is a record that says so.
    fn decode(self) -> Object;

    /// The record with its key.
    fn named(self) -> Named<Object>
    where
        Self: Sized,
    {
        let key = ObjectKey::new(self.meta().namespace.clone().unwrap_or_default(), self.name_any());
        Named { key, value: self.decode() }
    }
}

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1 Pod`.
    Pod,
    /// `v1 Service`.
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// `v1 Namespace`.
    Namespace,
    /// `v1 Node`.
    Node,
    /// `networking.k8s.io/v1 NetworkPolicy`.
    NetworkPolicy,
    /// `peerwalk.dev/v1alpha1 ConnectivityCheck`.
    Check,
    /// `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy`.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1 BaselineAdminNetworkPolicy`.
    BaselineAdminNetworkPolicy,
}

impl Kind {
    /// The kinds that every API server serves which the operator is installed at; the index is complete once each has
    /// been listed.
    pub const REQUIRED: [Self; 7] = [
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Namespace,
        Self::Node,
        Self::NetworkPolicy,
        Self::Check,
    ];

    /// The kinds that are watched where discovery finds them.
    pub const OPTIONAL: [Self; 3] =
        [Self::ClusterNetworkPolicy, Self::AdminNetworkPolicy, Self::BaselineAdminNetworkPolicy];
}

impl Decode for DeserializeGuard<NetworkPolicy> {
    const KIND: Kind = Kind::NetworkPolicy;

    fn decode(self) -> Object {
        Object::NetworkPolicy(match self.0 {
            Ok(policy) => netpol::lower::network_policy(&policy).map(Box::new).map_err(|e| e.to_string()),
            Err(error) => Err(error.error),
        })
    }
}
