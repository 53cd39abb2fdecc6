//! A handle to a cluster that runs: this project's own, or an existing one by its kubectl context.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::home::{Home, State};
use crate::image::{self, Image};
use crate::launch;
use crate::options::{Deny, Options};
use crate::place::Place;
use crate::progress::Progress;

/// How long the enforcers of all nodes may take to change the kernel's rules. They take milliseconds.
const APPLY_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// What `up` knew, for everybody who comes later; `cluster.json` in the cluster's folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) nodes: u8,
    pub(crate) ends: SystemTime,
}

impl Record {
    const FILE: &str = "cluster.json";

    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(Self::FILE);
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not what `up` wrote", file.display()))
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let file = dir.join(Self::FILE);
        let text = serde_json::to_vec_pretty(self).context("cannot write the cluster's record")?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// A running cluster. Dropping it does not end it: [`Home::down`] does.
#[derive(Debug)]
pub struct Cluster {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Own { home: Home, record: Record },
    Existing { context: String },
}

impl Cluster {
    /// Starts a cluster; fails when one runs already.
    pub fn up(options: &Options, progress: &mut dyn Progress) -> Result<Self> {
        launch::up(&Home::from_env()?, options, progress)
    }

    /// Starts a cluster with that folder.
    pub fn up_in(home: &Home, options: &Options, progress: &mut dyn Progress) -> Result<Self> {
        launch::up(home, options, progress)
    }

    /// The cluster with that folder, if it runs.
    pub fn running_in(home: &Home) -> Result<Option<Self>> {
        if home.state()? != State::Running {
            return Ok(None);
        }
        let record = Record::read(home.dir())?;
        Ok(Some(Self { kind: Kind::Own { home: home.clone(), record } }))
    }

    /// A cluster that exists anyway, by the name of its context in the user's kubeconfig.
    pub fn existing(context: &str) -> Self {
        Self { kind: Kind::Existing { context: context.to_owned() } }
    }

    /// The cluster to work with: that of the context in `PEERWALK_CONTEXT`, else the one that runs here.
    pub fn connect() -> Result<Self> {
        if let Some(context) = env::var("PEERWALK_CONTEXT").ok().filter(|c| !c.is_empty()) {
            return Ok(Self::existing(&context));
        }
        let home = Home::from_env()?;
        if let Some(cluster) = Self::running_in(&home)? {
            return Ok(cluster);
        }
        let dir = home.dir().display();
        match home.state()? {
            State::Absent => bail!("no cluster is running: start one with `cargo xtask cluster up`"),
            State::Starting | State::Running => {
                bail!("a cluster is starting in {dir}: wait for the command that starts it")
            }
            State::Remains => bail!(
                "the cluster in {dir} was ended from outside, as by a crash or a reboot: `cargo xtask cluster up` starts \
                 another, `cargo xtask cluster down` removes what is left"
            ),
        }
    }

    /// The administrator's kubeconfig, valid in [`Place::Network`]; `None` when it is an existing cluster.
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        self.own().ok().map(|(home, _)| home.kubeconfig())
    }

    /// The API server's audit log (metadata of every request but the administrator's and the nodes'), JSON lines.
    pub fn audit_log(&self) -> Result<PathBuf> {
        Ok(self.own()?.0.dir().join("log/audit.json"))
    }

