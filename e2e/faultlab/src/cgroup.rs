//! A cgroup with a CPU limit that starves what is in it, in whichever version the machine mounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Microseconds of CPU in each period of 100 ms.
const QUOTA: u32 = 1000;
const PERIOD: u32 = 100_000;
/// What the names of cgroups begin with.
const PREFIX: &str = "pwf-starved";
/// What has just ended is counted as a member for a moment.
const TRIES: u32 = 50;
const TRY: Duration = Duration::from_millis(10);

/// A cgroup of one case, with a process that takes all it can get of the little there is; both are removed when this
/// goes.
#[derive(Debug)]
pub struct Starved {
    folder: PathBuf,
    other: Option<Child>,
}

impl Starved {
    /// Makes it.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = Path::new("/sys/fs/cgroup");
        let (folder, v2) = if root.join("cgroup.controllers").exists() {
            // A root that hands the controller on already is not to be written by who may not.
            let handed_on = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
            if !handed_on.split_whitespace().any(|controller| controller == "cpu") {
                write(&root.join("cgroup.subtree_control"), "+cpu")?;
            }
            (root.join(name), true)
        } else if root.join("cpu").is_dir() {
            (root.join("cpu").join(name), false)
        } else {
            bail!("no CPU controller below {}: mount cgroups there", root.display());
        };
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut made = Self { folder, other: None };
        if v2 {
            write(&made.folder.join("cpu.max"), &format!("{QUOTA} {PERIOD}"))?;
        } else {
            write(&made.folder.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
            write(&made.folder.join("cpu.cfs_quota_us"), &QUOTA.to_string())?;
        }
        let busy = "echo $$ >\"$1\"; while :; do :; done";
        let mut other = Command::new("sh");
        other.args(["-ec", busy, "sh"]).arg(made.members()).stdin(Stdio::null());
        made.other = Some(other.spawn().context("cannot start sh")?);
        Ok(made)
    }

    /// The file that a process enters it by.
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        if let Some(other) = &mut self.other {
            // One that has ended already cannot be ended.
            let _ = other.kill();
            let _ = other.wait();
        }
        for _ in 0..TRIES {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(TRY);
        }
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {text} to {}", file.display()))
}
