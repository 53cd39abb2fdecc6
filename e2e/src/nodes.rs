//! Two real nodes with Peerwalk installed by its chart, once for all tests of a binary.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use peerwalk_cluster::{Cluster, Deny, Place, Quiet};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::crd;

/// Where the chart is installed.
pub const SYSTEM: &str = "peerwalk-system";

/// The Deployments that tests scale, by namespace and name.
const DNS: (&str, &str) = ("kube-system", "coredns");
const OPERATOR: (&str, &str) = (SYSTEM, "peerwalk");

/// As the chart has it.
const REPLICAS: u8 = 2;

/// The cluster-wide things: what a denied packet gets, whether unknown pods are denied, cluster DNS, the
/// operator. Tests that change one of them have the cluster alone.
static GLOBAL: RwLock<()> = RwLock::const_new(());

/// The cluster, and a client of it.
pub struct Nodes {
    /// A client with all rights.
    pub client: Client,
    /// For what the API cannot do.
    pub cluster: Cluster,
}

impl Nodes {
    /// The cluster of the tests with the chart installed, where policies of the cluster are served; `None` when there is
    /// none and tests are skipped.
    pub async fn connect() -> Result<Option<Self>> {
        static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
        let Some((client, cluster)) = crd::own_cluster().await? else { return Ok(None) };
        for kind in crd::CLUSTER_POLICIES {
            crd::serve(&client, kind, "Cluster").await?;
        }
        let installed =
            INSTALLED.get_or_init(|| install(&cluster, &[]).map_err(|error| format!("{error:#}")));
        installed.as_ref().map_err(|error| anyhow!("{error}"))?;
        Ok(Some(Self { client, cluster }))
    }

    /// The cluster beside other tests, all of which leave what is global as it is.
    pub async fn beside_others(&self) -> RwLockReadGuard<'static, ()> {
        GLOBAL.read().await
    }

    /// The cluster without other tests; what is global is put back when this goes.
    pub async fn alone(&self) -> Alone<'_> {
        let sidecar_changed = AtomicBool::new(false);
        let webhook_cut_off = AtomicBool::new(false);
        Alone { cluster: &self.cluster, sidecar_changed, webhook_cut_off, _lock: GLOBAL.write().await }
    }

    /// Waits until pods get the sidecar.
    pub fn await_injection(&self) -> Result<()> {
        await_injection(&self.cluster)
    }

    /// The operator's pods.
    pub async fn operators(&self) -> Result<Vec<Pod>> {
        let selector = ListParams::default().labels("app.kubernetes.io/name=peerwalk");
        let pods = Api::<Pod>::namespaced(self.client.clone(), SYSTEM).list(&selector).await?.items;
        Ok(pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// The pod of the operator that leads: it judges, writes, and has the streams.
    pub async fn operator(&self) -> Result<Pod> {
        let name = self.leader()?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        pods.get(&name).await.with_context(|| format!("the leader's pod {name} is not there"))
    }

    /// The name of the pod that holds the Lease, which may take as long as a lease to have a holder.
    pub fn leader(&self) -> Result<String> {
        const WITHIN: Duration = Duration::from_secs(40);
        const EVERY: Duration = Duration::from_millis(500);
        let asked = Instant::now();
        loop {
            if let Some(name) = self.holder()?
                && printed(self.cluster.kubectl().args(["-n", SYSTEM, "get", "pod", &name])).is_ok()
            {
                return Ok(name);
            }
            if asked.elapsed() > WITHIN {
                bail!("no pod of the operator leads after {WITHIN:?}");
            }
            thread::sleep(EVERY);
        }
    }

    /// The pod that the Lease names, if any.
    pub fn holder(&self) -> Result<Option<String>> {
        let format = "jsonpath={.spec.holderIdentity}";
        let lease = ["-n", SYSTEM, "get", "lease", "peerwalk", "--ignore-not-found", "-o", format];
        let holder = printed(self.cluster.kubectl().args(lease))?;
        Ok(holder.split_once('_').map(|(pod, _)| pod.to_owned()))
    }

    /// What the operator says about every pair of a check, as text.
    pub async fn explain(&self, namespace: &str, check: &str) -> Result<String> {
        let pod = self.operator().await?.metadata.name.context("a pod has a name")?;
        // The operator's image has no other program and the address is the pod's own loopback.
        let place = Place::from_pod(SYSTEM, &pod);
        let mut client = self.cluster.exec(&place, self.cluster.program("testbed")?)?;
        let address = format!("http://127.0.0.1:8082/explain/{namespace}/{check}");
        let answer = printed(client.args(["http", &address]))?;
        let text = answer.strip_prefix("200 ");
        text.map(str::to_owned).with_context(|| format!("{namespace}/{check} is not explained: {answer}"))
    }

    /// What the operator counts.
    pub async fn metrics(&self) -> Result<String> {
        let pod = self.operator().await?.metadata.name.context("a pod has a name")?;
        let place = Place::from_pod(SYSTEM, &pod);
        let mut client = self.cluster.exec(&place, self.cluster.program("testbed")?)?;
        printed(client.args(["http", "http://127.0.0.1:8080/metrics"]))
    }
}

/// The cluster without other tests.
pub struct Alone<'a> {
    cluster: &'a Cluster,
    sidecar_changed: AtomicBool,
    webhook_cut_off: AtomicBool,
    _lock: RwLockWriteGuard<'static, ()>,
}

