//! Runs the program beside a real API server, as its administrator or as a user with what rights the test gives.

#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::env;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// For the program to do what it must.
const WITHIN: Duration = Duration::from_mins(1);

/// What came of it.
#[derive(Debug)]
pub struct Asked {
    /// The exit code.
    pub code: i32,
    /// The standard output.
    pub out: String,
    /// The standard error.
    pub error: String,
}

/// The program with the context of the tests.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerwalk"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(context) = env::var_os("PEERWALK_CONTEXT").filter(|context| !context.is_empty()) {
        command.arg("--context").arg(context);
    }
    command
}

/// Runs it to its end.
pub async fn peerwalk(arguments: &[&str]) -> Result<Asked> {
    asked(timeout(WITHIN, program(arguments).output()).await.context("it does not end")??)
}

/// The same as a user who has no right but those that were granted.
pub async fn peerwalk_as(user: &str, arguments: &[&str]) -> Result<Asked> {
    let file = kubeconfig_of(user)?;
    let mut command = program(arguments);
    command.arg("--kubeconfig").arg(&file);
    let output = timeout(WITHIN, command.output()).await.context("it does not end")??;
    std::fs::remove_file(file)?;
    asked(output)
}

fn asked(output: Output) -> Result<Asked> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("it prints text");
    let code = output.status.code().context("it ends by itself")?;
    Ok(Asked { code, out: text(output.stdout)?, error: text(output.stderr)? })
}

/// A kubeconfig by which the administrator speaks as another.
pub fn kubeconfig_of(user: &str) -> Result<PathBuf> {
    let mut kubeconfig = Kubeconfig::read().context("the kubeconfig of the tests")?;
    for info in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        info.impersonate = Some(user.to_owned());
    }
    let file = env::temp_dir().join(format!("peerwalk-cli-{}-{user}", std::process::id()));
    std::fs::write(&file, serde_saphyr::to_string(&kubeconfig)?).context("cannot write a kubeconfig")?;
    Ok(file)
}

/// The program at work.
pub struct Running {
    child: Child,
    errors: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
    file: Option<PathBuf>,
}

/// Starts it.
pub fn start(arguments: &[&str]) -> Result<Running> {
    running(program(arguments), None)
}

/// The same as a user who has no right but those that were granted.
pub fn start_as(user: &str, arguments: &[&str]) -> Result<Running> {
    let file = kubeconfig_of(user)?;
    let mut command = program(arguments);
    command.arg("--kubeconfig").arg(&file);
    running(command, Some(file))
}

fn running(mut command: Command, file: Option<PathBuf>) -> Result<Running> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("it starts")?;
    let errors = BufReader::new(child.stderr.take().context("standard error is piped")?).lines();
    Ok(Running { child, errors, seen: Vec::new(), file })
}

impl Running {
    /// Reads what it says until a line has these words.
    pub async fn says(&mut self, words: &str) -> Result<()> {
        let reading = async {
            while let Some(line) = self.errors.next_line().await? {
                let found = line.contains(words);
                self.seen.push(line);
                if found {
                    return Ok(());
                }
            }
            anyhow::bail!("the program ended")
        };
        let said = timeout(WITHIN, reading).await.context("not in time").and_then(|said| said);
        said.with_context(|| format!("expected {words:?} after {:?}", self.seen))
    }

    /// SIGTERM.
    pub fn terminate(&self) -> Result<()> {
        let id = self.child.id().context("it runs")?.to_string();
        let status = std::process::Command::new("kill").args(["-TERM", &id]).status()?;
        ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Result<Asked> {
        let ending = async {
            while let Some(line) = self.errors.next_line().await? {
                self.seen.push(line);
            }
            let mut out = String::new();
            let stdout = self.child.stdout.as_mut().context("standard output is piped")?;
            stdout.read_to_string(&mut out).await?;
            let code = self.child.wait().await?.code().context("it ends by itself")?;
            Ok(Asked { code, out, error: self.seen.join("\n") })
        };
        let asked = timeout(WITHIN, ending).await.context("it does not end")?;
        if let Some(file) = &self.file {
            std::fs::remove_file(file)?;
        }
        asked
    }
}

/// Gives a user rights everywhere, and no others.
pub async fn grant(client: &Client, user: &str, rules: &Value) -> Result<()> {
    let apply = PatchParams::apply("peerwalk-cli-tests").force();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": user }, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    Api::<ClusterRole>::all(client.clone()).patch(user, &apply, &Patch::Apply(role)).await?;
    Api::<ClusterRoleBinding>::all(client.clone()).patch(user, &apply, &Patch::Apply(binding)).await?;
    Ok(())
}

/// Gives a user rights in a namespace.
pub async fn grant_in(client: &Client, namespace: &str, user: &str, rules: &Value) -> Result<()> {
    let apply = PatchParams::apply("peerwalk-cli-tests").force();
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let role = json!({ "apiVersion": version, "kind": "Role", "metadata": { "name": user }, "rules": rules });
    let binding = json!({
        "apiVersion": version, "kind": "RoleBinding", "metadata": { "name": user },
        "roleRef": { "apiGroup": group, "kind": "Role", "name": user },
        "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
    });
    Api::<Role>::namespaced(client.clone(), namespace).patch(user, &apply, &Patch::Apply(role)).await?;
    Api::<RoleBinding>::namespaced(client.clone(), namespace)
        .patch(user, &apply, &Patch::Apply(binding))
        .await?;
    Ok(())
}

/// Takes them away.
pub async fn revoke(client: &Client, user: &str) -> Result<()> {
    Api::<ClusterRoleBinding>::all(client.clone()).delete(user, &DeleteParams::default()).await?;
    Api::<ClusterRole>::all(client.clone()).delete(user, &DeleteParams::default()).await?;
    Ok(())
}
