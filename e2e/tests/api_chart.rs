//! The Helm chart as it renders: what must be in it whatever the values, and which values it refuses.
//!
//! Helm runs offline here and no API server is asked; installing the chart is for the tests on nodes. These are with
//! the tests of the control plane because Helm has to be fetched once, which tests of the level `unit` must not need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use peerwalk_cluster::{Quiet, helm};
use serde_json::{Value, json};

#[path = "api_chart/certificates.rs"]
mod certificates;
#[path = "api_chart/rights.rs"]
mod rights;
#[path = "api_chart/rules.rs"]
mod rules;
#[path = "api_chart/values.rs"]
mod values;

const NAMESPACE: &str = "peerwalk-system";

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/peerwalk")
}

/// What Helm prints: on standard output, or as its error.
fn run(arguments: &[&str]) -> Result<Result<String, String>> {
    let output = Command::new(helm(&mut Quiet)?).args(arguments).arg(chart()).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

/// The chart's objects with the given values.
fn render(values: &[&str]) -> Result<Vec<Value>> {
    let mut arguments = vec!["template", "--namespace", NAMESPACE, "--name-template", "peerwalk"];
    arguments.extend(values.iter().flat_map(|value| ["--set-json", value]));
    let yaml = run(&arguments)?.map_err(anyhow::Error::msg)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&yaml).context("the chart is YAML")?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .with_context(|| format!("the chart has {kind} {name}"))
}

#[test]
fn lint_is_strict_and_clean() -> Result<()> {
    run(&["lint", "--strict"])?.map_err(anyhow::Error::msg)?;
    Ok(())
}

#[test]
fn the_webhook_fails_open_and_spares_its_own_namespace() -> Result<()> {
    let objects = render(&[])?;
    let configuration = one(&objects, "MutatingWebhookConfiguration", "peerwalk")?;
    let webhooks = configuration["webhooks"].as_array().context("webhooks")?;
    ensure!(webhooks.len() == 2, "by namespace and by pod");
    for webhook in webhooks {
        ensure!(webhook["failurePolicy"] == "Ignore" && webhook["timeoutSeconds"] == 2, "{webhook}");
        ensure!(webhook["clientConfig"].get("caBundle").is_none(), "the operator keeps the caBundle");
        ensure!(webhook["reinvocationPolicy"] == "IfNeeded", "a mesh may come after us: {webhook}");
        ensure!(webhook["rules"][0]["operations"] == json!(["CREATE"]), "{webhook}");
        let spared = json!({
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "kube-node-lease", NAMESPACE],
        });
        let namespaces =
            webhook["namespaceSelector"]["matchExpressions"].as_array().context("expressions")?;
        ensure!(namespaces.contains(&spared), "own namespace and kube-system are spared: {webhook}");
    }
    Ok(())
}

