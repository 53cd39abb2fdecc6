//! Every command of the project: cluster, images, generated files, tests.

mod artifacts;
mod bench;
mod cluster;
mod demo;
mod faultlab;
mod generate;
mod images;
mod own_cluster;
mod properties;
mod soak;
mod test;
mod tree;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use peerwalk_cluster::Terminal;

/// Everything one does with Peerwalk's sources beside `cargo build`.
///
/// Start with `cargo xtask test --only unit`, which needs nothing but Rust and a C compiler. Clusters need root, Go and some Debian
/// packages: each command says what is missing, or installs it with --install.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    max_term_width = 110,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A real Kubernetes cluster on this machine, in namespaces of its own
    Cluster(cluster::Arguments),
    /// See Peerwalk at work: a cluster, a small shop, and five things that break in it
    Demo(demo::Arguments),
    /// Networks broken in every known way, and what the probe says of each
    Faultlab(faultlab::Arguments),
    /// Build the static binaries and make images of them: OCI archives in target/images
    Images(images::Arguments),
    /// Write the generated files of the tree (crds/, reference pages), or check that they are fresh
    Generate(generate::Arguments),
    /// Fetch the Helm that tests and clusters use, and print its path
    Helm,
    /// Measure what docs/benchmarks.md tells: sizes, memory, CPU, times
    Bench(bench::Arguments),
    /// Hold the policy engine's answers against each other over a million random flows (some minutes)
    NetpolProperties(properties::Arguments),
    /// Make everything around Peerwalk fail, one thing after another, and count what it says of it (about an hour)
    Soak(soak::Arguments),
    /// Run everything that has to pass: format, lints, unit, control-plane and node tests
    Test(test::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            tree::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Cluster(arguments) => cluster::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Faultlab(arguments) => faultlab::run(&arguments),
        Command::Images(arguments) => images::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Helm => {
            tree::say(&peerwalk_cluster::helm(&mut Terminal::default())?.display().to_string());
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(arguments) => bench::run(&arguments),
        Command::NetpolProperties(arguments) => properties::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Arguments::command().debug_assert();
    }
}
