//! What happens to programs of a cluster: signals, cgroups, and the control plane that goes away.

use std::path::PathBuf;

use anyhow::{Context, Result};
use peerwalk_cluster::Place;

use crate::nodes::{Nodes, printed};

/// The programs of the control plane that hold the state of the cluster, in the order in which they start.
const API: [&str; 2] = ["etcd", "kube-apiserver"];

/// The process of that program whose environment has this line; both nodes' processes are seen from the first.
const FIND: &str = r#"found=
for pid in $(pidof "$1"); do
  if tr '\0' '\n' < /proc/$pid/environ | grep -qxF "$2"; then found=$pid; fi
done
[ -n "$found" ] || { echo "no process $1 with $2" >&2; exit 1; }
"#;

impl Nodes {
    fn bash(&self, script: &str, arguments: &[&str]) -> Result<String> {
        let mut shell = self.cluster.exec(&Place::Node(1), "bash")?;
        printed(shell.args(["-c", &format!("set -eu\n{script}"), "bash"]).args(arguments))
    }

    /// Sends a signal (`KILL`, `STOP`, `CONT`) to the operator's process of a pod.
    pub fn signal_operator(&self, signal: &str, pod: &str) -> Result<()> {
        let script = format!("{FIND}kill -\"$3\" \"$found\"");
        self.bash(&script, &["peerwalk-operator", &format!("POD_NAME={pod}"), signal]).map(drop)
    }

    /// Sends a signal to the sidecar of the pod with that uid.
    pub fn signal_sidecar(&self, signal: &str, uid: &str) -> Result<()> {
        let script = format!("{FIND}kill -\"$3\" \"$found\"");
        self.bash(&script, &["peerwalk-sidecar", &format!("PEERWALK_POD_UID={uid}"), signal]).map(drop)
    }

    /// Gives the sidecar that many microseconds of a processor in 100 ms, and gives what it had, which puts it back.
    pub fn limit_cpu(&self, uid: &str, quota: &str) -> Result<String> {
        // The nodes see the machine's cgroups.
        let script = format!(
            r#"{FIND}
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  file=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$found/cgroup)/cpu.max
else
  file=/sys/fs/cgroup/cpu$(grep -E ':(cpu|cpu,cpuacct):' /proc/$found/cgroup | cut -d: -f3)/cpu.cfs_quota_us
fi
cat "$file"
echo "$3" > "$file""#
        );
        self.bash(&script, &["peerwalk-sidecar", &format!("PEERWALK_POD_UID={uid}"), quota])
    }

    /// Has the sidecar killed for its memory: another process in its cgroup wants more than there is, and the kernel ends
    /// the one that the kubelet gave up first.
    pub fn exhaust_memory(&self, uid: &str) -> Result<()> {
        let script = format!(
            r#"{FIND}
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$found/cgroup)
else
  cgroup=/sys/fs/cgroup/memory$(grep ':memory:' /proc/$found/cgroup | cut -d: -f3)
fi
( echo $BASHPID > "$cgroup/cgroup.procs" && head -c 256M /dev/zero | tail > /dev/null ) || true"#
        );
        self.bash(&script, &["peerwalk-sidecar", &format!("PEERWALK_POD_UID={uid}")]).map(drop)
    }

    /// The cluster's own folder.
    fn folder(&self) -> Result<PathBuf> {
        let program = self.cluster.program("etcd")?;
        let folder = program.parent().and_then(|bin| bin.parent());
        folder.map(PathBuf::from).context("a cluster has a folder")
    }

    /// Sends a signal to a program that the cluster itself is made of, such as `kubelet-n2`.
    pub fn signal_program(&self, signal: &str, name: &str) -> Result<()> {
        let file = self.folder()?.join("pid").join(name);
        self.bash("kill -\"$1\" $(cat \"$2\")", &[signal, &file.display().to_string()]).map(drop)
    }

    /// Sends a signal to the API server and etcd.
    pub fn signal_api(&self, signal: &str) -> Result<()> {
        API.iter().try_for_each(|name| self.signal_program(signal, name))
    }

    /// Ends the API server and etcd at once, and gives what starts them again.
    pub fn kill_api(&self) -> Result<Restart<'_>> {
        let folder = self.folder()?.display().to_string();
        let script =
            r#"pid=$(cat "$1/pid/$2") && cat /proc/$pid/cmdline > "$1/pid/$2.command" && kill -KILL $pid"#;
        // Whoever holds the state last.
        for name in API.iter().rev() {
            self.bash(script, &[&folder, name])?;
        }
        Ok(Restart { nodes: self, folder })
    }
}

/// An API server and etcd that have ended.
#[must_use = "the cluster has no API server until they are started again"]
pub struct Restart<'a> {
    nodes: &'a Nodes,
    folder: String,
}

impl Restart<'_> {
    /// Starts them as they were, with their data.
    pub fn start(self) -> Result<()> {
        // They belong to the cluster's process ids and end with those.
        let script = r#"mapfile -d '' -t command < "$1/pid/$2.command"
setsid "${command[@]}" >> "$1/log/$2.log" 2>&1 < /dev/null &
echo $! > "$1/pid/$2""#;
        API.iter().try_for_each(|name| self.nodes.bash(script, &[&self.folder, name]).map(drop))
    }
}
