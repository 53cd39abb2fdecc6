//! The sidecar's commands: `run` in an injected container, `probe` for people and scripts.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use peerwalk_sidecar::args::RunArgs;
use peerwalk_sidecar::attest::{self, AttestArgs};
use peerwalk_sidecar::probe::{self, ProbeArgs};
use peerwalk_sidecar::run;
use tracing::error;
use tracing::level_filters::LevelFilter;

/// Walks to what a pod depends on, and says what it found.
#[derive(Debug, Parser)]
#[command(name = "peerwalk-sidecar", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Walks by the hub's plan until SIGTERM. This is what the injected container does.
    Run(Box<RunArgs>),
    /// Walks targets once and prints what it found.
    Probe(Box<ProbeArgs>),
    /// Answers a probe elsewhere what this network namespace holds of its dials.
    ///
    /// The probe asks with `probe --peer PATH`. A Unix socket is a file: it leads from one network namespace to
    /// another however broken the network between them is. Who may open the file may ask, for connections whose
    /// ends they know; nothing else is told. Ends with SIGTERM or SIGINT.
    Attest(AttestArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Run(_)) {
        log();
    }
    // One thread: a sidecar is next to an application that needs the cores more.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) if matches!(cli.command, Command::Probe(_)) => {
            // Nothing was walked: 1 would say that a target is not as expected.
            let _ = writeln!(io::stderr(), "error: the runtime cannot be started: {error}");
            return ExitCode::from(probe::UNKNOWN);
        }
        Err(error) => {
            error!(%error, "the runtime cannot be started");
            return ExitCode::FAILURE;
        }
    };
    let code = match cli.command {
        Command::Run(args) => match runtime.block_on(Box::pin(run::run(*args))) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error!(error = %format!("{error:#}"), "cannot run");
                ExitCode::FAILURE
            }
        },
        Command::Probe(args) => runtime.block_on(Box::pin(probe::run(*args))),
        Command::Attest(args) => runtime.block_on(Box::pin(attest::run(args))),
    };
    // A resolution of the hub's name may be stuck in the C library; nobody waits for it.
    runtime.shutdown_background();
    code
}

/// JSON lines on standard output, at the level that `PEERWALK_LOG` names: `off`, `error`, `warn` or `info`, which
/// it is without it. Finer ones are not in released binaries.
fn log() {
    let wanted = std::env::var("PEERWALK_LOG").ok().and_then(|level| level.parse().ok());
    let level = wanted.unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level).init();
}
