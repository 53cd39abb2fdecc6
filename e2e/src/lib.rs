//! Black-box tests on a real control plane and real nodes.

pub mod crd;
