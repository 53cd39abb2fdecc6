//! `cargo xtask cluster`: the cluster of the tests, for people.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use peerwalk_cluster::{Cluster, Deny, Home, Image, Options, Place, Terminal};

use crate::tree;

#[derive(Args)]
#[command(
    after_help = "Its folder is /var/lib/peerwalk/cluster, or what PEERWALK_CLUSTER_DIR says; a second cluster needs a \
folder of its own.\nIts programs are built once, into ~/.cache/peerwalk.\n\n\
Examples:\n  cargo xtask cluster up --nodes 2 --deny reject\n  cargo xtask cluster kubectl get pods -A\n  \
cargo xtask cluster exec --on n2 -- nft list table inet peerwalk_netpol\n  cargo xtask cluster exec --on shop/web-0 -- ss -tn\n  \
cargo xtask cluster down"
)]
pub(crate) struct Arguments {
    /// Use an existing cluster, by the name of its context in your kubeconfig (kubectl and helm only)
    #[arg(long, global = true, env = "PEERWALK_CONTEXT")]
    context: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster and wait until it is ready: 7 s without nodes, 20 s with two, and the build the first time
    Up {
        /// 0 is the control plane alone; with KUBEBUILDER_ASSETS set, from that folder
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
        nodes: u8,
        /// What a denied packet gets: drop, reject (ICMP), reset (TCP), prohibited (ICMP), none (no enforcement)
        #[arg(long, default_value_t = Deny::Drop)]
        deny: Deny,
        /// Deny pods from their first moment, before the enforcer knows them
        #[arg(long)]
        strict: bool,
        /// Hours after which the cluster ends by itself
        #[arg(long, default_value_t = 4, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=168))]
        max_life: u64,
        /// Install missing Debian packages
        #[arg(long)]
        install: bool,
    },
    /// End the cluster and remove everything it left, also after a crash
    Down,
    /// Say what runs
    Status,
    /// Run kubectl on the cluster
    #[command(disable_help_flag = true)]
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run Helm on the cluster
    #[command(disable_help_flag = true)]
    Helm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Bring an image to all nodes: an OCI archive, or a static binary and the name its image gets
    LoadImage {
        /// An OCI or Docker archive; with --name a static binary
        file: PathBuf,
        /// Make an image FROM scratch of the binary, under this name
        #[arg(long)]
        name: Option<String>,
    },
    /// Run a program of this machine inside the cluster
    Exec {
        /// net (the API server's network), n1, n2, or NAMESPACE/POD (that pod's network)
        #[arg(long, default_value = "net")]
        on: Place,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
    /// Change what denied packets get, on the running cluster: drop, reject, reset, prohibited, none
    Deny { mode: Deny },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let context = tree::context(arguments.context.as_ref());
    let connect = || match context {
        Some(context) => Ok(Cluster::existing(context)),
        None => Cluster::connect(),
    };
    let progress = &mut Terminal::default();
    match arguments.command {
        Command::Up { nodes, deny, strict, max_life, install } => {
            if let Some(context) = context {
                bail!(
                    "the context {context} is a cluster that runs already: leave out --context to start one here"
                );
            }
            let install = install || std::env::var_os("CI").is_some();
            let options = Options { nodes, deny, strict, max_life: Duration::from_hours(max_life), install };
            Cluster::up(&options, progress)?;
            tree::say(
                "The cluster is ready: `cargo xtask cluster kubectl get pods -A`, and in the end `cargo xtask cluster down`.",
            );
        }
        Command::Down => {
            if let Some(context) = context {
                bail!(
                    "the context {context} is not ours to end: leave out --context and PEERWALK_CONTEXT to end the \
                     cluster that runs here"
                );
            }
            let was = Home::from_env()?.down(progress)?;
            tree::say(if was { "The cluster has ended." } else { "No cluster is running." });
        }
        Command::Status => return status(&connect()?),
        Command::Kubectl { arguments } => {
            let status = connect()?.kubectl().args(arguments).status().context("cannot start kubectl")?;
            return Ok(tree::code(status));
        }
        Command::Helm { arguments } => {
            let status = connect()?.helm(progress)?.args(arguments).status().context("cannot start Helm")?;
            return Ok(tree::code(status));
        }
        Command::LoadImage { file, name } => {
            let image = match &name {
                Some(name) => Image::Binary { name, file: &file },
                None => Image::Archive(&file),
            };
            connect()?.load_image(image, progress)?;
        }
        Command::Exec { on, program } => {
            let mut command = connect()?.exec(&on, &program[0])?;
            return Ok(tree::code(command.args(&program[1..]).status().context("cannot start nsenter")?));
        }
        Command::Deny { mode } => connect()?.set_deny(mode)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(cluster: &Cluster) -> Result<ExitCode> {
    let status = cluster.status()?;
    tree::say(&format!("folder    {} (logs in log/)", status.dir));
    let minutes = status.left.as_secs() / 60;
    tree::say(&format!("ends in   {} h {} min", minutes / 60, minutes % 60));
    if status.nodes.is_empty() {
        tree::say("nodes     none: control plane only");
    } else {
        tree::say(&format!("policies  {}", status.enforcer));
    }
    for node in &status.nodes {
        tree::say(&format!("node      {}: Ready={}, kubelet {}", node.name, node.ready, node.version));
    }
    for name in &status.ended {
        tree::say(&format!("ENDED     {name}: see {}/log/{name}.log", status.dir));
    }
    let healthy = status.ended.is_empty() && status.nodes.iter().all(|n| n.ready == "True");
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
