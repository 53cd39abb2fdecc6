//! `cargo xtask test`: everything that has to pass, with what is run and how long it takes.

mod binaries;
mod released;
mod report;
mod runner;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use peerwalk_cluster::{Home, Options, Place, Terminal};

use crate::faultlab;
use crate::generate;
use crate::images::{self, Profile};
use crate::own_cluster::{OwnCluster, beside};
use crate::tree;
use binaries::{Level, TestBinary};
pub(crate) use report::Background;
use report::{Counts, Report};

#[derive(Args)]
#[command(
    after_help = "Cluster tests use a cluster of their own, beside one of `cargo xtask cluster up`, and end it.\n\
Debian packages that are missing are installed when this runs as root. Without root the cluster levels are\n\
skipped, except where the environment variable CI is set: there, what cannot run fails.\n\n\
With --context the control-plane tests run on that cluster, and nothing on nodes: those tests load images and change\n\
kernels, which needs a cluster of their own.\n\n\
Examples:\n  cargo xtask test\n  cargo xtask test --only unit\n  cargo xtask test --only nodes -- proxy --nocapture"
)]
pub(crate) struct Arguments {
    /// One level alone
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Run the control-plane tests on an existing cluster, by the name of its context in your kubeconfig
    #[arg(long, env = "PEERWALK_CONTEXT")]
    context: Option<String>,
    /// Arguments for the test binaries, such as a part of the tests' names
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Format, lints, tests that need nothing but Rust, the programs as released, generated files
    Unit,
    /// Tests on etcd and an API server, and of the chart by Helm (e2e/tests/api_*, cli/tests/api_*)
    ControlPlane,
    /// Tests on two nodes (e2e/tests/nodes_*), of the cluster itself, and the fault lab
    Nodes,
}

/// A test run has at most this long; what an interrupted one leaves ends by itself.
const CLUSTER_LIFE: Duration = Duration::from_hours(2);

/// Why there are no node tests on an existing cluster.
const NODES_ARE_OURS: &str = "they load images into the nodes and change what kernels do with packets, so they need a cluster of their own";

struct Run<'a> {
    arguments: &'a Arguments,
    /// An existing cluster.
    context: Option<&'a str>,
    report: Report,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let context = tree::context(arguments.context.as_ref());
    if let (Some(context), Some(Only::Nodes)) = (context, arguments.only) {
        bail!(
            "node tests do not run on the context {context}: {NODES_ARE_OURS}; leave out --context and PEERWALK_CONTEXT"
        );
    }
    let mut run = Run { arguments, context, report: Report::default() };
    let cluster = run.wants(Only::ControlPlane) || run.wants(Only::Nodes);
    let preparing = if cluster { run.prepare() } else { None };
    if run.wants(Only::Unit) {
        run.report.step("format", || command(tree::cargo().args(["fmt", "--all", "--check"])));
        let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        run.report.step("lints", || command(tree::cargo().args(lints)));
    }
    let mut tests = Vec::new();
    run.report.step("build of the tests", || {
        tests = binaries::build()?;
        Ok(Counts::default())
    });
    if tests.is_empty() {
        return Ok(run.report.finish());
    }
    if run.wants(Only::Unit) {
        run.report.step("unit tests", || {
            runner::all(&tests, Level::Unit, arguments, |t| Ok(Command::new(&t.executable)))
        });
        run.report.step("documentation tests", || {
            runner::one(tree::cargo().args(["test", "--workspace", "--doc"]))
        });
        run.report.step("programs as released", released::check);
        run.report.step("generated files are fresh", || generate::check().map(|()| Counts::default()));
    }
    if let Some(preparing) = preparing {
        run.cluster_levels(&tests, preparing);
    }
    if context.is_some() && arguments.only.is_none() {
        run.report.skip("node tests", NODES_ARE_OURS);
    }
    Ok(run.report.finish())
}

fn command(command: &mut Command) -> Result<Counts> {
    tree::must(command)?;
    Ok(Counts::default())
}

