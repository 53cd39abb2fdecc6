//! Where things that are slow to make are kept, outside the tree: one folder for each kind and key.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// `$XDG_CACHE_HOME/peerwalk` or `~/.cache/peerwalk`.
pub(crate) fn root() -> Result<PathBuf> {
    let home = || env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from).or_else(home);
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no folder for the cache")?
        .join("peerwalk"))
}

/// A key that changes with any of its parts.
pub(crate) fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut all = Sha256::new();
    for part in parts {
        all.update(Sha256::digest(part));
    }
    format!("{:x}", all.finalize())[..16].to_owned()
}

/// Whether [`folder`] has nothing to do for the path.
pub(crate) fn has(path: &str) -> Result<bool> {
    Ok(root()?.join(path).is_dir())
}

/// The folder `root()/path`, made by `fill` unless it is there. It appears in one step, so that a build that was
/// interrupted or runs twice at the same time leaves nothing half done.
pub(crate) fn folder(path: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    folder_in(&root()?, path, fill)
}

fn folder_in(root: &Path, path: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let done = root.join(path);
    if done.is_dir() {
        return Ok(done);
    }
    let partial = root.join(format!("{path}.partial-{}", process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let filled = fill(&partial);
    if filled.is_ok() && !done.is_dir() {
        fs::rename(&partial, &done).with_context(|| format!("cannot make {}", done.display()))?;
    } else {
        // What is left of it is worthless either way, and the first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    filled.map(|()| done)
}

#[cfg(test)]
mod tests;
