//! What is asked about: manifests (`-f`), or the live cluster.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use peerwalk_manifests::{Cluster, Limits, Reader};

use crate::connect::{Server, block_on};
use crate::exit::Exit;
use crate::live::{self, Live};
use crate::names;
use crate::print;
use crate::progress::Progress;

/// How deep folders are followed. Links may lead around in circles.
const FOLDERS: usize = 32;

/// Files with these endings are read in folders; one that is named is read whatever its ending.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What is asked about.
#[derive(Clone, Debug, Default, Args)]
pub struct Input {
    /// Manifests: a folder, read with all that is in it, a file, or - for the standard input. May be given several times. Without it the live cluster is asked
    #[arg(short = 'f', long = "filename", value_name = "DIR|FILE|-")]
    pub files: Vec<PathBuf>,
    /// The namespace of ends that name none
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The live cluster, where no manifests are named.
    #[command(flatten)]
    pub server: Server,
    /// The namespace of the cluster's context, once it is known.
    #[arg(skip)]
    of_context: OnceLock<String>,
}

impl Input {
    /// The namespace of ends that name none.
    pub fn namespace(&self) -> &str {
        let of_context = || self.of_context.get().map_or("default", String::as_str);
        self.namespace.as_deref().unwrap_or_else(of_context)
    }

    /// Reads what was named, and says on the standard error what of it cannot be read.
    ///
    /// # Errors
    /// Where it cannot be opened, or nothing in it is an object, or the cluster does not answer.
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
        self.with(Reader::new(Limits::default()), progress)
    }

    /// Reads what was named with a reader of its own.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster).
    pub fn with(&self, reader: Reader, progress: &mut Progress) -> Result<Cluster> {
        if !self.files.is_empty() {
            return read(&self.files, reader, progress);
        }
        let live = self.live(reader, progress)?;
        let told = live::told(&live.missing);
        if !told.is_empty() {
            print::note(told.trim_end());
        }
        Ok(live.cluster)
    }

    /// The same, where an answer about a part would be wrong: what is not there can only be told from everything.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster), and where something of a live cluster may not be read.
    pub fn whole(&self, progress: &mut Progress) -> Result<Cluster> {
        if !self.files.is_empty() {
            return self.quietly(progress);
        }
        let live = self.live(Reader::new(Limits::default()), progress)?;
        if live.is_whole() {
            return Ok(live.cluster);
        }
        bail!(
            "not all of the cluster may be read, so what is not in it cannot be told\n{}",
            live::told(&live.missing)
        );
    }

    fn live(&self, reader: Reader, progress: &mut Progress) -> Result<Live> {
        block_on(async {
            let session = self.server.session(self.namespace.as_deref()).await.context(
                "no manifests are named, as in `-f deploy/` or `kustomize build | peerwalk … -f -`, and no live cluster can be \
                 asked",
            )?;
            let _ = self.of_context.set(session.namespace.clone());
            live::read(&session, reader, progress).await
        })
    }
}

/// Reads files and folders.
///
/// # Errors
/// Where one cannot be opened, or no object is in all of them: an answer about nothing would be taken for one.
pub fn read(paths: &[PathBuf], mut reader: Reader, progress: &mut Progress) -> Result<Cluster> {
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text).context("the standard input cannot be read")?;
            let before = reader.objects();
            reader.text("standard input", &text);
            if reader.objects() == before {
                bail!(
                    "no object of Kubernetes is in the standard input: look at what was to write it, such as \
                     `kustomize build`"
                );
            }
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
    if reader.objects() == 0 {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!("no object of Kubernetes is in {}: name a folder or file with manifests", names.join(" or "));
    }
    Ok(reader.finish())
}

/// How a command ends that answered about all pairs of a cluster, those to addresses outside among them or not: undecided
/// where policies may decide that could not be read, or domain names whose addresses are not known, which is then said.
pub fn end(cluster: &Cluster, with_outside: bool) -> Exit {
    let told = |what: &str, policies: Vec<String>| {
        print::note(&format!("undecided: {what}: {}", print::clean(&policies.join(", "))));
    };
    let mut exit = Exit::Done;
    if !cluster.unreadable.is_empty() {
        let policies = cluster.unreadable.iter().map(ToString::to_string).collect();
        told("this holds only where none of these says otherwise, which were not read", policies);
        exit = Exit::Undecided;
    }
    let by_names: Vec<String> = names::policies(cluster).map(ToString::to_string).collect();
    if with_outside && !by_names.is_empty() {
        told("which addresses outside the domain names stand for that are in rules of", by_names);
        exit = Exit::Undecided;
    }
    exit
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