impl Run<'_> {
    fn wants(&self, level: Only) -> bool {
        let possible = level != Only::Nodes || self.context.is_none();
        possible && self.arguments.only.is_none_or(|only| only == level)
    }

    /// Installs what clusters need and starts to build their programs beside everything else; `None` when they
    /// cannot run here.
    fn prepare(&mut self) -> Option<JoinHandle<Result<PathBuf>>> {
        if let Err(error) = self.install() {
            self.report.cannot_run("cluster tests", &error);
            return None;
        }
        let own = self.context.is_none();
        let nodes = if self.wants(Only::Nodes) { 2 } else { 0 };
        Some(thread::spawn(move || {
            if own {
                peerwalk_cluster::prepare(nodes, &mut Background::default())?;
            }
            peerwalk_cluster::helm(&mut Background::default())
        }))
    }

    fn install(&self) -> Result<()> {
        if self.context.is_some() {
            return Ok(());
        }
        peerwalk_cluster::check_rights()?;
        let nodes = if self.wants(Only::Nodes) { 2 } else { 0 };
        peerwalk_cluster::check_go(nodes)?;
        let mut missing = peerwalk_cluster::missing_packages(nodes);
        missing.extend(peerwalk_cluster::missing_for_helm());
        missing.extend(peerwalk_cluster::missing_for_alerts());
        peerwalk_cluster::install_missing(&missing, &mut Terminal::default())
    }

    fn cluster_levels(&mut self, tests: &[TestBinary], preparing: JoinHandle<Result<PathBuf>>) {
        let mut helm = None;
        self.report.step("programs of the cluster", || {
            helm = Some(preparing.join().map_err(|_| anyhow!("the thread that builds them panicked"))??);
            Ok(Counts::default())
        });
        let mut compiled = false;
        self.report.step("operator and sidecar", || {
            images::compile(Profile::Quick)?;
            compiled = true;
            Ok(Counts::default())
        });
        let mut archives = Vec::new();
        if compiled && self.wants(Only::Nodes) {
            self.report.step("images", || {
                archives = images::pack(Profile::Quick, &mut Terminal::default())?;
                Ok(Counts::default())
            });
        }
        // Arguments name a part of the tests, and none of the cases.
        if compiled && self.wants(Only::Nodes) && self.arguments.arguments.is_empty() {
            self.report.step("fault lab", || command(&mut faultlab::command()?));
        }
        let Some(helm) = helm else { return };
        let (arguments, context) = (self.arguments, self.context);
        if self.wants(Only::ControlPlane) {
            self.report.step("control-plane tests", || match context {
                Some(context) => on_existing(context, tests, arguments, &helm),
                None => on_cluster(0, Level::ControlPlane, tests, arguments, &helm, &[]),
            });
        }
        if self.wants(Only::Nodes) && !archives.is_empty() {
            let lifecycle = |t: &TestBinary| Ok(Command::new(&t.executable));
            self.report.step("tests of the cluster itself", || {
                runner::all(tests, Level::Cluster, arguments, lifecycle)
            });
            self.report
                .step("node tests", || on_cluster(2, Level::Nodes, tests, arguments, &helm, &archives));
        }
    }
}

/// What the tests of a cluster find in their environment.
fn environment(command: &mut Command, helm: &Path) {
    // They wait more than they work.
    command.env("RUST_TEST_THREADS", "8");
    command.env("HELM", helm).env("PEERWALK_BIN_DIR", images::binaries(Profile::Quick));
}

/// Runs the control-plane tests on an existing cluster.
fn on_existing(context: &str, tests: &[TestBinary], arguments: &Arguments, helm: &Path) -> Result<Counts> {
    runner::all(tests, Level::ControlPlane, arguments, |t| {
        let mut command = Command::new(&t.executable);
        environment(command.env("PEERWALK_CONTEXT", context), helm);
        Ok(command)
    })
}

/// Runs the tests of a level with a cluster of their own, inside its network, and ends it.
fn on_cluster(
    nodes: u8,
    level: Level,
    tests: &[TestBinary],
    arguments: &Arguments,
    helm: &Path,
    images: &[PathBuf],
) -> Result<Counts> {
    if !tests.iter().any(|t| t.level == level) {
        bail!("there are no tests of this level");
    }
    let mut own = claim()?;
    let options = Options { nodes, max_life: CLUSTER_LIFE, ..Options::default() };
    let cluster = own.start(&options)?;
    for archive in images {
        cluster.load_image(peerwalk_cluster::Image::Archive(archive), &mut Terminal::default())?;
    }
    let counts = runner::all(tests, level, arguments, |t| {
        let mut command = cluster.exec(&Place::Network, &t.executable)?;
        environment(command.env("PEERWALK_CLUSTER_DIR", own.home().dir()), helm);
        Ok(command)
    });
    let ended = own.end();
    let counts = counts?;
    ended.map(|()| counts)
}

/// The folder of the tests' cluster: beside that of `cargo xtask cluster`, wherever it is. Whatever runs there is left
/// from a run that was interrupted.
pub(crate) fn claim() -> Result<OwnCluster> {
    let given = env::var_os("PEERWALK_CLUSTER_DIR").is_some_and(|d| !d.is_empty());
    let dir = if given { beside(Home::from_env()?.dir()) } else { PathBuf::from("/var/lib/peerwalk/test") };
    let own = OwnCluster::claim(Home::at(&dir)?)?.with_context(|| {
        format!(
            "another `cargo xtask test` is using {}: wait for it, or set PEERWALK_CLUSTER_DIR",
            dir.display()
        )
    })?;
    own.clear()?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Only, Run, run};
    use crate::test::report::Report;

    fn arguments(only: Option<Only>, context: &str) -> Arguments {
        Arguments { only, context: Some(context.to_owned()), arguments: Vec::new() }
    }

    #[test]
    fn node_tests_alone_on_an_existing_cluster_are_refused() {
        let refused = run(&arguments(Some(Only::Nodes), "kind-a")).unwrap_err().to_string();
        for words in ["kind-a", "a cluster of their own", "leave out --context"] {
            assert!(refused.contains(words), "expected {words:?} in: {refused}");
        }
    }

    #[test]
    fn an_existing_cluster_gets_the_control_plane_tests_and_no_more() {
        let wanted = |only, context| {
            let run = Run { arguments: &arguments(only, ""), context, report: Report::default() };
            [Only::Unit, Only::ControlPlane, Only::Nodes].map(|level| run.wants(level))
        };
        assert_eq!(wanted(None, Some("kind-a")), [true, true, false], "no nodes that are not ours");
        assert_eq!(wanted(None, None), [true, true, true], "everything");
        assert_eq!(wanted(Some(Only::ControlPlane), Some("kind-a")), [false, true, false], "one level");
        assert_eq!(wanted(Some(Only::Nodes), None), [false, false, true], "the other");
    }
}
