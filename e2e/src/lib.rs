//! Black-box tests, benchmarks and the soak on a real control plane and real nodes.

pub mod counters;
pub mod crd;
pub mod machine;
pub mod many;
pub mod measure;
pub mod nodes;
pub mod object;
pub mod observer;
pub mod process;
pub mod scene;
pub mod start;
pub mod workloads;
