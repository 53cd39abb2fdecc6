//! A sidecar in a pod of the lab: the real program, told by the variables that the webhook sets.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};

use super::{hub, pod_ref};
use crate::case::Setting;
use crate::lab::{At, Lab};
use crate::pod::{self, Running};

/// As the kubelet writes it for a pod of namespace `{}`.
const RESOLV_CONF: &str = "search {}.svc.cluster.local svc.cluster.local cluster.local\n\
                           nameserver {dnsService}\noptions ndots:5\n";
/// So many lines of a log are shown.
const LINES: usize = 5;

/// A sidecar at work; it ends with this.
pub(super) struct Sidecar {
    _running: Running,
    log: PathBuf,
}

impl Sidecar {
    /// Starts it in the namespace of its pod.
    pub(super) fn start(
        lab: &Lab,
        setting: Setting,
        at: At,
        root: &str,
        binary: &Path,
        folder: &Path,
    ) -> Result<Self> {
        pod::open(folder)?;
        let who = pod_ref(at);
        let token = format!("{}/{}/{}", who.namespace, who.name, who.uid);
        let token = pod::write(folder, &format!("{}-token", at.word()), &token)?;
        let resolv_conf = setting.fill(&RESOLV_CONF.replace("{}", &who.namespace));
        let log = folder.join(format!("{}.log", at.word()));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let addresses = [setting.v6, !setting.v6].map(|v6| at.address(setting.topology, v6));
        let mut command =
            pod::command(lab, at, pod::Files { resolv_conf: &resolv_conf, ..pod::Files::default() }, folder)?;
        command.arg(binary).arg("run");
        command.env("PEERWALK_HUB", format!("{}:{}", hub::NAME, hub::PORT));
        command.env("PEERWALK_HUB_ADDRESS", setting.fill(&format!("[{{hubService}}]:{}", hub::PORT)));
        command.env("PEERWALK_HUB_ROOT", root).env("PEERWALK_TOKEN_FILE", token);
        command.env("PEERWALK_POD_NAMESPACE", who.namespace).env("PEERWALK_POD_NAME", who.name);
        command.env("PEERWALK_POD_UID", who.uid).env("PEERWALK_POD_IPS", addresses.join(","));
        command.env("PEERWALK_LOG", "warn");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().context("cannot start nsenter")?;
        Ok(Self { _running: Running(child), log })
    }

    /// The end of what it logged.
    pub(super) fn log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n        ")
    }
}
