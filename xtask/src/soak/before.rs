//! The version before this one, as git has it: its chart, and images of its programs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use peerwalk_cluster::Progress;

use crate::images;
use crate::tree;

/// The last commit of 0.1.0.
const COMMIT: &str = "26aaed8d8678acd19c05e9988740752a1c95cb59";

/// What an upgrade begins with.
pub(super) struct Before {
    pub(super) chart: PathBuf,
    pub(super) archives: Vec<PathBuf>,
}

/// Takes its tree from git and builds it.
pub(super) fn build(progress: &mut dyn Progress) -> Result<Before> {
    let folder = tree::target().join("before");
    let there = || format!("cannot make {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(there)?;
    }
    fs::create_dir_all(&folder).with_context(there)?;
    let mut git = Command::new("git");
    git.current_dir(tree::root()).args(["archive", COMMIT]).stdout(Stdio::piped());
    let mut archiving = git.spawn().context("cannot start git, which has the version before: install it")?;
    let archive = archiving.stdout.take().context("git writes to a pipe")?;
    let unpacked = tree::must(Command::new("tar").arg("-x").arg("-C").arg(&folder).stdin(archive));
    if !archiving.wait().context("git does not end")?.success() {
        bail!(
            "git has no commit {COMMIT}, the version before: use a clone with its history (`git fetch --unshallow`)"
        );
    }
    unpacked?;
    let archives = images::of_tree(&folder, "before", progress)?;
    Ok(Before { chart: folder.join("charts/peerwalk"), archives })
}
