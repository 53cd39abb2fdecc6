//! Where the demo's cluster is.

use anyhow::{Result, bail};
use peerwalk_cluster::{Home, check_rights};

use crate::own_cluster::OwnCluster;

const BESIDE: &str = "/var/lib/peerwalk/demo";

/// The usual folder, or one of the demo's own beside a cluster that runs there.
pub(crate) fn claim() -> Result<OwnCluster> {
    check_rights()?;
    let usual = Home::from_env()?;
    for home in [usual.clone(), Home::at(BESIDE)?] {
        let free = OwnCluster::claim(home)?;
        if let Some(own) = free
            && !own.home().has_processes()?
        {
            return Ok(own);
        }
    }
    bail!(
        "clusters or demos are running in {} and in {BESIDE}: end one with `cargo xtask cluster down`, the latter with \
         PEERWALK_CLUSTER_DIR={BESIDE}",
        usual.dir().display()
    )
}

/// What commands need in front of them to mean that cluster.
pub(crate) fn environment(home: &Home) -> String {
    match Home::from_env() {
        Ok(usual) if usual == *home => String::new(),
        _ => format!("PEERWALK_CLUSTER_DIR={} ", home.dir().display()),
    }
}
