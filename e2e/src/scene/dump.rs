//! Everything that tells why a test failed, and the end of its namespaces.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, LogParams};

use super::{CLIENT, SERVER, Scene};
use crate::nodes::{SYSTEM, printed};

/// Lines of a log that are shown.
const LINES: i64 = 40;

#[allow(clippy::print_stderr, reason = "this goes where test output goes")]
impl Scene<'_> {
    /// Prints explanations, which tell the most and must not be cut off, then objects and logs.
    pub(super) async fn dump(&self) {
        eprintln!("==== {}", self.suffix);
        let checks = self.checks().list(&ListParams::default()).await.map(|list| list.items);
        for name in checks.unwrap_or_default().into_iter().filter_map(|check| check.metadata.name) {
            eprintln!("---- explanation of {name}");
            say(self.nodes.explain(&self.name(CLIENT), &name).await);
        }
        for namespace in [CLIENT, SERVER].map(|role| self.name(role)) {
            let objects = ["get", "pods,networkpolicies,endpointslices", "-o", "wide"];
            say(printed(self.nodes.cluster.kubectl().args(["-n", &namespace]).args(objects)));
        }
        let yaml = ["get", "connectivitychecks", "-o", "yaml", "-n", &self.name(CLIENT)];
        say(printed(self.nodes.cluster.kubectl().args(yaml)));
        for pod in self.pods(CLIENT).list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default() {
            let name = pod.metadata.name.unwrap_or_default();
            eprintln!("---- sidecar of {name}");
            let parameters = LogParams {
                container: Some("peerwalk".to_owned()),
                tail_lines: Some(LINES),
                ..LogParams::default()
            };
            say(self.pods(CLIENT).logs(&name, &parameters).await.map_err(Into::into));
        }
        eprintln!("---- operator, all replicas");
        let tail = format!("--tail={LINES}");
        let log = ["-n", SYSTEM, "logs", "--selector=app.kubernetes.io/name=peerwalk", "--prefix", &tail];
        say(printed(self.nodes.cluster.kubectl().args(log)));
    }

    /// Deletes the scene's namespaces, without waiting for their end.
    pub(super) async fn remove(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.nodes.client.clone());
        let ours = ListParams::default().labels(&format!("e2e={}", self.suffix));
        for namespace in namespaces.list(&ours).await?.items {
            let name = namespace.metadata.name.unwrap_or_default();
            namespaces.delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

#[allow(clippy::print_stderr, reason = "this goes where test output goes")]
fn say(text: Result<String>) {
    match text {
        Ok(text) => eprintln!("{text}"),
        Err(error) => eprintln!("(not to be had: {error:#})"),
    }
}
