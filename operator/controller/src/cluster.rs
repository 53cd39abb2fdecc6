//! What the controller knows of the cluster: slim records, decoded from watches and kept by key.
//!
//! Only the fields that planning and judging use are decoded. Environment variables and volumes
//! of other people's pods never stay in memory, and of their annotations only our own does.

pub mod decode;
pub mod flow;
pub mod index;
pub mod record;
pub mod service;
pub mod sidecar;

pub use index::{Change, Index, PodChange};
pub use record::{
    EndpointRecord, EndpointSlice, Named, Namespace, Node, Object, ObjectKey, Pod, Service, ServicePort,
};
