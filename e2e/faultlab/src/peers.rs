//! Sidecars of other pods, which the probe asks what they hold of its dials.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::lab::{At, Lab};
use crate::pod::{self, Running};

/// Until one listens.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// They end when this goes. Their files are in the folder that is given.
pub(crate) struct Peers {
    running: Vec<(PathBuf, Running)>,
    /// Where their sockets are.
    folder: TempDir,
}

impl Peers {
    /// Starts one in each of the namespaces; all listen when this returns.
    pub(crate) fn start(lab: &Lab, places: &[At], probe: &Path, files: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        // Who makes sockets in it has no rights.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).context("cannot open a folder")?;
        let mut peers = Self { running: Vec::new(), folder };
        for place in places {
            let socket = peers.folder.path().join(place.word()).with_extension("sock");
            let mut command = pod::command(lab, *place, pod::Files::default(), files)?;
            command.arg(probe).args(["attest", "--listen"]).arg(&socket).stdin(Stdio::null());
            let child = command.spawn().context("cannot start nsenter")?;
            peers.running.push((socket, Running(child)));
        }
        peers.wait()?;
        Ok(peers)
    }

    fn wait(&mut self) -> Result<()> {
        let begun = Instant::now();
        for (socket, Running(child)) in &mut self.running {
            while !socket.exists() {
                if let Some(status) = child.try_wait().context("cannot wait for a peer")? {
                    bail!("{} ended with {status}", socket.display());
                }
                if begun.elapsed() > PATIENCE {
                    bail!("{} is not there after {} s", socket.display(), PATIENCE.as_secs());
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Path> {
        self.running.iter().map(|(socket, _)| socket.as_path())
    }
}