    /// One of the programs that the cluster is made of, such as `testbed`, for [`Cluster::exec`].
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        Ok(self.own()?.0.dir().join("bin").join(name))
    }

    /// When it ends by itself; `None` when it is an existing cluster.
    pub fn ends(&self) -> Option<SystemTime> {
        self.own().ok().map(|(_, record)| record.ends)
    }

    /// A command that runs a program of the machine somewhere in the cluster, with `KUBECONFIG` set.
    pub fn exec(&self, place: &Place, program: impl AsRef<OsStr>) -> Result<Command> {
        let (home, record) = self.own()?;
        let dir = home.dir();
        let init = home.init().context("the cluster has ended: `cargo xtask cluster up` starts another")?;
        let mut command = Command::new("nsenter");
        command.args(["-t", &init.to_string()]);
        match place {
            Place::Network => command.arg("-n"),
            Place::Node(1) if record.nodes > 0 => command.args(["-n", "-m", "-p"]),
            Place::Node(node) if *node > 0 && *node <= record.nodes => enter_node(&mut command, dir, *node)?,
            Place::Node(node) => bail!("there is no node n{node}: the cluster has {} nodes", record.nodes),
            Place::Pod { namespace, name } => return self.exec_in_pod(namespace, name, program.as_ref()),
        };
        command.arg("--").arg(program).env("KUBECONFIG", home.kubeconfig());
        Ok(command)
    }

    fn exec_in_pod(&self, namespace: &str, name: &str, program: &OsStr) -> Result<Command> {
        let format = "jsonpath={.spec.nodeName} {.status.podIP}";
        let found = output(self.kubectl().args(["-n", namespace, "get", "pod", name, "-o", format]))?;
        let node_and_address =
            found.strip_prefix('n').and_then(|f| f.split_once(' ')).filter(|(_, a)| !a.is_empty());
        let (node, address) =
            node_and_address.with_context(|| format!("the pod {namespace}/{name} has no address yet"))?;
        let node =
            node.parse().with_context(|| format!("the pod {namespace}/{name} is on no node of ours"))?;
        let mut command = self.exec(&Place::Node(node), "bash")?;
        command.arg(self.own()?.0.dir().join("scripts/in-pod.sh")).arg(address).arg(program);
        Ok(command)
    }

    /// A kubectl for this cluster, of its version where it is our own.
    pub fn kubectl(&self) -> Command {
        match &self.kind {
            Kind::Existing { context } => {
                let mut command = Command::new("kubectl");
                command.args(["--context", context]);
                command
            }
            Kind::Own { home, .. } => {
                let kubectl = home.dir().join("bin/kubectl");
                // An ended cluster gives a kubectl that says that nobody answers, which is the truth.
                self.exec(&Place::Network, &kubectl).unwrap_or_else(|_| Command::new(kubectl))
            }
        }
    }

    /// A Helm for this cluster.
    pub fn helm(&self, progress: &mut dyn Progress) -> Result<Command> {
        let helm = crate::helm(progress)?;
        match &self.kind {
            Kind::Own { .. } => self.exec(&Place::Network, helm),
            Kind::Existing { context } => {
                let mut command = Command::new(helm);
                command.args(["--kube-context", context]);
                Ok(command)
            }
        }
    }

    /// Brings an image to the container runtimes of all nodes.
    pub fn load_image(&self, image: Image<'_>, progress: &mut dyn Progress) -> Result<()> {
        let (home, record) = self.own()?;
        let dir = home.dir();
        let made;
        let archive: &Path = match image {
            Image::Archive(archive) => archive,
            Image::Binary { name, file } => {
                progress.begin(&format!("making the image {name}"));
                made = dir.join(format!("{}.tar", name.replace(['/', ':'], "_")));
                image::build_image(&made, name, file)?;
                &made
            }
        };
        for node in 1..=record.nodes {
            progress.begin(&format!("loading {} on n{node}", archive.display()));
            // From standard input: paths such as /var/lib are others inside a node.
            let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
            let mut ctr = self.exec(&Place::Node(node), "ctr")?;
            ctr.args(["-n", "k8s.io", "images", "import", "-"]);
            output(ctr.stdin(Stdio::from(file)))?;
        }
        progress.end();
        Ok(())
    }

    /// Changes what packets get that a policy denies, and waits until the kernels of all nodes do so.
    /// Established connections are kept in every mode.
    pub fn set_deny(&self, deny: Deny) -> Result<()> {
        self.configure_enforcer("deny", deny.as_str())
    }

    /// Changes whether pods that the enforcer does not know yet are denied, and waits likewise.
    pub fn set_strict(&self, strict: bool) -> Result<()> {
        self.configure_enforcer("strict", if strict { "true" } else { "false" })
    }

    fn configure_enforcer(&self, key: &str, value: &str) -> Result<()> {
        let (home, record) = self.own()?;
        let dir = home.dir();
        if record.nodes == 0 {
            bail!("a control plane without nodes enforces no policies");
        }
        let patch = serde_json::json!({ "data": { key: value } }).to_string();
        let mut kubectl = self.kubectl();
        kubectl.args(["-n", "kube-system", "patch", "configmap", "enforcer", "--type=merge", "-p", &patch]);
        let format = "jsonpath={.data.deny} {.data.strict}";
        let wanted =
            output(kubectl.args(["-o", format]))?.replace("true", "strict").replace("false", "loose");
        let started = Instant::now();
        for node in 1..=record.nodes {
            let file = dir.join(format!("n{node}/enforcer.applied"));
            while fs::read_to_string(&file).unwrap_or_default().trim() != wanted {
                if started.elapsed() > APPLY_TIMEOUT {
                    bail!(
                        "the enforcer of n{node} did not apply `{wanted}`; see {}/log/enforcer-n{node}.log",
                        dir.display()
                    );
                }
                sleep(POLL);
            }
        }
        Ok(())
    }

    pub(crate) fn home(&self) -> Option<&Home> {
        self.own().ok().map(|(home, _)| home)
    }

    fn own(&self) -> Result<(&Home, &Record)> {
        match &self.kind {
            Kind::Own { home, record } => Ok((home, record)),
            Kind::Existing { context } => {
                bail!(
                    "the context {context} is an existing cluster; this needs one of `cargo xtask cluster up`"
                )
            }
        }
    }
}

/// Nodes beside the first have namespaces of their own below process 1, which knows them by its own process ids.
fn enter_node<'a>(command: &'a mut Command, dir: &Path, node: u8) -> Result<&'a mut Command> {
    let file = dir.join(format!("n{node}.pid"));
    let pid = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(command.args(["-m", "-p", "--", "nsenter", "-t", pid.trim(), "-n", "-m"]))
}

/// Runs a command and gives what it printed; what it complained about is the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out =
        command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !out.status.success() {
        bail!("{} failed: {}", command.get_program().display(), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
