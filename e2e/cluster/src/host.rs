//! What the machine has to offer before anything is started: rights and Debian packages.

use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, bail};

use crate::progress::Progress;

/// A program, or a file where it starts with `/`, and the Debian package that has it.
const CONTROL_PLANE: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("find", "findutils"),
];
const NODES: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("buildah", "buildah"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("sysctl", "procps"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
];
const IMAGES: [(&str, &str); 1] = [("buildah", "buildah")];
const HELM: [(&str, &str); 2] =
    [("python3", "python3"), ("/usr/lib/python3/dist-packages/pip", "python3-pip")];

const ALERTS: [(&str, &str); 1] = [("promtool", "prometheus")];

/// Names of the Debian packages that a cluster with so many nodes needs and the machine lacks.
pub fn missing_packages(nodes: u8) -> Vec<&'static str> {
    let on_nodes: &[_] = if nodes == 0 { &[] } else { &NODES };
    lacking(CONTROL_PLANE.iter().chain(on_nodes))
}

/// Those that fetching Helm with [`crate::helm()`] needs.
pub fn missing_for_helm() -> Vec<&'static str> {
    if env::var_os("HELM").is_some_and(|h| !h.is_empty()) {
        return Vec::new();
    }
    // Any python3 with pip will do; the path above is only where Debian puts it.
    let works =
        Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|o| o.status.success());
    if works { Vec::new() } else { lacking(&HELM) }
}

/// Those that tests of alerts need.
pub fn missing_for_alerts() -> Vec<&'static str> {
    lacking(&ALERTS)
}

/// Those that [`crate::build_image`] needs.
pub fn missing_for_images() -> Vec<&'static str> {
    lacking(&IMAGES)
}

fn lacking<'a>(wanted: impl IntoIterator<Item = &'a (&'static str, &'static str)>) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        wanted.into_iter().filter(|(what, _)| !is_there(what)).map(|(_, p)| *p).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn is_there(what: &str) -> bool {
    is_in(&env::var("PATH").unwrap_or_default(), what)
}

fn is_in(path: &str, what: &str) -> bool {
    if what.starts_with('/') {
        return Path::new(what).exists();
    }
    // Users' PATH often lacks the folders of system programs; the scripts add them as well.
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
        .any(|d| Path::new(d).join(what).is_file())
}

/// Installs packages with apt, and says which.
pub fn install_missing(packages: &[&str], progress: &mut dyn Progress) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    progress.begin(&format!("installing Debian packages: {}", packages.join(" ")));
    let _no_services = NoServices::begin();
    for arguments in [
        vec!["update", "-qq"],
        [vec!["install", "-y", "-qq", "--no-install-recommends"], packages.to_vec()].concat(),
    ] {
        let out = Command::new("apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output()
            .context("cannot start apt-get")?;
        if !out.status.success() {
            bail!("`apt-get {}` failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&out.stderr));
        }
    }
    progress.end();
    Ok(())
}

/// While packages are installed: their services, such as containerd's, are not started. The programs are all that is
/// wanted of them.
struct NoServices(Option<&'static Path>);

impl NoServices {
    /// By Debian's policy layer (`/usr/share/doc/init-system-helpers/README.policy-rc.d.gz`); a policy that is there
    /// already is the machine's own and stays.
    fn begin() -> Self {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o755).open(policy);
        let made = file.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"));
        Self(made.is_ok().then_some(policy))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            // One that stays keeps services from starting, which whoever installs the next package will see.
            let _ = fs::remove_file(policy);
        }
    }
}

/// Fails with what to do unless a cluster with so many nodes can be started here.
pub(crate) fn check(nodes: u8, install: bool, progress: &mut dyn Progress) -> Result<()> {
    check_rights()?;
    let missing = missing_packages(nodes);
    if install {
        install_missing(&missing, progress)?;
    } else if !missing.is_empty() {
        bail!("Debian packages are missing: run `apt-get install {}`, or add --install", missing.join(" "));
    }
    Ok(())
}

/// Fails unless this process may make what a cluster is made of, with what to do: root alone is not enough in a
/// container, where it may lack capabilities or see cgroups that are read-only.
pub fn check_rights() -> Result<()> {
    check_root()?;
    let out = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "true"])
        .output()
        .context("cannot start unshare: run `apt-get install util-linux`")?;
    if !out.status.success() {
        bail!(no_namespaces(&String::from_utf8_lossy(&out.stderr)));
    }
    let root = Path::new("/sys/fs/cgroup");
    let hierarchy = hierarchy(root).with_context(|| {
        format!(
            "no cgroups below {0}: mount cgroup v2 there, or the v1 hierarchies with `pids`",
            root.display()
        )
    })?;
    check_cgroups(&hierarchy)
}

/// Fails unless this process is root, with how to become it.
pub fn check_root() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    if effective_user(&status) != Some(0) {
        bail!(
            "a cluster needs namespaces, mounts and cgroups: run this as root, for example with `sudo -E env PATH=$PATH`"
        );
    }
    Ok(())
}

/// From the text of `/proc/PID/status`.
fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|l| l.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok())
}

fn no_namespaces(said: &str) -> String {
    format!(
        "a cluster needs namespaces, and this root may not make them ({}): in a container, run it with --privileged",
        said.trim()
    )
}

/// The hierarchy that tells the cluster's processes, as in `scripts/lib.sh`: the only one of cgroup v2, or `pids`
/// of v1.
fn hierarchy(root: &Path) -> Option<PathBuf> {
    if root.join("cgroup.controllers").exists() {
        return Some(root.to_path_buf());
    }
    Some(root.join("pids")).filter(|pids| pids.join("cgroup.procs").exists())
}

/// Makes a cgroup and removes it.
fn check_cgroups(hierarchy: &Path) -> Result<()> {
    let group = hierarchy.join(format!("peerwalk-check-{}", process::id()));
    let tried = fs::create_dir(&group).and_then(|()| fs::remove_dir(&group));
    let Err(error) = tried else { return Ok(()) };
    let remedy = if error.kind() == ErrorKind::ReadOnlyFilesystem {
        "it is mounted read-only: in a container, run it with --privileged and --cgroupns=host"
    } else {
        "run this where root may make cgroups: in a container, with --privileged"
    };
    Err(error).with_context(|| format!("cannot make the cgroup {}: {remedy}", group.display()))
}

#[cfg(test)]
mod tests;
