//! Building the tests of the whole workspace once, and telling which binary belongs to which level.

use std::path::PathBuf;

use anyhow::Result;

use crate::artifacts::{self, Artifact};
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

/// Builds outside the cluster, where there is no way to crates, and with one set of features for everything.
pub(crate) fn build() -> Result<Vec<TestBinary>> {
    let built = artifacts::build(tree::cargo().args(["test", "--workspace", "--no-run"]))?;
    let mut tests: Vec<TestBinary> = built.into_iter().filter_map(test_binary).collect();
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

fn test_binary(artifact: Artifact) -> Option<TestBinary> {
    if !artifact.profile?.test {
        return None;
    }
    let folder = artifact.manifest_path?.parent()?.to_path_buf();
    let package = folder.strip_prefix(tree::root()).unwrap_or(&folder).display().to_string();
    let target = artifact.target?.name;
    let level = match (package.as_str(), target.as_str()) {
        ("cli" | "e2e", t) if t.starts_with("api_") => Level::ControlPlane,
        ("e2e", t) if t.starts_with("nodes_") => Level::Nodes,
        ("e2e/cluster", "lifecycle") => Level::Cluster,
        _ => Level::Unit,
    };
    Some(TestBinary { name: format!("{package}: {target}"), executable: artifact.executable?, folder, level })
}
