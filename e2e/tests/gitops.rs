//! The gates of `docs/gitops.md`, over the fixtures of the health script: what each tool would make of a check. No
//! cluster is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use peerwalk_api::ConnectivityCheck;
use serde_json::{Value, json};

#[path = "gates/page.rs"]
mod page;
#[path = "gates/rules.rs"]
mod rules;

use page::{objects, only};
use rules::{Gate, flux, kstatus, workflow};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Every fixture with what Argo CD's script must say of it, but for the one without a status: the schema's default gives
/// every object one.
fn fixtures() -> Result<BTreeMap<String, (Value, String)>> {
    let folder = root().join("deploy/argocd/resource_customizations/peerwalk.dev/ConnectivityCheck");
    let file: Value = serde_saphyr::from_str(&read(&folder.join("health_test.yaml"))?)?;
    let mut fixtures = BTreeMap::new();
    for test in file["tests"].as_array().context("a list of tests")? {
        let path = test["inputPath"].as_str().context("a path")?.to_owned();
        let health = test["healthStatus"]["status"].as_str().context("a status")?.to_owned();
        let object: Value = serde_saphyr::from_str(&read(&folder.join(&path))?)?;
        if object.get("status").is_some() {
            fixtures.insert(path, (object, health));
        }
    }
    ensure!(fixtures.len() > 8, "there are fixtures");
    Ok(fixtures)
}

#[test]
fn flux_passes_and_fails_where_argo_cd_does() -> Result<()> {
    for (path, (object, health)) in fixtures()? {
        let expected = match health.as_str() {
            "Healthy" => Gate::Passes,
            "Degraded" => Gate::Fails,
            "Progressing" | "Suspended" => Gate::Waits,
            other => bail!("{path}: {other}"),
        };
        let found = flux(&object).with_context(|| path.clone())?;
        ensure!(found == expected, "{path}: {found:?}, and Argo CD says {health}");
    }
    Ok(())
}

#[test]
fn kstatus_passes_where_argo_cd_does_and_waits_for_what_may_heal() -> Result<()> {
    for (path, (object, health)) in fixtures()? {
        let stalled = object["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|c| c["type"] == "Stalled" && c["status"] == "True"));
        let expected = match health.as_str() {
            "Healthy" => Gate::Passes,
            "Degraded" if stalled => Gate::Fails,
            // Conditions of an older generation under a newer status: the operator writes both at once.
            _ if path.ends_with("condition_behind.yaml") => Gate::Passes,
            _ => Gate::Waits,
        };
        ensure!(kstatus(&object) == expected, "{path}: {:?}, and Argo CD says {health}", kstatus(&object));
    }
    Ok(())
}

#[test]
fn a_workflow_passes_only_what_is_as_expected() -> Result<()> {
    for (path, (object, health)) in fixtures()? {
        let found = workflow(&object)?;
        let may_pass = object["status"]["result"] == "AsExpected";
        ensure!((found == Gate::Passes) == may_pass, "{path}: {found:?}, and Argo CD says {health}");
        ensure!(found != Gate::Fails || health == "Degraded", "{path}: {found:?}, and Argo CD says {health}");
    }
    Ok(())
}

#[test]
fn the_pages_checks_can_be_read() -> Result<()> {
    let mut checks: Vec<Value> =
        objects()?.into_iter().filter(|object| object["kind"] == "ConnectivityCheck").collect();
    ensure!(checks.len() == 2, "a hook and a wave");
    let template = only("WorkflowTemplate")?;
    let manifest = template["spec"]["templates"][0]["resource"]["manifest"].as_str().context("a manifest")?;
    checks.push(serde_saphyr::from_str(manifest)?);
    for check in checks {
        let read: ConnectivityCheck = serde_json::from_value(check.clone())?;
        ensure!(read.spec.targets.len() == 1, "{check}");
        // Nothing of it is unknown: what the type writes again holds all that the page says.
        let again = serde_json::to_value(&read)?;
        for (key, value) in check["spec"]["targets"][0].as_object().context("a target")? {
            ensure!(again["spec"]["targets"][0][key] == *value, "{key} of {check}");
        }
    }
    Ok(())
}

#[test]
fn the_job_of_argo_rollouts_runs_as_an_account_that_may_read_checks() -> Result<()> {
    let template = only("AnalysisTemplate")?;
    let job = &template["spec"]["metrics"][0]["provider"]["job"]["spec"]["template"]["spec"];
    let [account, role, binding] = [only("ServiceAccount")?, only("Role")?, only("RoleBinding")?];
    for object in [&account, &role, &binding] {
        let (namespace, name) = (&object["metadata"]["namespace"], &object["metadata"]["name"]);
        ensure!(*namespace == template["metadata"]["namespace"], "{namespace} of {object}");
        ensure!(*name == job["serviceAccountName"], "{name} of {object}");
    }
    let subject = json!({ "kind": "ServiceAccount", "name": "gate", "namespace": "shop" });
    ensure!(binding["subjects"] == json!([subject]), "{binding}");
    ensure!(binding["roleRef"]["kind"] == "Role" && binding["roleRef"]["name"] == "gate", "{binding}");
    Ok(())
}
