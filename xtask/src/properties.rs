//! `cargo xtask netpol-properties`: the properties of the policy engine over many random clusters.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::tree;

/// How many flows each random cluster has (`crates/netpol/tests/properties/generate.rs`).
const FLOWS_OF_A_CLUSTER: u64 = 12;

#[derive(Args)]
#[command(
    after_help = "Every property is tried with so many flows in random clusters: the evaluation of a flow against a \
naive second one, all pairs against flow by flow, changes against everything from scratch, differences against those of sets.\n\n\
Examples:\n  cargo xtask netpol-properties\n  cargo xtask netpol-properties --flows 100000"
)]
pub(crate) struct Arguments {
    /// How many flows
    #[arg(long, default_value_t = 1_000_000)]
    flows: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let clusters = arguments.flows.div_ceil(FLOWS_OF_A_CLUSTER).max(1);
    let mut cargo = tree::cargo();
    cargo.args(["test", "--release", "--package", "peerwalk-netpol", "--test", "properties"]);
    tree::must(cargo.env("PROPTEST_CASES", clusters.to_string()))?;
    tree::say(&format!(
        "Every property holds for {clusters} clusters with {} flows.",
        clusters * FLOWS_OF_A_CLUSTER
    ));
    Ok(ExitCode::SUCCESS)
}
