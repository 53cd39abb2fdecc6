//! The operator and sidecars as processes beside a control plane without nodes: the operator as the chart's
//! Deployment has it, with the rights of its account.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{
    BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus,
};
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use peerwalk_cluster::{Cluster, Quiet};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::crd;
use crate::nodes::{SYSTEM, printed};

/// The audience of sidecars' tokens.
pub const AUDIENCE: &str = "peerwalk.dev";
/// For one thing to be said that must.
const WITHIN: Duration = Duration::from_mins(1);

/// The operator at work.
pub struct Operator {
    /// A client with all rights.
    pub client: Client,
    /// The control plane.
    pub cluster: Cluster,
    /// Its process, ended when this goes.
    pub process: Process,
    root: String,
    folder: PathBuf,
}

/// A program of ours and what it prints; it ends with its handle.
pub struct Process {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

/// A program of this tree, as built for images.
fn program(name: &str) -> Result<Command> {
    let folder = env::var_os("PEERWALK_BIN_DIR").context("PEERWALK_BIN_DIR is not set")?;
    Ok(Command::new(Path::new(&folder).join(name)))
}

impl Process {
    fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        Ok(Self { child, lines: Some(BufReader::new(stdout).lines()) })
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Reads its log until a line has one of these messages, and gives the line.
    pub async fn says(&mut self, messages: &[&str]) -> Result<Value> {
        let lines = self.lines.as_mut().context("nobody listens any more")?;
        let mut seen = Vec::new();
        let reading = async {
            while let Some(line) = lines.next_line().await? {
                let line: Value = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
                if line["message"].as_str().is_some_and(|message| messages.contains(&message)) {
                    return Ok(line);
                }
                seen.push(line.to_string());
            }
            bail!("the program ended")
        };
        let found = timeout(WITHIN, reading).await.unwrap_or_else(|_| bail!("not in time"));
        found.with_context(|| format!("expected one of {messages:?} after:\n{}", seen.join("\n")))
    }

    /// Throws away what it prints from now on, so that the pipe does not fill.
    pub fn nobody_listens(&mut self) {
        if let Some(mut lines) = self.lines.take() {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        }
    }
}

impl Operator {
    /// Installs the chart, whose pods have no node to run on here, and runs what its Deployment says; `None`
    /// where tests are skipped, and on a cluster that is not the tests' own.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_with(&[]).await
    }

    /// The same with values of the chart, as `--set` takes them.
    pub async fn start_with(values: &[&str]) -> Result<Option<Self>> {
        let Some((client, cluster)) = crd::own_cluster().await? else { return Ok(None) };
        crd::install(&client).await?;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/peerwalk");
        let mut helm = cluster.helm(&mut Quiet)?;
        helm.args(["upgrade", "--install", "peerwalk"]).arg(chart);
        helm.args(["--namespace", SYSTEM, "--create-namespace", "--set", "crds.enabled=false"]);
        helm.args(values.iter().flat_map(|value| ["--set", value]));
        printed(&mut helm).context("cannot install the chart")?;
        let folder = env::temp_dir().join(format!("peerwalk-operator-{}", std::process::id()));
        std::fs::create_dir_all(&folder).context("cannot make a folder")?;
        let mut process = Process::start(&mut command(&client, &cluster, &folder).await?)?;
        process.says(&["started"]).await?;
        process.nobody_listens();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
        let secret = secrets.get("peerwalk-ca").await.context("the operator makes its Secret")?;
        let root = secret.data.and_then(|mut data| data.remove("hub-root.crt")).context("the hub's root")?;
        let root = String::from_utf8(root.0).context("PEM is text")?;
        Ok(Some(Self { client, cluster, process, root, folder }))
    }

    /// Ends it at once (SIGKILL) and starts another in its place, as a kubelet does.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.child.kill().await.context("the operator has ended by itself")?;
        let mut command = command(&self.client, &self.cluster, &self.folder).await?;
        self.process = Process::start(&mut command)?;
        self.process.says(&["started"]).await?;
        self.process.nobody_listens();
        Ok(())
    }

    /// A token of a namespace's default account for an audience, bound to a pod or to none.
    pub async fn token(&self, namespace: &str, audience: &str, pod: Option<&Pod>) -> Result<String> {
        let bound = pod.map(|pod| BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        });
        token(&self.client, namespace, "default", vec![audience.to_owned()], bound).await
    }

    /// The sidecar as it would be injected into `pod`, with that token, dialling the hub at `address`.
    pub fn sidecar(&self, pod: &Pod, token: &str, address: &str) -> Result<Process> {
        let name = pod.metadata.name.as_deref().context("a pod has a name")?;
        let namespace = pod.metadata.namespace.as_deref().context("a pod has a namespace")?;
        let file = self.folder.join(format!("{namespace}-{name}.token"));
        std::fs::write(&file, token).context("cannot write a token")?;
        let mut command = program("peerwalk-sidecar")?;
        command
            .arg("run")
            .env("PEERWALK_HUB", format!("peerwalk-hub.{SYSTEM}.svc:9443"))
            .env("PEERWALK_HUB_ADDRESS", format!("{address}:9443"))
            .env("PEERWALK_HUB_ROOT", &self.root)
            .env("PEERWALK_TOKEN_FILE", &file)
            .env("PEERWALK_POD_NAMESPACE", namespace)
            .env("PEERWALK_POD_NAME", name)
            .env("PEERWALK_POD_UID", pod.metadata.uid.as_deref().unwrap_or_default());
        Process::start(&mut command)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // What cannot be removed ends with the cluster.
        let _ = std::fs::remove_dir_all(&self.folder);
        if let Ok(mut helm) = self.cluster.helm(&mut Quiet) {
            let _ = printed(helm.args(["uninstall", "peerwalk", "--namespace", SYSTEM]));
        }
    }
}

async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audiences: Vec<String>,
    bound_object_ref: Option<BoundObjectReference>,
) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec { audiences, bound_object_ref, expiration_seconds: Some(7200) };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let status: Option<TokenRequestStatus> = made.context("the API server makes tokens")?.status;
    Ok(status.context("a token request has a status")?.token)
}

/// The operator as the Deployment has it, with the account's token in a kubeconfig.
async fn command(client: &Client, cluster: &Cluster, folder: &Path) -> Result<Command> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let spec = deployments.get("peerwalk").await?.spec.context("a Deployment has a spec")?;
    let spec = spec.template.spec.context("a template has a spec")?;
    let account = spec.service_account_name.context("the chart names an account")?;
    let container = spec.containers.into_iter().next().context("one container")?;
    let token = token(client, SYSTEM, &account, Vec::new(), None).await?;
    let admin = cluster.kubeconfig().context("the cluster is our own")?;
    let kubeconfig = folder.join("kubeconfig");
    std::fs::copy(admin, &kubeconfig).context("cannot copy the kubeconfig")?;
    for arguments in [
        vec!["config", "set-credentials", "operator", "--token", &token],
        vec!["config", "set-context", "--current", "--user", "operator"],
    ] {
        let mut kubectl = cluster.kubectl();
        printed(kubectl.env("KUBECONFIG", &kubeconfig).args(arguments))?;
    }
    let arguments = container.args.unwrap_or_default().into_iter();
    let mut command = program("peerwalk-operator")?;
    command
        .args(arguments.map(|argument| argument.replace("$(POD_NAMESPACE)", SYSTEM)))
        .env("KUBECONFIG", &kubeconfig)
        // It has no pod of its own here.
        .envs([("POD_NAME", "operator"), ("POD_UID", "of-this-process"), ("POD_IP", "127.0.0.1")]);
    Ok(command)
}
