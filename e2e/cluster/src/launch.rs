//! Starting a cluster: checks, programs, images, then the process that holds the namespaces.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use crate::binaries::{self, sources};
use crate::cluster::{Cluster, Record};
use crate::home::Home;
use crate::host;
use crate::image;
use crate::options::Options;
use crate::progress::Progress;

/// How long a start may take. It takes 7 s without nodes and 10 to 20 s with two.
const START_TIMEOUT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(50);

/// Builds what a cluster with so many nodes is made of, so that [`Cluster::up`] takes seconds.
pub fn prepare(nodes: u8, progress: &mut dyn Progress) -> Result<()> {
    if nodes == 0 && assets().is_some() {
        return Ok(());
    }
    binaries::all(nodes, progress)?;
    if nodes > 0 {
        image::base(progress)?;
    }
    Ok(())
}

pub(crate) fn up(home: &Home, options: &Options, progress: &mut dyn Progress) -> Result<Cluster> {
    if options.nodes > 2 {
        bail!("a cluster has 0, 1 or 2 nodes, not {}", options.nodes);
    }
    host::check(options.nodes, options.install, progress)?;
    clear_the_way(home, progress)?;
    let programs = programs(options.nodes, progress)?;
    let images = if options.nodes > 0 { image::base(progress)? } else { Vec::new() };
    progress.begin("starting the cluster");
    lay_out(home, options, &programs, &images)?;
    let started =
        hold(home.dir(), options.max_life).and_then(|held| wait_until_ready(home.dir(), &held, progress));
    progress.end();
    if let Err(error) = started {
        let logs = last_words(home.dir());
        home.remove()?;
        return Err(error.context(format!("the cluster did not start; its last words:\n{logs}")));
    }
    Cluster::running_in(home)?.context("the cluster was ready and ended at once")
}

/// Removes what a cluster left that ended by a crash or a reboot; refuses when one runs.
fn clear_the_way(home: &Home, progress: &mut dyn Progress) -> Result<()> {
    if home.has_processes()? {
        bail!(
            "a cluster is already running in {}: use it, or end it with `cargo xtask cluster down`; \
             a second one beside it needs another folder in PEERWALK_CLUSTER_DIR",
            home.dir().display()
        );
    }
    if home.has_remains()? {
        progress.begin("removing what is left of an earlier cluster");
        home.remove()?;
        progress.end();
    }
    Ok(())
}

/// `KUBEBUILDER_ASSETS`: a folder with `etcd`, `kube-apiserver` and `kubectl`, as envtest makes it.
fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn programs(nodes: u8, progress: &mut dyn Progress) -> Result<Vec<(&'static str, PathBuf)>> {
    match assets().filter(|_| nodes == 0) {
        Some(folder) => from_assets(&folder),
        None => binaries::all(nodes, progress),
    }
}

fn from_assets(folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        let file = folder.join(name);
        if !file.is_file() {
            bail!(
                "KUBEBUILDER_ASSETS is {}, and there is no {name} in it: unset it, or add the program",
                folder.display()
            );
        }
        found.push((name, file));
    }
    // envtest's folders do not have these; with them the control plane is complete.
    for name in ["kube-controller-manager", "kube-scheduler"] {
        let file = folder.join(name);
        if file.is_file() {
            found.push((name, file));
        }
    }
    Ok(found)
}

fn lay_out(home: &Home, options: &Options, programs: &[(&str, PathBuf)], images: &[PathBuf]) -> Result<()> {
    let dir = home.dir();
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    match fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            bail!("another command is starting a cluster in {}", dir.display())
        }
        made => made.with_context(|| format!("cannot make {}", dir.display()))?,
    }
    let context = || format!("cannot write to {}", dir.display());
    // First: without it nothing is a cluster's folder, and nothing removes it.
    Record { nodes: options.nodes, ends: SystemTime::now() + options.max_life }.write(dir)?;
    for folder in ["bin", "images", "scripts"] {
        fs::create_dir(dir.join(folder)).with_context(context)?;
    }
    let minimal = !programs.iter().any(|(name, _)| *name == "kube-controller-manager");
    let bin = dir.join("bin");
    let env = format!(
        "BIN='{}'\nNAME={}\nNODES={}\nMINIMAL={}\nDENY={}\nSTRICT={}\n",
        bin.display(),
        home.name(),
        options.nodes,
        u8::from(minimal),
        options.deny,
        options.strict
    );
    fs::write(dir.join("env"), env).with_context(context)?;
    for (name, file) in programs {
        symlink(file, bin.join(name)).with_context(context)?;
    }
    for archive in images {
        if let Some(name) = archive.file_name() {
            symlink(archive, dir.join("images").join(name)).with_context(context)?;
        }
    }
    // Copies: a running shell reads its script as it goes, and the tree may change meanwhile.
    let scripts = sources().join("scripts");
    for entry in fs::read_dir(&scripts).with_context(|| format!("cannot read {}", scripts.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", scripts.display()))?;
        fs::copy(entry.path(), dir.join("scripts").join(entry.file_name())).with_context(context)?;
    }
    Ok(())
}

/// Starts the outermost process in a session of its own, so that it outlives this one. The channel closes when it
/// ends.
fn hold(dir: &Path, max_life: Duration) -> Result<Receiver<()>> {
    let log = fs::File::create(dir.join("up.log")).context("cannot write up.log")?;
    let errors = log.try_clone().context("cannot write up.log")?;
    let mut child = Command::new("setsid")
        .arg("bash")
        .arg(dir.join("scripts/hold.sh"))
        .arg(dir)
        .arg(max_life.as_secs().max(1).to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context("cannot start setsid")?;
    let (holding, held) = mpsc::channel();
    thread::spawn(move || {
        // Waited for all its life, it leaves no zombie in a test or a demo. How it ended is in its log.
        let _ = child.wait();
        drop(holding);
    });
    Ok(held)
}

fn wait_until_ready(dir: &Path, held: &Receiver<()>, progress: &mut dyn Progress) -> Result<()> {
    let started = Instant::now();
    let mut seen = 0;
    while !dir.join("ready").exists() {
        let said = fs::read_to_string(dir.join("progress")).unwrap_or_default();
        for line in said.lines().skip(seen) {
            progress.begin(line);
            seen += 1;
        }
        if held.try_recv() == Err(TryRecvError::Disconnected) {
            bail!("its outermost process ended");
        }
        if started.elapsed() > START_TIMEOUT {
            bail!("it was not ready after {} s", START_TIMEOUT.as_secs());
        }
        sleep(POLL);
    }
    Ok(())
}

fn last_words(dir: &Path) -> String {
    let said = fs::read_to_string(dir.join("up.log")).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[cfg(test)]
mod tests;