#[test]
fn the_operator_is_restricted() -> Result<()> {
    let objects = render(&[])?;
    let pod = &one(&objects, "Deployment", "peerwalk")?["spec"]["template"]["spec"];
    let expected = json!({
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    ensure!(pod["securityContext"] == expected, "{}", pod["securityContext"]);
    let container = &pod["containers"][0];
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    ensure!(container["securityContext"] == expected, "{}", container["securityContext"]);
    ensure!(container["resources"]["limits"]["memory"].is_string(), "memory is limited");
    for key in ["hostNetwork", "hostPID", "volumes"] {
        ensure!(pod.get(key).is_none(), "{key} is not needed");
    }
    Ok(())
}

#[test]
fn values_reach_the_operator() -> Result<()> {
    const RESOURCES: &str =
        r#""resources":{"requests":{"memory":"64Mi"},"limits":{"cpu":1,"memory":"128Mi"}}"#;
    let digest = format!("sha256:{}", "a".repeat(64));
    let objects = render(&[
        r#"allowedTargets=["192.0.2.0/24","*.example.com"]"#,
        r#"webhook={"port":9444}"#,
        &format!(
            r#"sidecar={{"image":{{"registry":"registry.corp:5000","digest":"{digest}","pullPolicy":"Always"}},"imagePullSecrets":["a","b.c"],{RESOURCES}}}"#
        ),
        r#"operator={"image":{"registry":"","repository":"op","tag":"v1"}}"#,
        r#"imagePullSecrets=[{"name":"pull"}]"#,
    ])?;
    let container = &one(&objects, "Deployment", "peerwalk")?["spec"]["template"]["spec"]["containers"][0];
    ensure!(container["image"] == "op:v1", "{}", container["image"]);
    let arguments = container["args"].as_array().context("arguments")?;
    for expected in [
        "--allow-target=192.0.2.0/24",
        "--allow-target=*.example.com",
        "--webhook-listen=0.0.0.0:9444",
        "--sidecar-image-pull-policy=Always",
        "--sidecar-image-pull-secret=a",
        "--sidecar-image-pull-secret=b.c",
        "--sidecar-cpu-request=10m",
        "--sidecar-memory-request=64Mi",
        "--sidecar-cpu-limit=1",
        "--sidecar-memory-limit=128Mi",
        &format!("--sidecar-image=registry.corp:5000/sidecar@{digest}"),
    ] {
        ensure!(arguments.contains(&json!(expected)), "{expected} is among {arguments:?}");
    }
    let account = one(&objects, "ServiceAccount", "peerwalk")?;
    ensure!(account["imagePullSecrets"] == json!([{ "name": "pull" }]), "{account}");
    Ok(())
}

#[test]
fn the_operator_can_be_on_its_nodes_network() -> Result<()> {
    let objects = render(&[r#"webhook={"hostNetwork":true,"port":10270}"#])?;
    let spec = &one(&objects, "Deployment", "peerwalk")?["spec"];
    let rolling = json!({ "maxUnavailable": 1, "maxSurge": 0 });
    ensure!(spec["strategy"]["rollingUpdate"] == rolling, "a node has its ports once: {}", spec["strategy"]);
    let pod = &spec["template"]["spec"];
    ensure!(pod["hostNetwork"] == true && pod["dnsPolicy"] == "ClusterFirstWithHostNet", "{pod}");
    let arguments = pod["containers"][0]["args"].as_array().context("arguments")?;
    ensure!(arguments.contains(&json!("--webhook-listen=0.0.0.0:10270")), "{arguments:?}");
    let ports = pod["containers"][0]["ports"].as_array().context("ports")?;
    ensure!(ports.contains(&json!({ "name": "webhook", "containerPort": 10270 })), "{ports:?}");
    Ok(())
}

#[test]
fn the_operator_is_given_what_it_reads_and_asked_often_whether_it_is_ready() -> Result<()> {
    let objects = render(&[])?;
    let container = &one(&objects, "Deployment", "peerwalk")?["spec"]["template"]["spec"]["containers"][0];
    let names: Vec<&Value> = container["env"].as_array().context("env")?.iter().map(|v| &v["name"]).collect();
    let expected = ["POD_NAMESPACE", "POD_NAME", "POD_UID", "POD_IP"];
    ensure!(names == expected, "who it is and where, and nothing else is read: {names:?}");
    let probe = &container["readinessProbe"];
    ensure!(probe["periodSeconds"] == 1 && probe.get("initialDelaySeconds").is_none(), "{probe}");
    Ok(())
}

#[test]
fn two_replicas_are_spread_and_one_is_always_there() -> Result<()> {
    for (replicas, budgets) in [(2, 1), (1, 0)] {
        let objects = render(&[&format!(r#"operator={{"replicas":{replicas}}}"#)])?;
        let spec = &one(&objects, "Deployment", "peerwalk")?["spec"];
        ensure!(spec["replicas"] == replicas, "{spec}");
        let rolling = json!({ "maxUnavailable": 0, "maxSurge": 1 });
        ensure!(spec["strategy"] == json!({ "type": "RollingUpdate", "rollingUpdate": rolling }), "{spec}");
        let spread = &spec["template"]["spec"]["topologySpreadConstraints"][0];
        ensure!(spread["topologyKey"] == "kubernetes.io/hostname", "{spread}");
        ensure!(spread["whenUnsatisfiable"] == "ScheduleAnyway", "one node is enough: {spread}");
        let found: Vec<&Value> = objects.iter().filter(|o| o["kind"] == "PodDisruptionBudget").collect();
        ensure!(found.len() == budgets, "{replicas} replicas: {found:?}");
        for object in [spread].into_iter().chain(found.iter().map(|budget| &budget["spec"])) {
            let selector = object.get("labelSelector").unwrap_or(&object["selector"]);
            ensure!(*selector == spec["selector"], "of the operator's pods: {object}");
        }
        ensure!(found.iter().all(|budget| budget["spec"]["minAvailable"] == 1), "{found:?}");
    }
    let default = render(&[])?;
    ensure!(one(&default, "Deployment", "peerwalk")?["spec"]["replicas"] == 2, "two by default");
    Ok(())
}

#[test]
fn services_select_the_operator_and_name_its_ports() -> Result<()> {
    let objects = render(&[])?;
    let template = &one(&objects, "Deployment", "peerwalk")?["spec"]["template"];
    let ports = template["spec"]["containers"][0]["ports"].as_array().context("ports")?;
    for (name, port) in [("peerwalk-hub", 9443), ("peerwalk-webhook", 443)] {
        let spec = &one(&objects, "Service", name)?["spec"];
        ensure!(spec["ports"][0]["port"] == port, "{spec}");
        let target = &spec["ports"][0]["targetPort"];
        ensure!(ports.iter().any(|p| p["name"] == *target), "{target} is a port of the operator");
        for (key, value) in spec["selector"].as_object().context("a selector")? {
            ensure!(template["metadata"]["labels"][key] == *value, "{key} selects the operator");
        }
    }
    Ok(())
}

#[test]
fn the_crd_is_ours_and_can_be_kept_left_out_and_annotated() -> Result<()> {
    const NAME: &str = "connectivitychecks.peerwalk.dev";
    let ours = serde_json::to_value(peerwalk_api::crd())?;
    let objects = render(&[r#"crds={"annotations":{"a":"b"}}"#])?;
    let crd = one(&objects, "CustomResourceDefinition", NAME)?;
    let same = |a: &Value, b: &Value| a["names"] == b["names"] && versions(a) == versions(b);
    ensure!(same(&crd["spec"], &ours["spec"]), "the chart has the CRD of crates/api");
    let annotations = json!({ "helm.sh/resource-policy": "keep", "a": "b" });
    ensure!(crd["metadata"]["annotations"] == annotations, "{}", crd["metadata"]);

    let objects = render(&[r#"crds={"keep":false}"#])?;
    let crd = one(&objects, "CustomResourceDefinition", NAME)?;
    ensure!(crd["metadata"].get("annotations").is_none(), "not kept: {}", crd["metadata"]);
    let objects = render(&[r#"crds={"enabled":false}"#])?;
    ensure!(one(&objects, "CustomResourceDefinition", NAME).is_err(), "left out");
    Ok(())
}

/// The versions as JSON with every number as a float, since YAML and Rust write whole ones differently.
fn versions(spec: &Value) -> Value {
    fn float(value: &Value) -> Value {
        match value {
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), float(v))).collect(),
            Value::Array(items) => items.iter().map(float).collect(),
            Value::Number(number) => json!(number.as_f64()),
            other => other.clone(),
        }
    }
    float(&spec["versions"])
}

#[test]
fn kubernetes_without_native_sidecars_is_refused() -> Result<()> {
    let refused = run(&["template", "--kube-version", "1.32.9"])?.err().context("1.32 is too old")?;
    ensure!(refused.contains("1.33"), "{refused}");
    Ok(())
}
