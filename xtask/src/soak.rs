//! `cargo xtask soak`: what fails around Peerwalk, one fault after another on a real cluster. The result is a table in
//! Markdown, for `docs/soak.md`.

mod before;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use peerwalk_cluster::{Image, Options, Place, Terminal};

use crate::artifacts;
use crate::images::{self, Profile};
use crate::test;
use crate::tree;

#[derive(Args)]
#[command(
    after_help = "Steady checks of servers that are open, closed by a policy, or do not listen run all the time. Every answer that\n\
changes is printed and held against what is true at that moment; what is wrong, what becomes Unknown without need, an\n\
application that is started again, a pod that starts late, an outage that is told twice or never: each fails the soak. It\n\
goes on with the next fault in any case, and ends with a table in Markdown (docs/soak.md has the last).\n\n\
A fault takes 3 to 5 minutes, operator-killed and steady about 12; all of them more than an hour. Each has a bound in time, and the\n\
cluster is the soak's own and ends with it.\n\n\
Examples:\n  cargo xtask soak\n  cargo xtask soak api-paused leader-paused\n  cargo xtask soak --write-docs"
)]
pub(crate) struct Arguments {
    /// What fails; everything when none is named
    #[arg(value_enum)]
    fault: Vec<Fault>,
    /// Put the result into docs/soak.md, in place of the rows of these faults
    #[arg(long)]
    write_docs: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// Nothing fails for ten minutes: with 20 checks nothing is written but the Lease, by the audit log
    Steady,
    /// Operators killed (-9) 20 times at random moments, while a policy comes and goes
    OperatorKilled,
    /// The leader stopped (SIGSTOP) past its Lease, and resumed
    LeaderPaused,
    /// API server and etcd hang for a minute
    ApiPaused,
    /// API server and etcd killed, and started again after a minute
    ApiKilled,
    /// The webhook's Service without endpoints while a pod is made
    WebhookDown,
    /// Both authorities rotated on demand, and their Secret deleted
    CertificatesRotated,
    /// The hub's Service without endpoints, and all streams broken
    HubWithoutEndpoints,
    /// A policy between sidecars and the hub: Covered names it and says what to add
    HubCutOff,
    /// The sidecar killed (-9), three times
    SidecarKilled,
    /// The sidecar killed for its memory
    SidecarOutOfMemory,
    /// The sidecar with 1 % of a CPU for two minutes
    SidecarStarved,
    /// The kubelet of the node of a server stopped until the node is given up
    KubeletStopped,
    /// 1,000 sidecars lose the operator and reconnect at once, on a control plane without nodes
    Reconnect,
    /// From the version before, built from git, to this one and back, with its own sidecars at work
    Upgrade,
}

/// The cluster of an interrupted run ends by itself after this.
const CLUSTER_LIFE: Duration = Duration::from_hours(2);
const NODES: u8 = 2;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let all = if arguments.fault.is_empty() { Fault::value_variants() } else { &arguments.fault };
    let progress = &mut Terminal::default();
    peerwalk_cluster::check_rights()?;
    peerwalk_cluster::check_go(NODES)?;
    let mut missing = peerwalk_cluster::missing_packages(NODES);
    missing.extend(peerwalk_cluster::missing_for_helm());
    peerwalk_cluster::install_missing(&missing, progress)?;
    let before = all.contains(&Fault::Upgrade).then(|| before::build(progress)).transpose()?;
    let archives = images::build(Profile::Quick, progress)?;
    let executable = build()?;
    let helm = peerwalk_cluster::helm(progress)?;
    let (alone, on_nodes): (Vec<Fault>, Vec<Fault>) =
        all.iter().filter(|fault| **fault != Fault::Upgrade).partition(|fault| **fault == Fault::Reconnect);
    let runs = [(NODES, on_nodes), (0, alone)];
    let runs = runs.iter().filter(|(_, faults)| !faults.is_empty());
    let write = arguments.write_docs.then(|| "--write-docs".to_owned());
    let said =
        |faults: &[Fault]| Ok::<_, anyhow::Error>([names(faults)?, write.iter().cloned().collect()].concat());
    // The one does not wait for the other to pass.
    let mut failed = Vec::new();
    for (nodes, faults) in runs {
        failed.extend(on_cluster(*nodes, &executable, &helm, &archives, &said(faults)?, None).err());
    }
    if let Some(before) = before {
        let archives = [archives.as_slice(), &before.archives].concat();
        let upgrade = said(&[Fault::Upgrade])?;
        failed.extend(on_cluster(NODES, &executable, &helm, &archives, &upgrade, Some(&before.chart)).err());
    }
    match failed.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn on_cluster(
    nodes: u8,
    executable: &Path,
    helm: &Path,
    archives: &[PathBuf],
    arguments: &[String],
    chart_before: Option<&Path>,
) -> Result<()> {
    let progress = &mut Terminal::default();
    let mut own = test::claim()?;
    let cluster = own.start(&Options { nodes, max_life: CLUSTER_LIFE, ..Options::default() })?;
    for archive in archives.iter().filter(|_| nodes > 0) {
        cluster.load_image(Image::Archive(archive), progress)?;
    }
    let mut soak = cluster.exec(&Place::Network, executable)?;
    soak.args(arguments).env("HELM", helm).env("PEERWALK_BIN_DIR", images::binaries(Profile::Quick));
    soak.env("PEERWALK_CLUSTER_DIR", own.home().dir());
    soak.envs(chart_before.map(|chart| ("PEERWALK_BEFORE", chart)));
    tree::must(&mut soak)
}

/// As they are called on the command line, here and there.
fn names(faults: &[Fault]) -> Result<Vec<String>> {
    let name = |fault: &Fault| fault.to_possible_value().map(|value| value.get_name().to_owned());
    faults.iter().map(name).collect::<Option<_>>().context("every fault has a name")
}

fn build() -> Result<PathBuf> {
    let mut cargo = tree::cargo();
    cargo.args(["build", "--package", "peerwalk-e2e", "--bench", "soak"]);
    let made =
        artifacts::build(&mut cargo)?.into_iter().filter_map(|artifact| artifact.executable).next_back();
    let Some(made) = made else { bail!("cargo made no program of the soak") };
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::{Fault, names};
    use clap::ValueEnum as _;

    #[test]
    fn the_soak_knows_every_fault_by_its_name_here() {
        let known =
            [include_str!("../../e2e/soak/fault.rs"), include_str!("../../e2e/soak/main.rs")].concat();
        for name in names(Fault::value_variants()).unwrap() {
            assert!(known.contains(&format!("\"{name}\"")), "e2e/soak knows no fault {name}");
            let row = format!("\n| {name} | ");
            assert!(
                include_str!("../../docs/soak.md").contains(&row),
                "docs/soak.md has no result of {name}"
            );
        }
    }
}
