//! `-f`: what is asked about.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use peerwalk_manifests::{Cluster, Limits, Reader};

use crate::print;
use crate::progress::Progress;

/// How deep folders are followed. Links may lead around in circles.
const FOLDERS: usize = 32;

/// Files with these endings are read in folders; one that is named is read whatever its ending.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What is asked about.
#[derive(Clone, Debug, Default, Args)]
pub struct Input {
    /// Manifests: a folder, read with all that is in it, a file, or - for the standard input. May be given several times
    #[arg(short = 'f', long = "filename", value_name = "DIR|FILE|-")]
    pub files: Vec<PathBuf>,
    /// The namespace of ends that name none
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

impl Input {
    /// The namespace of ends that name none.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Reads what was named, and says on the standard error what of it cannot be read.
    ///
    /// # Errors
    /// Where nothing was named, or it cannot be opened, or nothing in it is an object.
    pub fn cluster(&self, progress: &mut Progress) -> Result<Cluster> {
        let cluster = self.quietly(progress)?;
        tell(&cluster);
        Ok(cluster)
    }

    /// Reads what was named, and says nothing of what of it cannot be read.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster).
    pub fn quietly(&self, progress: &mut Progress) -> Result<Cluster> {
        if self.files.is_empty() {
            bail!(
                "nothing to read: name manifests with -f, as in `-f deploy/` or `kustomize build | peerwalk … -f -`"
            );
        }
        read(&self.files, Reader::new(Limits::default()), progress)
    }
}

/// Reads files and folders.
///
/// # Errors
/// Where one cannot be opened, or there is nothing in all of them.
pub fn read(paths: &[PathBuf], mut reader: Reader, progress: &mut Progress) -> Result<Cluster> {
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text).context("the standard input cannot be read")?;
            reader.text("standard input", &text);
            continue;
        }
        let mut files = Vec::new();
        find(path, 0, &mut files).with_context(|| format!("{} cannot be read", path.display()))?;
        if files.is_empty() {
            bail!("{} holds no file that ends in .yaml, .yml or .json: name another folder", path.display());
        }
        for file in files {
            progress.says(format!("reading {}", file.display()));
            let text = fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            reader.text(&file.display().to_string(), &text);
        }
    }
    Ok(reader.finish())
}

/// Says what could not be read.
pub fn tell(cluster: &Cluster) {
    for problem in &cluster.problems {
        print::note(&format!("warning: {}", print::clean(&problem.to_string())));
    }
}

/// The files of a folder and of those in it, in the order of their names.
fn find(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == FOLDERS {
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let wanted = entry.extension().and_then(|ending| ending.to_str());
        let wanted = wanted.is_some_and(|ending| ENDINGS.contains(&ending));
        if wanted || entry.is_dir() {
            find(&entry, depth + 1, found)?;
        }
    }
    Ok(())
}
