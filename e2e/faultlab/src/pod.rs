//! Programs in the pods of a case, as our container runs: uid 65532, no capability, files of its own in `/etc`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result};

use crate::lab::{At, Lab};

/// What a pod has in `/etc`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files<'a> {
    /// `resolv.conf`.
    pub(crate) resolv_conf: &'a str,
    /// `hosts`, besides localhost.
    pub(crate) hosts: &'a str,
    /// The file of a cgroup that takes its members.
    pub(crate) members: Option<PathBuf>,
}

/// The beginning of a command in a pod, for a program and its arguments to follow. Files go into the folder.
pub(crate) fn command(lab: &Lab, at: At, files: Files<'_>, folder: &Path) -> Result<Command> {
    let resolv_conf = write(folder, &format!("{}-resolv.conf", at.word()), files.resolv_conf)?;
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{}", files.hosts);
    let hosts = write(folder, &format!("{}-hosts", at.word()), &hosts)?;
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", lab.name(at)));
    command.args(["unshare", "--mount", "--propagation", "private", "sh", "-ec"]);
    command.arg(
        "mount --bind \"$1\" /etc/resolv.conf; mount --bind \"$2\" /etc/hosts; echo $$ >\"$3\"; shift 3; exec \"$@\"",
    );
    let members = files.members.unwrap_or_else(|| PathBuf::from("/dev/null"));
    command.arg("sh").args([resolv_conf, hosts, members]);
    command.args(["setpriv", "--reuid", "65532", "--regid", "65532", "--clear-groups"]);
    command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]);
    // Nothing of the machine's own, such as its proxies.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Ok(command)
}

/// A program that runs until this goes.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets everybody look into a folder: programs in pods run as another user than whoever made it.
pub(crate) fn open(folder: &Path) -> Result<()> {
    let opened = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    opened.with_context(|| format!("cannot open {}", folder.display()))
}

/// Writes a file that everybody may read.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
