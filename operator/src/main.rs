//! The operator: controller, hub, webhook and metrics in one binary.

fn main() {}
