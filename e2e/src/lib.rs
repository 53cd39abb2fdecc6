//! Black-box tests and benchmarks on a real control plane and real nodes.

pub mod crd;
pub mod measure;
pub mod nodes;
pub mod object;
pub mod process;
pub mod scene;