impl Alone<'_> {
    /// What packets get that a policy denies, until this goes.
    pub fn deny(&self, mode: Deny) -> Result<()> {
        self.cluster.set_deny(mode)
    }

    /// Denies pods that the enforcer does not know yet, until this goes.
    pub fn strict(&self) -> Result<()> {
        self.cluster.set_strict(true)
    }

    /// Starts or stops cluster DNS.
    pub fn scale_dns(&self, replicas: u8) -> Result<()> {
        scale(self.cluster, DNS, replicas)
    }

    /// Has the operator inject a sidecar from this registry, until this goes.
    pub fn sidecar_from(&self, registry: &str) -> Result<()> {
        self.sidecar_changed.store(true, Ordering::Relaxed);
        install(self.cluster, &[&format!("sidecar.image.registry={registry}")])
    }

    /// Whatever becomes of the release is put back when this goes.
    pub fn changes_release(&self) {
        self.sidecar_changed.store(true, Ordering::Relaxed);
    }

    /// Has the operator on its nodes' network, its webhook at another port than the kubelet's, until this goes.
    pub fn on_its_nodes_network(&self) -> Result<()> {
        self.sidecar_changed.store(true, Ordering::Relaxed);
        enforce(self.cluster, SYSTEM, "privileged")?;
        upgrade(self.cluster, &["webhook.hostNetwork=true", "webhook.port=10270"])
    }

    /// Keeps the API server from the webhook until this goes: by the port that it is told to call, since a connection that
    /// it has would outlive every change of the Service.
    pub fn cut_off_webhook(&self) -> Result<()> {
        self.webhook_cut_off.store(true, Ordering::Relaxed);
        self.call_webhook_at(444)
    }

    fn call_webhook_at(&self, port: u16) -> Result<()> {
        let change = |n: u8| {
            format!(r#"{{"op":"add","path":"/webhooks/{n}/clientConfig/service/port","value":{port}}}"#)
        };
        let patch = format!("[{},{}]", change(0), change(1));
        let webhook = ["patch", "mutatingwebhookconfiguration", "peerwalk", "--type=json", "-p", &patch];
        printed(self.cluster.kubectl().args(webhook)).map(drop)
    }

    /// Makes the release what another chart has, until this goes. Nobody waits for its operator.
    pub fn other_chart(&self, chart: &Path) -> Result<()> {
        self.changes_release();
        let mut helm = self.cluster.helm(&mut Quiet)?;
        helm.args(["upgrade", "peerwalk"]).arg(chart).args(["--namespace", SYSTEM]);
        printed(&mut helm).map(drop).with_context(|| format!("cannot install {}", chart.display()))
    }

    /// Makes it what this chart has again.
    pub fn own_chart(&self) -> Result<()> {
        self.own_sidecar()
    }

    /// Has the operator inject its own sidecar again.
    pub fn own_sidecar(&self) -> Result<()> {
        if self.sidecar_changed.swap(false, Ordering::Relaxed) { install(self.cluster, &[]) } else { Ok(()) }
    }

    /// Ends the operator, and waits until nothing of it is left.
    pub fn end_operator(&self) -> Result<()> {
        scale(self.cluster, OPERATOR, 0)?;
        let gone = ["-n", SYSTEM, "wait", "--for=delete", "pods", "--all", "--timeout=60s"];
        printed(self.cluster.kubectl().args(gone)).map(drop)
    }

    /// Starts the operator, with as many replicas as the chart has.
    pub fn start_operator(&self) -> Result<()> {
        scale(self.cluster, OPERATOR, REPLICAS)?;
        await_injection(self.cluster)
    }

    /// Leaves one replica, until this goes.
    pub fn one_operator(&self) -> Result<()> {
        scale(self.cluster, OPERATOR, 1)
    }
}

