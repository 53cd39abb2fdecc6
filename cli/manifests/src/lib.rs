//! Objects of Kubernetes, from files or from a server, as the policy engine sees them.
//!
//! A [`Reader`] takes texts (YAML or JSON, of any number of objects) and objects, and gives a [`Cluster`]: what policies
//! can see of it, and every object that could not be read, with its source, its field and the remedy. Nothing here opens
//! a file or speaks to a cluster.

mod assemble;
mod cluster;
mod fields;
mod head;
mod name;
mod pod;
mod policy;
mod prune;
mod reader;
mod seen;
mod service;
mod text;

pub use cluster::{Cluster, Effect, Endpoint, ObjectProblem, Service, ServicePort, Workload, WorkloadName};
pub use reader::{Limits, Reader};
