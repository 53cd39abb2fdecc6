//! `peerwalk`.

use clap::Parser as _;
use peerwalk_cli::args::Args;

fn main() {
    match Args::parse().command {}
}
