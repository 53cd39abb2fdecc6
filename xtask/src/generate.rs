//! `cargo xtask generate`: files of the tree that are written by code, and the check that they are fresh.

mod reasons;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::tree;

/// A file of the tree, its path from the root.
struct Generated {
    path: String,
    /// What it must hold; `None` where there must be none.
    text: Option<String>,
}

/// Every generated file there is, and those that must not be there.
fn files() -> Result<Vec<Generated>> {
    let file = |path: &str, text| Generated { path: path.to_owned(), text: Some(text) };
    let crd = peerwalk_api::crd_yaml().context("cannot generate the CRD")?;
    let mut files = vec![
        file("crds/peerwalk.dev_connectivitychecks.yaml", crd.clone()),
        // Helm packages nothing from outside the chart's folder.
        file("charts/peerwalk/files/crds/peerwalk.dev_connectivitychecks.yaml", crd),
        file("docs/reasons.md", peerwalk_diagnosis::reasons_markdown()),
    ];
    files.extend(reasons::pages()?);
    Ok(files)
}

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
    for Generated { path, text } in stale()? {
        let file = tree::root().join(&path);
        let Some(text) = text else {
            fs::remove_file(&file).with_context(|| format!("cannot remove {path}"))?;
            tree::say(&format!("removed {path}"));
            continue;
        };
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
    let stale: Vec<_> = stale()?.into_iter().map(|file| file.path).collect();
    if !stale.is_empty() {
        bail!("run `cargo xtask generate` and commit {}", stale.join(", "));
    }
    Ok(())
}

/// Files that are not what they would be, with what they would be.
fn stale() -> Result<Vec<Generated>> {
    let fresh = |file: &Generated| fs::read_to_string(tree::root().join(&file.path)).ok() == file.text;
    Ok(files()?.into_iter().filter(|file| !fresh(file)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_fresh() {
        check().unwrap();
    }
}
