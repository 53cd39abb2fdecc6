//! The demo's cluster: where it is, and that it ends.

use anyhow::{Result, bail};
use peerwalk_cluster::{Home, Terminal, check_root};

use crate::tree;

const BESIDE: &str = "/var/lib/peerwalk/demo";

/// The folder of the demo's cluster. The cluster ends when this goes, whatever happened, unless it is kept.
pub(crate) struct DemoCluster {
    pub(crate) home: Home,
    pub(crate) keep: bool,
}

impl DemoCluster {
    /// The usual folder, or one of its own beside a cluster that runs there.
    pub(crate) fn claim() -> Result<Self> {
        check_root()?;
        let usual = Home::from_env()?;
        if !usual.has_processes()? {
            return Ok(Self { home: usual, keep: false });
        }
        let home = Home::at(BESIDE)?;
        if home.has_processes()? {
            bail!(
                "clusters are running in {} and in {BESIDE}: end one with `cargo xtask cluster down`, the latter with \
                 PEERWALK_CLUSTER_DIR={BESIDE}",
                usual.dir().display()
            );
        }
        Ok(Self { home, keep: false })
    }

    /// What commands need in front of them to mean this cluster.
    pub(crate) fn environment(&self) -> String {
        match Home::from_env() {
            Ok(usual) if usual == self.home => String::new(),
            _ => format!("PEERWALK_CLUSTER_DIR={} ", self.home.dir().display()),
        }
    }
}

impl Drop for DemoCluster {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.home.down(&mut Terminal::default()) {
            tree::complain(&error);
        }
    }
}
