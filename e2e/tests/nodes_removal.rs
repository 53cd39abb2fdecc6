//! Installing and removing as `docs/operations.md` has it: its commands are run as they are there, and then every kind of
//! the cluster is searched for what may be left behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerwalk_api::ConditionStatus::True;
use peerwalk_e2e::nodes::SYSTEM;
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service};
use peerwalk_e2e::page::{blocks, commands, section};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play_alone};
use peerwalk_e2e::shell::Shell;
use peerwalk_e2e::workloads::Workloads;
use serde_json::{Value, json};

/// What the API server removes by itself follows within seconds, and a pod that ends a moment later.
const GONE_WITHIN: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_secs(1);
/// What the cluster of the tests has of its own by that name.
const OF_THE_CLUSTER: [&str; 6] = [
    "ClusterRole /peerwalk-coredns",
    "ClusterRole /peerwalk-enforcer",
    "ClusterRoleBinding /peerwalk-coredns",
    "ClusterRoleBinding /peerwalk-enforcer",
    "ClusterRoleBinding /peerwalk-kubelet-api",
    "Deployment kube-system/coredns",
];

/// A Deployment of one pod, `app: NAME`.
fn deployment(namespace: &str, name: &str) -> Value {
    let mut spec = object::pod_spec(NODE_1, &["pause"]);
    spec["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": spec },
        },
    })
}

/// Runs the page's commands, with the namespace of the scene for `shop`.
fn carry_out(shell: &Shell, scene: &Scene<'_>, block: &str) -> Result<String> {
    let mut last = String::new();
    for (command, prints) in commands(block) {
        let command = command.replace("shop", &scene.name(CLIENT));
        last = shell.run(&command)?;
        ensure!(prints.is_empty() || last == prints, "{command}\nprints {last}\nand not {prints}");
    }
    Ok(last)
}

fn roll_out(shell: &Shell, scene: &Scene<'_>) -> Result<()> {
    let namespace = scene.name(CLIENT);
    shell.run(&format!("kubectl -n {namespace} rollout status deployment/client --timeout=60s")).map(drop)
}

/// Whether something that an object says names Peerwalk. Names of images do not count: those of the tests' own
/// containers are called so as well, and a container of ours has our name too.
fn names_it(value: &Value) -> bool {
    let named = |text: &str| text.contains("peerwalk");
    match value {
        Value::String(text) => named(text),
        Value::Array(values) => values.iter().any(names_it),
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !["image", "imageID", "images"].contains(&key.as_str()))
            .any(|(key, value)| named(key) || names_it(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Every object that names Peerwalk, of every kind there is. Events of others about our containers go
/// after an hour.
fn left(shell: &Shell) -> Result<BTreeSet<String>> {
    let kinds = shell.run("kubectl api-resources --verbs=list -o name | sort -u | paste -sd,")?;
    ensure!(kinds.split(',').count() > 40, "every kind is listed: {kinds}");
    let all = shell.run(&format!("kubectl get {kinds} --all-namespaces -o json"))?;
    let all: Value = serde_json::from_str(&all).context("kubectl prints JSON")?;
    let objects = all["items"].as_array().context("a list")?;
    let ours = |object: &&Value| match object["kind"].as_str() {
        Some("Event") => names_it(&object["reportingComponent"]) || names_it(&object["reportingController"]),
        _ => names_it(object),
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {}/{}", word(&object["kind"]), word(&metadata["namespace"]), word(&metadata["name"]))
    };
    let found = objects.iter().filter(ours).map(name);
    Ok(found.filter(|object| !OF_THE_CLUSTER.contains(&object.as_str())).collect())
}

/// Waits until nothing is left but what is expected.
async fn await_left(shell: &Shell, expected: impl Fn(&str) -> bool) -> Result<()> {
    let asked = Instant::now();
    loop {
        // A kind that goes while it is listed is an error.
        let found = left(shell);
        if found.as_ref().is_ok_and(|found| found.iter().all(|object| expected(object))) {
            return Ok(());
        }
        ensure!(asked.elapsed() < GONE_WITHIN, "left behind: {found:#?}");
        tokio::time::sleep(EVERY).await;
    }
}

#[tokio::test]
async fn what_the_page_installs_works_and_nothing_of_it_is_left_behind() -> Result<()> {
    play_alone(async |scene, alone| {
        let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
        let shell = Shell::of(&scene.nodes.cluster)?;
        shell.run(&format!("kubectl label namespace {client} peerwalk.dev/inject-"))?;
        let open = object::pod(&server, "open", NODE_2, &["serve"]);
        let service = object::service(&server, "open", "open", &json!(8080));
        scene.deploy(&[deployment(&client, "client"), open, service]).await?;
        roll_out(&shell, scene)?;

        for block in blocks(&section("operations.md", "Installing")?, "console") {
            carry_out(&shell, scene, block)?;
        }
        roll_out(&shell, scene)?;
        scene.apply(&[object::check(&client, "good", &[to_service(&server, "open")])]).await?;
        scene.verdict("good", True, "AsExpected").await?;
        let found = left(&shell)?;
        for kind in ["Pod", "Lease", "Secret", "MutatingWebhookConfiguration", "ConnectivityCheck", "Event"] {
            let kind = format!("{kind} ");
            ensure!(found.iter().any(|object| object.starts_with(&kind)), "{kind}is found: {found:#?}");
        }

        alone.changes_release();
        let applications = Workloads::of(scene).await?;
        let page = section("operations.md", "Removing")?;
        let [remove, restart] = blocks(&page, "console")[..] else { anyhow::bail!("two blocks: {page}") };
        carry_out(&shell, scene, remove)?;
        // The sidecars, until somebody restarts their workloads.
        let pods = [format!("Pod {client}/"), format!("Pod {server}/")];
        await_left(&shell, |object| pods.iter().any(|pod| object.starts_with(pod))).await?;
        let since = Workloads::of(scene).await?.since(&applications);
        ensure!(since.applications == 2, "two applications ran before: {}", since.applications);
        ensure!(since.changed.is_empty(), "removing touches no application: {:?}", since.changed);

        let asked = Instant::now();
        while carry_out(&shell, scene, restart)?.lines().any(|line| line.starts_with(&client)) {
            ensure!(asked.elapsed() < GONE_WITHIN, "a pod has its sidecar after a restart");
            roll_out(&shell, scene)?;
        }
        let bare = format!("Pod {server}/open");
        await_left(&shell, |object| object == bare).await?;
        scene.delete(&object::pod(&server, "open", NODE_2, &[])).await?;
        await_left(&shell, |_| false).await?;

        let gone = shell.run(&format!("kubectl get namespace {SYSTEM} --ignore-not-found"))?;
        ensure!(gone.is_empty(), "{gone}");
        alone.own_chart()
    })
    .await
}
