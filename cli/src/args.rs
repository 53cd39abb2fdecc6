//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::exit::Exit;
use crate::{command, print};

/// Tells whether workloads can reach what they depend on, and if not, why.
#[derive(Debug, Parser)]
#[command(name = "peerwalk", version, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One a file in `command/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Says whether policies let one end reach another, who decides it, and what to add where they do not
    Explain(command::explain::Arguments),
    /// Lists who reaches whom, on which ports
    Matrix(command::matrix::Arguments),
    /// Says which pairs a change of policies opens and closes
    Diff(command::diff::Arguments),
    /// Finds policies that do nothing, or not what they seem to
    Lint(command::lint::Arguments),
    /// Shows what live checks say, and all that they know of one
    Status(command::status::Arguments),
    /// Waits until a live check is ready: 0 ready, 1 failed, 2 neither
    Wait(command::wait::Arguments),
    /// Prints what a shell needs to complete the command line
    Completions(command::completions::Completions),
    /// Prints a page of the manual
    Man(command::completions::Man),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Explain(arguments) => command::explain::run(&arguments),
        Command::Matrix(arguments) => command::matrix::run(&arguments),
        Command::Diff(arguments) => command::diff::run(&arguments),
        Command::Lint(arguments) => command::lint::run(&arguments),
        Command::Status(arguments) => command::status::run(&arguments),
        Command::Wait(arguments) => command::wait::run(&arguments),
        Command::Completions(arguments) => command::completions::run(&arguments, Args::command()),
        Command::Man(arguments) => command::completions::man(&arguments, Args::command()),
    };
    let exit = done.unwrap_or_else(|error| {
        print::note(&format!("error: {error:#}"));
        Exit::Usage
    });
    ExitCode::from(exit as u8)
}
