//! Building the tests of the whole workspace once, and telling which binary belongs to which level.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tree;

/// What a test binary needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Nothing but what builds it.
    Unit,
    /// To start and end clusters itself.
    Cluster,
    /// An API server or Helm.
    ControlPlane,
    /// Two nodes.
    Nodes,
}

/// A built test binary.
#[derive(Debug)]
pub(crate) struct TestBinary {
    /// Package and target, for people.
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
    /// Where cargo would run it.
    pub(crate) folder: PathBuf,
    pub(crate) level: Level,
}

/// One line of `cargo --message-format=json`, as far as it matters here
/// (<https://doc.rust-lang.org/cargo/reference/external-tools.html>).
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<BuildProfile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct BuildProfile {
    test: bool,
}

/// Builds outside the cluster, where there is no way to crates, and with one set of features for everything.
pub(crate) fn build() -> Result<Vec<TestBinary>> {
    let mut cargo = tree::cargo();
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let out = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !out.status.success() {
        bail!("`{}` failed: {}", tree::words(&cargo), out.status);
    }
    let lines = String::from_utf8(out.stdout).context("cargo printed something that is not UTF-8")?;
    let mut tests: Vec<TestBinary> =
        lines.lines().filter_map(|l| test_binary(serde_json::from_str(l).ok()?)).collect();
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

fn test_binary(message: Message) -> Option<TestBinary> {
    if message.reason != "compiler-artifact" || !message.profile?.test {
        return None;
    }
    let folder = message.manifest_path?.parent()?.to_path_buf();
    let package = folder.strip_prefix(tree::root()).unwrap_or(&folder).display().to_string();
    let target = message.target?.name;
    let level = match (package.as_str(), target.as_str()) {
        ("e2e", t) if t.starts_with("api_") => Level::ControlPlane,
        ("e2e", t) if t.starts_with("nodes_") => Level::Nodes,
        ("e2e/cluster", "lifecycle") => Level::Cluster,
        _ => Level::Unit,
    };
    Some(TestBinary { name: format!("{package}: {target}"), executable: message.executable?, folder, level })
}
