//! Which cluster: its folder, and the cgroups by which its processes are known whatever happened to it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache;

const DEFAULT_DIR: &str = "/var/lib/peerwalk/cluster";

/// Where a cluster has its folder. One folder is one cluster: those of different folders do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

/// What there is of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// Processes, and it is not ready.
    Starting,
    /// It is ready.
    Running,
    /// What a cluster left that was not ended by [`Home::down`].
    Remains,
}

impl State {
    /// Of a cluster of which there is something.
    fn of(processes: bool, ready: bool, init: bool) -> Self {
        match (processes, ready, init) {
            (true, true, true) => Self::Running,
            (true, false, _) => Self::Starting,
            _ => Self::Remains,
        }
    }
}

impl Home {
    /// `PEERWALK_CLUSTER_DIR`, or `/var/lib/peerwalk/cluster`.
    pub fn from_env() -> Result<Self> {
        let given = env::var_os("PEERWALK_CLUSTER_DIR").filter(|d| !d.is_empty());
        Self::at(given.map_or_else(|| DEFAULT_DIR.into(), PathBuf::from)).context("PEERWALK_CLUSTER_DIR")
    }

    /// That folder, which need not exist.
    pub fn at(dir: impl Into<PathBuf>) -> Result<Self> {
        // Without a slash at the end, which would make it another cluster.
        let dir: PathBuf = dir.into().components().collect();
        let plain = dir.to_str().is_some_and(|d| !d.contains(['\'', '"', '\n', ' ']));
        if !dir.is_absolute() || dir.parent().is_none() || !plain {
            bail!(
                "{} cannot be a cluster's folder: give an absolute path without blanks or quotes",
                dir.display()
            );
        }
        Ok(Self { dir })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The administrator's kubeconfig, valid in [`Place::Network`](crate::Place::Network).
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("pki/admin.kubeconfig")
    }

    /// What the cluster's cgroups are called: `peerwalk` for its own processes, `peerwalk-n1` for pods on node 1.
    pub(crate) fn name(&self) -> String {
        if self.dir == Path::new(DEFAULT_DIR) {
            return "peerwalk".to_owned();
        }
        format!("peerwalk-{}", &cache::key([self.dir.as_os_str().as_encoded_bytes()])[..8])
    }

    /// What there is of the cluster.
    pub fn state(&self) -> Result<State> {
        if !self.has_remains()? {
            return Ok(State::Absent);
        }
        let ready = self.dir.join("ready").exists();
        Ok(State::of(self.has_processes()?, ready, self.init().is_some()))
    }

    /// Whether the cluster has processes, be it ready or not.
    pub fn has_processes(&self) -> Result<bool> {
        Ok(!self.processes()?.is_empty())
    }

    /// Process ids, as the machine counts them, of everything of the cluster but its pods.
    pub fn processes(&self) -> Result<Vec<u32>> {
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/pids"] {
            let file = Path::new(root).join(self.name()).join("cgroup.procs");
            if file.exists() {
                let list =
                    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
                return Ok(list.lines().filter_map(|l| l.parse().ok()).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Whether there is anything of a cluster: the folder or cgroups.
    pub(crate) fn has_remains(&self) -> Result<bool> {
        Ok(self.dir.exists() || !self.cgroups()?.is_empty())
    }

    /// The cluster's cgroups that are directly below a hierarchy's root.
    pub fn cgroups(&self) -> Result<Vec<PathBuf>> {
        let root = Path::new("/sys/fs/cgroup");
        let name = self.name();
        let names = [name.clone(), format!("{name}-n1"), format!("{name}-n2")];
        let mut found = Vec::new();
        let entries = fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
        let below = entries.filter_map(|e| Some(e.ok()?.path()));
        for hierarchy in [root.to_path_buf()].into_iter().chain(below) {
            found.extend(names.iter().map(|n| hierarchy.join(n)).filter(|c| c.is_dir()));
        }
        Ok(found)
    }

    /// Process 1 of the cluster's namespaces, as the machine counts, unless it has ended.
    pub fn init(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.dir.join("init.pid")).ok()?.trim().parse().ok()?;
        self.processes().ok()?.contains(&pid).then_some(pid)
    }
}

#[cfg(test)]
mod tests;
