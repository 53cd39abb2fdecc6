//! Ending a cluster, in whatever state it is: by its cgroups, which nothing it started can leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::binaries::sources;
use crate::cluster::Record;
use crate::home::Home;
use crate::host;
use crate::progress::Progress;

impl Home {
    /// Ends the cluster and removes everything it left, also after a crash; gives whether there was any.
    pub fn down(&self, progress: &mut dyn Progress) -> Result<bool> {
        if !self.has_remains()? {
            return Ok(false);
        }
        host::check_root()?;
        progress.begin("ending the cluster");
        let strangers = self.strangers();
        self.remove()?;
        progress.end();
        let left = remaining(strangers);
        if !left.is_empty() {
            bail!(
                "the cluster ended, but processes started by others keep its network namespace: {}",
                left.join(" ")
            );
        }
        Ok(true)
    }

    pub(crate) fn remove(&self) -> Result<()> {
        // The folder is deleted as a whole, so it has to be one that `up` made: a record is the first in it.
        let dir = self.dir();
        let empty = || fs::read_dir(dir).is_ok_and(|mut d| d.next().is_none());
        if dir.exists() && !empty() && Record::read(dir).is_err() {
            bail!(
                "{} is not a cluster's folder: remove it, or set PEERWALK_CLUSTER_DIR to another",
                dir.display()
            );
        }
        let mut script = Command::new("bash");
        script.arg(sources().join("scripts/down.sh")).arg(dir).arg(self.name());
        let out = script.output().context("cannot start bash")?;
        if !out.status.success() {
            bail!("cannot end the cluster: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(())
    }

    /// Processes in the cluster's network namespace that are not its own, such as an operator that was started in it.
    fn strangers(&self) -> Vec<u32> {
        let namespace = |pid: u32, kind: &str| fs::read_link(in_proc(pid).join("ns").join(kind)).ok();
        let Some(init) = self.init() else { return Vec::new() };
        let (Some(network), own) = (namespace(init, "net"), namespace(init, "pid")) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let known = self.processes().unwrap_or_default();
        // A test that ends the cluster it runs in is no stranger.
        pids.filter(|p| *p != process::id() && !known.contains(p))
            .filter(|p| namespace(*p, "net").as_ref() == Some(&network) && namespace(*p, "pid") != own)
            .collect()
    }
}

/// Those that have not ended. One that was killed a moment ago may take another to be gone; what only waits for its parent
/// is in no namespace.
fn remaining(mut pids: Vec<u32>) -> Vec<String> {
    const WITHIN: Duration = Duration::from_secs(5);
    const EVERY: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    loop {
        pids.retain(|pid| fs::read_link(in_proc(*pid).join("ns/net")).is_ok());
        if pids.is_empty() || begun.elapsed() > WITHIN {
            return pids.iter().map(ToString::to_string).collect();
        }
        thread::sleep(EVERY);
    }
}

fn in_proc(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}
