//! `kubectl peerwalk`: kubectl runs programs of its plugins' names.

use std::process::ExitCode;

fn main() -> ExitCode {
    peerwalk_cli::args::main()
}
