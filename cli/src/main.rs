//! `peerwalk`.

use std::process::ExitCode;

fn main() -> ExitCode {
    peerwalk_cli::args::main()
}
