//! What runs of a cluster, and what does not any more.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::cluster::{Cluster, output};
use crate::home::Home;

/// A look at a cluster of our own.
#[derive(Debug)]
pub struct Status {
    /// Its folder, with logs in `log/`.
    pub dir: String,
    /// How long it may still live.
    pub left: Duration,
    /// The deny mode and `strict` or `loose`; empty without nodes.
    pub enforcer: String,
    /// Empty for a control plane alone.
    pub nodes: Vec<NodeStatus>,
    /// Programs that were started and have ended; their logs are `log/NAME.log`.
    pub ended: Vec<String>,
}

/// One node, as the API server sees it.
#[derive(Debug)]
pub struct NodeStatus {
    /// `n1` or `n2`.
    pub name: String,
    /// The Ready condition: `True`, `False`, `Unknown`.
    pub ready: String,
    /// Of its kubelet.
    pub version: String,
}

impl Cluster {
    /// Looks at the cluster; fails for an existing one, whose state is kubectl's to tell.
    pub fn status(&self) -> Result<Status> {
        let dir = self
            .home()
            .map(Home::dir)
            .context("an existing cluster's state is what `kubectl get nodes` says")?;
        let format = "jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type==\"Ready\")].status} \
                      {.status.nodeInfo.kubeletVersion}{\"\\n\"}{end}";
        let listed = output(self.kubectl().args(["get", "nodes", "-o", format]))?;
        let nodes = listed.lines().filter_map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            Some(NodeStatus { name: words.next()?, ready: words.next()?, version: words.next()? })
        });
        let left = self.ends().and_then(|e| e.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        let enforcer =
            fs::read_to_string(dir.join("n1/enforcer.applied")).unwrap_or_default().trim().to_owned();
        Ok(Status {
            dir: dir.display().to_string(),
            left,
            enforcer,
            nodes: nodes.collect(),
            ended: self.ended()?,
        })
    }

    fn ended(&self) -> Result<Vec<String>> {
        let home = self.home().context("not a cluster of our own")?;
        let init = home.init().context("the cluster has ended")?;
        let entries =
            fs::read_dir(home.dir().join("pid")).context("cannot read the cluster's list of processes")?;
        let mut ended: Vec<String> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let pid = fs::read_to_string(&path).ok()?;
                // Process ids in there are those of the cluster's own process namespace, and so is its /proc.
                let command =
                    fs::read(format!("/proc/{init}/root/proc/{}/cmdline", pid.trim())).unwrap_or_default();
                command.is_empty().then(|| path.file_name()?.to_str().map(str::to_owned))?
            })
            .collect();
        ended.sort();
        Ok(ended)
    }
}
