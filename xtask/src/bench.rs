//! `cargo xtask bench`: what is measured, and how to measure it again. Results are tables in Markdown, for
//! `docs/benchmarks.md`.

mod analyzer;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use peerwalk_cluster::{Image, Options, Terminal};

use crate::artifacts;
use crate::images::{self, Profile};
use crate::test;
use crate::tree;

#[derive(Args)]
#[command(
    after_help = "Each measures the programs as released (profile dist), on a cluster of its own that it ends, or in \
network namespaces; `netpol` measures the policy engine and needs neither.\n\n\
Examples:\n  cargo xtask bench\n  cargo xtask bench change\n  PEERWALK_BENCH_MINUTES=1 cargo xtask bench steady hour"
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
    /// What probes cost: CPU beside blackbox_exporter and a bare loop, memory, what the workload notices (about a quarter
    /// of an hour)
    Probe,
    /// The sidecar's memory with 200 targets (an hour; PEERWALK_BENCH_MINUTES sets the time)
    Hour,
    /// Every pair of large clusters, changes and explanations, beside network-config-analyzer (a few minutes)
    Netpol,
}

impl What {
    const ALL: [Self; 7] =
        [Self::Size, Self::Scale, Self::Change, Self::Steady, Self::Probe, Self::Hour, Self::Netpol];

    /// Where it is measured.
    fn place(self) -> Place {
        match self {
            Self::Size => Place::Files,
            Self::Scale => Place::Cluster { bench: "scale", nodes: 0 },
            Self::Change => Place::Cluster { bench: "change", nodes: 2 },
            Self::Steady => Place::Cluster { bench: "steady", nodes: 2 },
            Self::Probe => Place::Namespaces { part: None },
            Self::Hour => Place::Namespaces { part: Some("hour") },
            Self::Netpol => Place::Library,
        }
    }
}

/// Where something is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the binaries themselves.
    Files,
    /// In the policy engine: the bench of `crates/netpol/benches/all-pairs`.
    Library,
    /// In network namespaces: the bench of `sidecar/benches/probe`, or one part of it.
    Namespaces { part: Option<&'static str> },
    /// On a cluster with so many nodes: a bench of `e2e/benches`.
    Cluster { bench: &'static str, nodes: u8 },
}

/// The cluster of an interrupted run ends by itself after this.
const CLUSTER_LIFE: Duration = Duration::from_hours(1);
/// What a sidecar is compared with.
const EXPORTER: &str = "prometheus-blackbox-exporter";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let all = if arguments.what.is_empty() { &What::ALL[..] } else { &arguments.what };
    let progress = &mut Terminal::default();
    install(all, progress)?;
    let released = all.iter().any(|what| what.place() != Place::Library);
    let archives = if released { images::build(Profile::Dist, progress)? } else { Vec::new() };
    for what in all {
        match what.place() {
            Place::Files => sizes()?,
            Place::Library => all_pairs()?,
            Place::Namespaces { part } => in_namespaces(part)?,
            Place::Cluster { bench, nodes } => on_cluster(bench, nodes, &archives)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs what the benchmarks need and is not there.
fn install(all: &[What], progress: &mut Terminal) -> Result<()> {
    let places: Vec<Place> = all.iter().map(|what| what.place()).collect();
    if places.iter().all(|place| matches!(place, Place::Files | Place::Library)) {
        return Ok(());
    }
    peerwalk_cluster::check_rights()?;
    let nodes = places.iter().filter_map(|place| match place {
        Place::Cluster { nodes, .. } => Some(*nodes),
        Place::Files | Place::Library | Place::Namespaces { .. } => None,
    });
    let mut missing = Vec::new();
    if let Some(nodes) = nodes.max() {
        peerwalk_cluster::check_go(nodes)?;
        missing.extend(peerwalk_cluster::missing_packages(nodes));
        missing.extend(peerwalk_cluster::missing_for_helm());
    } else {
        let of_namespaces = ["iproute2", "nftables", "util-linux"];
        missing
            .extend(peerwalk_cluster::missing_packages(1).into_iter().filter(|p| of_namespaces.contains(p)));
    }
    let compared = all.iter().any(|what| matches!(what, What::Steady | What::Probe));
    if compared && Command::new(EXPORTER).arg("--version").output().is_err() {
        missing.extend([EXPORTER, "curl"]);
    }
    peerwalk_cluster::install_missing(&missing, progress)
}

fn in_namespaces(part: Option<&str>) -> Result<()> {
    let profile = ["--profile", "dist"];
    let bench = build("peerwalk-sidecar", "probe", &profile)?;
    let sidecar = images::binaries(Profile::Dist).join("peerwalk-sidecar");
    tree::must(Command::new(bench).args(part).env("PEERWALK_SIDECAR", sidecar))
}

/// The engine alone, the command line that asks it, and what others offer.
fn all_pairs() -> Result<()> {
    let bench = build("peerwalk-netpol", "all-pairs", &["--release"])?;
    let mut bench = Command::new(bench);
    let mut cargo = tree::cargo();
    cargo.args(["build", "--release", "--package", "peerwalk-cli", "--bin", "peerwalk"]);
    let built = artifacts::build(&mut cargo)?;
    if let Some(cli) = built.into_iter().filter_map(|artifact| artifact.executable).next_back() {
        bench.env("PEERWALK_CLI", cli);
    }
    match analyzer::install() {
        Ok(program) => drop(bench.env("PEERWALK_NCA", program)),
        Err(error) => tree::complain(&error),
    }
    tree::must(&mut bench)
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
    let executable = build("peerwalk-e2e", name, &[])?;
    let helm = peerwalk_cluster::helm(progress)?;
    let mut own = test::claim()?;
    let cluster = own.start(&Options { nodes, max_life: CLUSTER_LIFE, ..Options::default() })?;
    for archive in archives.iter().filter(|_| nodes > 0) {
        cluster.load_image(Image::Archive(archive), progress)?;
    }
    let mut bench = cluster.exec(&peerwalk_cluster::Place::Network, &executable)?;
    bench.env("HELM", helm).env("PEERWALK_BIN_DIR", images::binaries(Profile::Dist));
    bench.env("PEERWALK_CLUSTER_DIR", own.home().dir());
    tree::must(&mut bench)
}

fn build(package: &str, name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--package", package, "--bench", name]).args(arguments);
    let built = artifacts::build(&mut cargo)?;
    let made = built.into_iter().filter_map(|artifact| artifact.executable).next_back();
    made.with_context(|| format!("cargo made no program of the bench {name}"))
}
