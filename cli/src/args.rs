//! The command line.

use clap::{Parser, Subcommand};

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
pub enum Command {}
