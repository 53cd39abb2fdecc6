//! `cargo xtask faultlab`: networks broken in every known way, and what the probe says of each.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use peerwalk_cluster::Terminal;

use crate::artifacts;
use crate::images::{self, Profile};
use crate::tree;

#[derive(Args)]
#[command(
    after_help = "Needs root, ip and nft: the networks are network namespaces of this machine, with no way out.\n\n\
Examples:\n  cargo xtask faultlab\n  cargo xtask faultlab connect/drop dns/\n  cargo xtask faultlab --load\n  cargo xtask faultlab --repeat 20 --markdown tables.md"
)]
pub(crate) struct Arguments {
    /// Only cases whose name has one of these words (`e2e/faultlab/cases`)
    words: Vec<String>,
    /// How often each is played
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// How many are played at the same time; 32 unless given, 16 with --load
    #[arg(long)]
    jobs: Option<usize>,
    /// Other connections in each network, and two threads that take the processors; only wrong answers fail then
    #[arg(long)]
    load: bool,
    /// Also cases that take long, which `--repeat` plays anyway
    #[arg(long)]
    all: bool,
    /// Write the confusion matrix and the times there, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    peerwalk_cluster::check_rights()?;
    let missing = peerwalk_cluster::missing_packages(1);
    let missing: Vec<&str> = missing.into_iter().filter(|p| PACKAGES.contains(p)).collect();
    peerwalk_cluster::install_missing(&missing, &mut Terminal::default())?;
    images::compile(Profile::Quick)?;
    let mut lab = command()?;
    lab.args(["--repeat", &arguments.repeat.to_string()]);
    if let Some(jobs) = arguments.jobs {
        lab.args(["--jobs", &jobs.to_string()]);
    }
    for (flag, given) in [("--load", arguments.load), ("--all", arguments.all)] {
        if given {
            lab.arg(flag);
        }
    }
    if let Some(file) = &arguments.markdown {
        lab.arg("--markdown").arg(file);
    }
    let status = lab.args(&arguments.words).status().context("cannot start the fault lab")?;
    Ok(tree::code(status))
}

/// Of a cluster's packages, those of the lab.
const PACKAGES: [&str; 3] = ["iproute2", "nftables", "util-linux"];

/// The lab's program with the probe and the cases of this tree; both are built.
pub(crate) fn command() -> Result<Command> {
    let built = artifacts::build(tree::cargo().args(["build", "--package", "peerwalk-faultlab"]))?;
    let program = built.into_iter().filter_map(|artifact| artifact.executable).next_back();
    let mut command = Command::new(program.context("cargo made no program of the fault lab")?);
    command.arg("--cases").arg(tree::root().join(Path::new("e2e/faultlab/cases")));
    command.arg("--probe").arg(images::binaries(Profile::Quick).join("peerwalk-sidecar"));
    Ok(command)
}
