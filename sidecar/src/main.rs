//! The sidecar: receives a plan, walks, reports.

fn main() {}
