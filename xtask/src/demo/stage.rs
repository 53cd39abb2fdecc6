//! What every part of the demo works with: the cluster, the time, and the way to say something.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use peerwalk_cluster::{Cluster, Place};

use crate::tree;

use super::interrupt::Interrupt;

/// Lines with the time since the demo began.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// A line of the story.
    pub(crate) fn say(&self, text: &str) {
        tree::say(&format!("[{:6.1} s] {text}", self.0.elapsed().as_secs_f64()));
    }
}

/// The running cluster and everything around it.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: Cluster,
    pub(crate) clock: &'a Clock,
    pub(crate) interrupt: &'a Interrupt,
}

/// Below something that was said.
pub(crate) fn indented(text: &str) {
    for line in text.trim_end().lines() {
        tree::say(&format!("    {line}"));
    }
}

impl Stage<'_> {
    /// Runs kubectl at the root of the tree and gives what it printed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.output(self.cluster.kubectl().args(arguments))
            .with_context(|| format!("`kubectl {}` failed", arguments.join(" ")))
    }

    /// The same, said before it is done.
    pub(crate) fn show_kubectl(&self, arguments: &[&str]) -> Result<()> {
        self.clock.say(&format!("$ kubectl {}", arguments.join(" ")));
        indented(&self.kubectl(arguments)?);
        Ok(())
    }

    /// The operator's explanation of all walks of a check, as blocks: one for each pair of a pod and a target.
    pub(crate) fn explain(&self, check: &str) -> Result<Vec<String>> {
        // Only the replica that leads knows. It is named in the Lease by its pod and the pod's uid.
        let format = "jsonpath={.spec.holderIdentity}";
        let holder = self.kubectl(&["-n", "peerwalk-system", "get", "lease", "peerwalk", "-o", format])?;
        let pod = holder.trim().split('_').next().unwrap_or_default();
        // The operator's image has no other program and the address is the pod's own loopback.
        let place = Place::from_pod("peerwalk-system", pod);
        let mut client = self.cluster.exec(&place, self.cluster.program("testbed")?)?;
        client.args(["http", &format!("http://127.0.0.1:8082/explain/shop/{check}")]);
        let answer = self.output(&mut client)?;
        let Some(text) = answer.strip_prefix("200 ") else {
            bail!("the operator does not explain shop/{check}: {}", answer.trim())
        };
        // The first line of each names the pair; those below are set in.
        let mut blocks: Vec<Vec<&str>> = Vec::new();
        for line in text.lines().filter(|l| !l.is_empty()) {
            match blocks.last_mut() {
                Some(block) if line.starts_with(' ') => block.push(line),
                _ => blocks.push(vec![line]),
            }
        }
        Ok(blocks.into_iter().map(|b| b.join("\n")).collect())
    }

    pub(crate) fn output(&self, command: &mut Command) -> Result<String> {
        let name = command.get_program().to_owned();
        let out = command
            .current_dir(tree::root())
            .output()
            .with_context(|| format!("cannot start {}", name.display()))?;
        self.interrupt.check()?;
        if !out.status.success() {
            bail!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}
