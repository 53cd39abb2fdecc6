//! Black-box tests on a real control plane and real nodes.

pub mod crd;
pub mod nodes;
pub mod object;
pub mod process;
pub mod scene;
