//! `cargo xtask generate`: files of the tree that are written by code, and the check that they are fresh.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::tree;

/// A generated file: its path from the root of the tree, and the code that gives its text.
type Generated = (&'static str, fn() -> Result<String>);

/// Every generated file there is.
const FILES: &[Generated] = &[];

#[derive(Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail when a file is not what it would be
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut stale = false;
    for (path, text) in FILES {
        let text = text().with_context(|| format!("cannot generate {path}"))?;
        let file = tree::root().join(path);
        if fs::read_to_string(&file).is_ok_and(|found| found == text) {
            continue;
        }
        if arguments.check {
            tree::say(&format!(
                "{path} is not what the code generates: run `cargo xtask generate` and commit it"
            ));
            stale = true;
            continue;
        }
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
        tree::say(&format!("wrote {path}"));
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
