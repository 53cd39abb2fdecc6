//! network-config-analyzer, which all pairs are measured beside: in a Python environment of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tree;

const VERSION: &str = "network-config-analyzer==2.1.0";

/// Installs it where it is not there, and gives its program.
pub(super) fn install() -> Result<PathBuf> {
    let home = tree::target().join("network-config-analyzer");
    let program = home.join("bin/nca");
    if program.exists() {
        return Ok(program);
    }
    let remedy = "network-config-analyzer is not measured; it needs python3 with venv (Debian: python3-venv) and an index \
                  of Python packages that pip reaches";
    tree::must(Command::new("python3").args(["-m", "venv"]).arg(&home)).context(remedy)?;
    let mut pip = Command::new(home.join("bin/pip"));
    tree::must(pip.args(["install", "--quiet", "--disable-pip-version-check", VERSION])).context(remedy)?;
    Ok(program)
}
