//! Ending a cluster, in whatever state it is: by its cgroups, which nothing it started can leave.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::sources;
use crate::cache;
use crate::host;
use crate::progress::Progress;

const DEFAULT_DIR: &str = "/var/lib/peerwalk/cluster";

/// The running cluster's folder: `PEERWALK_CLUSTER_DIR`, or `/var/lib/peerwalk/cluster`.
pub(crate) fn dir() -> Result<PathBuf> {
    let dir = env::var_os("PEERWALK_CLUSTER_DIR")
        .filter(|d| !d.is_empty())
        .map_or_else(|| DEFAULT_DIR.into(), PathBuf::from);
    let plain = dir.to_str().is_some_and(|d| !d.contains(['\'', '\n', ' ']));
    if !dir.is_absolute() || dir.parent().is_none() || !plain {
        bail!(
            "PEERWALK_CLUSTER_DIR is {}: it has to be an absolute path without blanks or quotes",
            dir.display()
        );
    }
    Ok(dir)
}

/// What the cluster's cgroups are called: `peerwalk` for its own processes, `peerwalk-n1` for pods on node 1.
pub(crate) fn name(dir: &Path) -> String {
    if dir == Path::new(DEFAULT_DIR) {
        return "peerwalk".to_owned();
    }
    format!("peerwalk-{}", &cache::key([dir.as_os_str().as_encoded_bytes()])[..8])
}

/// Whether the cluster of that folder has processes.
pub(crate) fn is_running(dir: &Path) -> Result<bool> {
    Ok(!processes(dir)?.is_empty())
}

/// Process ids, as the machine counts them, of everything of the cluster but its pods.
pub(crate) fn processes(dir: &Path) -> Result<Vec<u32>> {
    let name = name(dir);
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/pids"] {
        let file = Path::new(root).join(&name).join("cgroup.procs");
        if file.exists() {
            let list =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            return Ok(list.lines().filter_map(|l| l.parse().ok()).collect());
        }
    }
    Ok(Vec::new())
}

/// Whether there is anything of a cluster of that folder: the folder or cgroups.
pub(crate) fn has_remains(dir: &Path) -> Result<bool> {
    Ok(dir.exists() || !cgroups(dir)?.is_empty())
}

/// The cluster's cgroups that are directly below a hierarchy's root.
fn cgroups(dir: &Path) -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let name = name(dir);
    let names = [name.clone(), format!("{name}-n1"), format!("{name}-n2")];
    let mut found = Vec::new();
    let entries = fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
    let below = entries.filter_map(|e| Some(e.ok()?.path()));
    for hierarchy in [root.to_path_buf()].into_iter().chain(below) {
        found.extend(names.iter().map(|n| hierarchy.join(n)).filter(|c| c.is_dir()));
    }
    Ok(found)
}

/// Ends the cluster and removes everything it left, also after a crash; gives whether there was any.
pub fn down(progress: &mut dyn Progress) -> Result<bool> {
    let dir = dir()?;
    if !has_remains(&dir)? {
        return Ok(false);
    }
    host::check_root()?;
    progress.begin("ending the cluster");
    let held = holders_of_network(&dir);
    remove(&dir)?;
    progress.end();
    let held: Vec<String> = held
        .into_iter()
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .map(|p| p.to_string())
        .collect();
    if !held.is_empty() {
        bail!(
            "the cluster ended, but processes started by others still hold its network namespace: {}",
            held.join(" ")
        );
    }
    Ok(true)
}

pub(crate) fn remove(dir: &Path) -> Result<()> {
    // The folder is deleted as a whole, so it has to be one that `up` made.
    let empty = || fs::read_dir(dir).is_ok_and(|mut d| d.next().is_none());
    if dir.exists() && !dir.join("bin").is_dir() && !empty() {
        bail!(
            "{} is not a cluster's folder: remove it, or set PEERWALK_CLUSTER_DIR to another",
            dir.display()
        );
    }
    let out = Command::new("bash")
        .arg(sources().join("scripts/down.sh"))
        .arg(dir)
        .arg(name(dir))
        .output()
        .context("cannot start bash")?;
    if !out.status.success() {
        bail!("cannot end the cluster: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// Processes in the cluster's network namespace that are not the cluster's, such as a test that was started in it.
fn holders_of_network(dir: &Path) -> Vec<u32> {
    let Some(init) = init(dir) else { return Vec::new() };
    let namespace = |pid: u32, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let (network, own) = (namespace(init, "net"), namespace(init, "pid"));
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&p| namespace(p, "net") == network && namespace(p, "pid") != own)
        .filter(|&p| network.is_some() && !is_mine(p))
        .collect()
}

/// Whether a process is this one: tests may end the cluster they run in.
fn is_mine(pid: u32) -> bool {
    pid == std::process::id()
}

/// Process 1 of the cluster's namespaces, as the machine counts, unless it has ended.
pub(crate) fn init(dir: &Path) -> Option<u32> {
    let pid = fs::read_to_string(dir.join("init.pid")).ok()?.trim().parse().ok()?;
    processes(dir).ok()?.contains(&pid).then_some(pid)
}
