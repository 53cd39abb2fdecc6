//! `cargo xtask bench`: what is measured, and how to measure it again. Results are tables in Markdown, for
//! `docs/benchmarks.md`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use peerwalk_cluster::{Image, Options, Place, Terminal};

use crate::artifacts;
use crate::images::{self, Profile};
use crate::test;
use crate::tree;

#[derive(Args)]
#[command(
    after_help = "Each measures the programs as released (profile dist), on a cluster of its own that it ends.\n\n\
Examples:\n  cargo xtask bench\n  cargo xtask bench change\n  PEERWALK_BENCH_MINUTES=1 cargo xtask bench steady"
)]
pub(crate) struct Arguments {
    /// What to measure; everything when none is named
    #[arg(value_enum)]
    what: Vec<What>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Sizes of the binaries
    Size,
    /// The operator's memory with 1,000 pods and sidecars (about 3 minutes)
    Scale,
    /// From a policy to the condition, in its parts, 30 times in two deny modes (about 10 minutes)
    Change,
    /// Ten steady minutes: API writes, CPU and memory, beside blackbox_exporter
    Steady,
}

impl What {
    const ALL: [Self; 4] = [Self::Size, Self::Scale, Self::Change, Self::Steady];

    /// The bench of `e2e/benches`, and the nodes it needs.
    fn bench(self) -> Option<(&'static str, u8)> {
        match self {
            Self::Size => None,
            Self::Scale => Some(("scale", 0)),
            Self::Change => Some(("change", 2)),
            Self::Steady => Some(("steady", 2)),
        }
    }
}

/// The cluster of an interrupted run ends by itself after this.
const CLUSTER_LIFE: Duration = Duration::from_hours(1);
/// What a sidecar is compared with.
const EXPORTER: &str = "prometheus-blackbox-exporter";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let all = if arguments.what.is_empty() { &What::ALL[..] } else { &arguments.what };
    let progress = &mut Terminal::default();
    let nodes = all.iter().filter_map(|what| what.bench()).map(|(_, nodes)| nodes).max();
    if let Some(nodes) = nodes {
        peerwalk_cluster::check_rights()?;
        peerwalk_cluster::check_go(nodes)?;
        let mut missing = peerwalk_cluster::missing_packages(nodes);
        missing.extend(peerwalk_cluster::missing_for_helm());
        if all.contains(&What::Steady) && Command::new(EXPORTER).arg("--version").output().is_err() {
            missing.extend([EXPORTER, "curl"]);
        }
        peerwalk_cluster::install_missing(&missing, progress)?;
    }
    let archives = images::build(Profile::Dist, progress)?;
    for what in all {
        match what.bench() {
            None => sizes()?,
            Some((name, nodes)) => on_cluster(name, nodes, &archives)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn sizes() -> Result<()> {
    tree::say("\n| binary | size |\n|---|---|");
    for program in ["peerwalk-sidecar", "peerwalk-operator"] {
        let file = images::binaries(Profile::Dist).join(program);
        let bytes = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
        tree::say(&format!("| {program} | {} KiB |", bytes / 1024));
    }
    Ok(())
}

fn on_cluster(name: &str, nodes: u8, archives: &[PathBuf]) -> Result<()> {
    let progress = &mut Terminal::default();
    let executable = build(name)?;
    let helm = peerwalk_cluster::helm(progress)?;
    let mut own = test::claim()?;
    let cluster = own.start(&Options { nodes, max_life: CLUSTER_LIFE, ..Options::default() })?;
    for archive in archives.iter().filter(|_| nodes > 0) {
        cluster.load_image(Image::Archive(archive), progress)?;
    }
    let mut bench = cluster.exec(&Place::Network, &executable)?;
    bench.env("HELM", helm).env("PEERWALK_BIN_DIR", images::binaries(Profile::Dist));
    bench.env("PEERWALK_CLUSTER_DIR", own.home().dir());
    tree::must(&mut bench)
}

fn build(name: &str) -> Result<PathBuf> {
    let built =
        artifacts::build(tree::cargo().args(["build", "--package", "peerwalk-e2e", "--bench", name]))?;
    let made = built.into_iter().filter_map(|artifact| artifact.executable).next_back();
    made.with_context(|| format!("cargo made no program of the bench {name}"))
}
