//! Every command of the project: cluster, demo, test, generated files, benchmarks.

fn main() {}
