//! An application with a check in its chart, and the tools that roll it out.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use peerwalk_cluster::Quiet;
use peerwalk_e2e::nodes::printed;
use peerwalk_e2e::object::{self, NODE_1, to_service, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

/// The check of the chart.
pub const CHECK: &str = "gate";
const DEPLOYMENT: &str = "client";

/// One release of the application.
pub struct Release {
    /// A label of its pods, so that each release has a template of its own.
    pub name: &'static str,
    /// Of its Deployment.
    pub replicas: u32,
    /// More labels of its pods.
    pub labels: Value,
}

/// The application.
pub struct App<'a> {
    scene: &'a Scene<'a>,
    chart: PathBuf,
    deadline: &'static str,
}

impl<'a> App<'a> {
    /// With a folder for its chart, whose check has this `progressDeadline`.
    pub fn new(scene: &'a Scene<'a>, deadline: &'static str) -> Result<Self> {
        let chart = env::temp_dir().join(format!("peerwalk-gates-{}-{}", process::id(), scene.name(CLIENT)));
        fs::create_dir_all(chart.join("templates")).context("cannot make a folder for a chart")?;
        let about = json!({ "apiVersion": "v2", "name": "shop", "version": "0.1.0" });
        fs::write(chart.join("Chart.yaml"), about.to_string()).context("cannot write a chart")?;
        Ok(Self { scene, chart, deadline })
    }

    fn namespace(&self) -> String {
        self.scene.name(CLIENT)
    }

    fn deployment(&self, release: &Release) -> Value {
        let labels = with(json!({ "app": "client", "release": release.name }), &release.labels);
        let mut spec = object::pod_spec(NODE_1, &["pause"]);
        spec["restartPolicy"] = json!("Always");
        // Many pods are on both nodes.
        spec["nodeSelector"] = json!({});
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "namespace": self.namespace(), "name": DEPLOYMENT },
            "spec": {
                "replicas": release.replicas,
                "selector": { "matchLabels": { "app": "client" } },
                "template": { "metadata": { "labels": labels }, "spec": spec },
            },
        })
    }

    fn check(&self) -> Value {
        let target = to_service(&self.scene.name(SERVER), "open");
        let mut check = object::check(&self.namespace(), CHECK, &[target]);
        check["spec"]["progressDeadline"] = json!(self.deadline);
        check
    }

    /// What gates look at, by name.
    pub fn watched(&self) -> [Value; 2] {
        [self.deployment(&Release { name: "any", replicas: 1, labels: json!({}) }), self.check()]
    }

    fn write(&self, release: &Release) -> Result<()> {
        let manifest = format!("{:#}\n---\n{:#}\n", self.deployment(release), self.check());
        fs::write(self.chart.join("templates/shop.yaml"), manifest).context("cannot write a chart")
    }

    async fn helm(&self, arguments: &[&str], timeout: Duration) -> Result<()> {
        let mut helm = self.scene.nodes.cluster.helm(&mut Quiet)?;
        helm.args(arguments).args(["--namespace", &self.namespace(), "--wait"]);
        helm.args(["--timeout", &format!("{}s", timeout.as_secs())]);
        aside(helm).await
    }

    /// `helm upgrade --install --wait`.
    pub async fn upgrade(&self, release: &Release, timeout: Duration) -> Result<()> {
        self.write(release)?;
        let chart = self.chart.to_str().context("the path of the chart is text")?;
        self.helm(&["upgrade", "--install", "shop", chart], timeout).await
    }

    /// `helm rollback --wait`, to the first release.
    pub async fn roll_back(&self, timeout: Duration) -> Result<()> {
        self.helm(&["rollback", "shop", "1"], timeout).await
    }

    fn kubectl(&self) -> Command {
        let mut kubectl = self.scene.nodes.cluster.kubectl();
        kubectl.args(["--namespace", &self.namespace()]);
        kubectl
    }

    /// `kubectl apply`, by the manager of Helm's fields, so that nobody's are contested.
    pub async fn apply(&self, release: &Release) -> Result<()> {
        self.write(release)?;
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "--server-side", "--field-manager=helm", "--filename"]);
        kubectl.arg(self.chart.join("templates/shop.yaml"));
        aside(kubectl).await
    }

    /// `kubectl rollout status`.
    pub async fn rolled_out(&self) -> Result<()> {
        let mut kubectl = self.kubectl();
        kubectl.args(["rollout", "status", &format!("deployment/{DEPLOYMENT}"), "--timeout=2m"]);
        aside(kubectl).await
    }

    /// `kubectl wait` for a check.
    pub async fn wait_for(&self, check: &str, timeout: Duration) -> Result<()> {
        let mut kubectl = self.kubectl();
        kubectl.args(["wait", &format!("connectivitycheck/{check}"), "--for=condition=Ready"]);
        kubectl.arg(format!("--timeout={}s", timeout.as_secs()));
        aside(kubectl).await
    }
}

impl Drop for App<'_> {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for what is temporary.
        let _ = fs::remove_dir_all(&self.chart);
    }
}

/// Runs a command beside what watches meanwhile.
async fn aside(mut command: Command) -> Result<()> {
    spawn_blocking(move || printed(&mut command)).await?.map(drop)
}
