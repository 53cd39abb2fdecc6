//! Black-box tests, benchmarks and the soak on a real control plane and real nodes.

pub mod audit;
pub mod counters;
pub mod crd;
pub mod machine;
pub mod many;
pub mod measure;
pub mod nodes;
pub mod object;
pub mod observer;
pub mod page;
pub mod process;
pub mod rows;
pub mod scene;
pub mod shell;
pub mod start;
pub mod workloads;
