//! What cargo builds, by its own account.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tree;

/// One line of `cargo --message-format=json`, as far as it matters here
/// (<https://doc.rust-lang.org/cargo/reference/external-tools.html>).
#[derive(Deserialize)]
pub(crate) struct Artifact {
    reason: String,
    pub(crate) manifest_path: Option<PathBuf>,
    pub(crate) target: Option<Target>,
    pub(crate) profile: Option<BuildProfile>,
    pub(crate) executable: Option<PathBuf>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct BuildProfile {
    pub(crate) test: bool,
}

/// Runs a command of cargo that builds.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<Artifact>> {
    cargo.arg("--message-format=json-render-diagnostics");
    let out = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !out.status.success() {
        bail!("`{}` failed: {}", tree::words(cargo), out.status);
    }
    let lines = String::from_utf8(out.stdout).context("cargo printed something that is not UTF-8")?;
    let messages = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
    Ok(messages.filter(|artifact: &Artifact| artifact.reason == "compiler-artifact").collect())
}
