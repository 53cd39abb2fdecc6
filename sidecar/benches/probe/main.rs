//! What the sidecar's probes cost: CPU beside a bare connect loop and blackbox_exporter, the released program's own
//! memory and CPU, and what the workload and the node notice. `cargo xtask bench probe`; the memory of an hour with many
//! targets is `cargo xtask bench hour`.
//!
//! Two network namespaces joined by a link hold the prober and what it probes. The parts of the work are this program
//! again, each in its namespace.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)] // a benchmark, as a test, ends where anything fails

mod link;
mod program;
mod rates;
#[path = "../../tests/attach/support.rs"]
#[allow(dead_code, reason = "each of those who share it uses a part")]
mod support;
mod world;

use std::env;
use std::path::PathBuf;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            rates::measure()?;
            program::measure(&sidecar()?)
        }
        ["hour"] => program::hour(&sidecar()?),
        ["world", plan, folder] => world::run(plan, folder.as_ref()),
        [part] => rates::part(part),
        _ => Err("run it without arguments, or with `hour`".into()),
    }
}

fn sidecar() -> Result<PathBuf> {
    let named = env::var_os("PEERWALK_SIDECAR").map(PathBuf::from);
    named.ok_or_else(|| "PEERWALK_SIDECAR names no sidecar; `cargo xtask bench probe` does".into())
}