impl Drop for Alone<'_> {
    #[allow(clippy::print_stderr, reason = "what the tests after this one meet has to be told")]
    fn drop(&mut self) {
        let put_back = [
            self.cluster.set_deny(Deny::Drop),
            self.cluster.set_strict(false),
            self.scale_dns(1),
            if self.webhook_cut_off.load(Ordering::Relaxed) { self.call_webhook_at(443) } else { Ok(()) },
            self.own_sidecar(),
            self.start_operator(),
        ];
        for error in put_back.into_iter().filter_map(Result::err) {
            eprintln!("cannot put back what the test changed: {error:#}");
        }
    }
}

fn scale(cluster: &Cluster, (namespace, name): (&str, &str), replicas: u8) -> Result<()> {
    let deployment = format!("deployment/{name}");
    let scale = ["-n", namespace, "scale", &deployment, &format!("--replicas={replicas}")];
    printed(cluster.kubectl().args(scale))?;
    let status = ["-n", namespace, "rollout", "status", &deployment, "--timeout=60s"];
    printed(cluster.kubectl().args(status)).map(drop)
}

fn install(cluster: &Cluster, more: &[&str]) -> Result<()> {
    let found = ["get", "namespace", SYSTEM, "--ignore-not-found", "-o", "name"];
    // It is there from an earlier test binary.
    if printed(cluster.kubectl().args(found))?.is_empty() {
        printed(cluster.kubectl().args(["create", "namespace", SYSTEM]))?;
    }
    enforce(cluster, SYSTEM, "restricted")?;
    upgrade(cluster, more)
}

/// The release as the chart has it, with these values besides the usual ones.
fn upgrade(cluster: &Cluster, more: &[&str]) -> Result<()> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/peerwalk");
    let chart = fs::canonicalize(&chart).with_context(|| format!("no chart at {}", chart.display()))?;
    let mut helm = cluster.helm(&mut Quiet)?;
    helm.args(["upgrade", "--install", "peerwalk"]).arg(chart);
    helm.args(["--namespace", SYSTEM, "--wait", "--timeout", "2m"]);
    let log = "operator.log.level=info,peerwalk_controller=debug";
    let usual = ["operator.image.tag=dev", "sidecar.image.tag=dev", &log.replace(',', "\\,")];
    for value in usual.iter().chain(more) {
        helm.args(["--set", value]);
    }
    printed(&mut helm).context("cannot install the chart")?;
    await_rollout(cluster)?;
    await_injection(cluster)
}

/// Waits until no pod of before is left: while it ends, it injects as it was told to for whoever is connected to it.
fn await_rollout(cluster: &Cluster) -> Result<()> {
    const WITHIN: Duration = Duration::from_mins(1);
    const EVERY: Duration = Duration::from_millis(500);
    let status = ["-n", SYSTEM, "rollout", "status", "deployment/peerwalk", "--timeout=60s"];
    printed(cluster.kubectl().args(status))?;
    let asked = Instant::now();
    loop {
        let ending = ["-n", SYSTEM, "get", "pods", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}"];
        if printed(cluster.kubectl().args(ending))?.is_empty() {
            return Ok(());
        }
        if asked.elapsed() > WITHIN {
            bail!("pods of the operator that were replaced are there after {WITHIN:?}");
        }
        thread::sleep(EVERY);
    }
}

/// A namespace takes no pod that breaks this Pod Security Standard.
fn enforce(cluster: &Cluster, namespace: &str, standard: &str) -> Result<()> {
    let enforce = format!("pod-security.kubernetes.io/enforce={standard}");
    printed(cluster.kubectl().args(["label", "--overwrite", "namespace", namespace, &enforce])).map(drop)
}

/// Waits until the API server reaches the webhook: a moment passes between the operator being ready and its
/// Service being programmed, and pods made in it go without the sidecar.
fn await_injection(cluster: &Cluster) -> Result<()> {
    const WITHIN: Duration = Duration::from_secs(30);
    const EVERY: Duration = Duration::from_millis(100);
    let asked = Instant::now();
    loop {
        let mut pod = cluster.kubectl();
        pod.args(["-n", "default", "run", "injected", "--image=none", "--dry-run=server"]);
        pod.args(["--labels=peerwalk.dev/inject=enabled", "-o", "jsonpath={.spec.initContainers[*].name}"]);
        if printed(&mut pod)?.contains("peerwalk") {
            return Ok(());
        }
        if asked.elapsed() > WITHIN {
            bail!("no pod is injected {WITHIN:?} after the operator was ready");
        }
        thread::sleep(EVERY);
    }
}

/// Runs a command and gives what it printed; what it complained about is the error.
pub fn printed(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let out = command.output().with_context(|| format!("cannot start {program}"))?;
    if !out.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
