//! `cargo xtask generate`: files of the tree that are written by code, and the check that they are fresh.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::tree;

/// A generated file: its path from the root of the tree, and the code that gives its text.
type Generated = (&'static str, fn() -> Result<String>);

/// Every generated file there is.
const FILES: &[Generated] = &[
    ("crds/peerwalk.dev_connectivitychecks.yaml", || Ok(peerwalk_api::crd_yaml()?)),
    // Helm packages nothing from outside the chart's folder.
    ("charts/peerwalk/files/crds/peerwalk.dev_connectivitychecks.yaml", || Ok(peerwalk_api::crd_yaml()?)),
    ("docs/reasons.md", || Ok(peerwalk_diagnosis::reasons_markdown())),
];

#[derive(Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail when a file is not what it would be
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.check {
        check()?;
        return Ok(ExitCode::SUCCESS);
    }
    for (path, text) in stale()? {
        let file = tree::root().join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
        tree::say(&format!("wrote {path}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails when a file is not fresh, naming it.
pub(crate) fn check() -> Result<()> {
    let stale: Vec<_> = stale()?.into_iter().map(|(path, _)| path).collect();
    if !stale.is_empty() {
        bail!("run `cargo xtask generate` and commit {}", stale.join(", "));
    }
    Ok(())
}

/// Files that are not what they would be, with what they would be.
fn stale() -> Result<Vec<(&'static str, String)>> {
    let mut stale = Vec::new();
    for (path, text) in FILES {
        let text = text().with_context(|| format!("cannot generate {path}"))?;
        if !fs::read_to_string(tree::root().join(path)).is_ok_and(|found| found == text) {
            stale.push((*path, text));
        }
    }
    Ok(stale)
}
