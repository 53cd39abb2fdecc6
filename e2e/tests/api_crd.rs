//! The CRD on a real API server: what it accepts, what it refuses and with which words, what it fills in,
//! and what `kubectl get` shows.
//!
//! Objects are sent as they would be by hand, with strict field validation, and mostly as a dry run.

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Request};
use kube::core::DynamicObject;
use peerwalk_api::status::{CheckResult, Summary};
use peerwalk_api::{Condition, ConditionStatus, ConnectivityCheck, ConnectivityCheckStatus, condition};
use peerwalk_e2e::crd;
use serde_json::{Value, json};

#[path = "api_crd/bounds.rs"]
mod bounds;

const NAMESPACE: &str = "default";

/// The smallest spec there is.
fn base() -> Value {
    json!({
        "source": { "podSelector": { "matchLabels": { "app": "web" } } },
        "targets": [{ "name": "catalog", "service": { "name": "catalog", "port": "http" } }],
    })
}

/// A JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().and_then(|object| object.remove(key));
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn check(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "peerwalk.dev/v1alpha1",
        "kind": "ConnectivityCheck",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": spec,
    })
}

fn path() -> String {
    format!("/apis/peerwalk.dev/v1alpha1/namespaces/{NAMESPACE}/connectivitychecks")
}

/// Creates `base` with `patch` as a dry run: the object as stored, or the words of the refusal.
async fn dry_run(client: &Client, patch: &Value) -> Result<Result<DynamicObject, String>> {
    let mut spec = base();
    merge(&mut spec, patch);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let mut request = Request::new(path()).create(&dry, serde_json::to_vec(&check("dry-run", &spec))?)?;
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
    match client.request(request).await {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message)),
        Err(other) => Err(other).context("cannot ask the API server"),
    }
}

/// Complaints about patches that are accepted and refused where they should not be.
async fn wrong(client: &Client, accept: &[Value], reject: &[Value], words: &[&str]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for patch in accept {
        if let Err(refusal) = dry_run(client, patch).await? {
            wrong.push(format!("{patch} is refused: {refusal}"));
        }
    }
    for patch in reject {
        match dry_run(client, patch).await? {
            Ok(_) => wrong.push(format!("{patch} is accepted; expected words: {words:?}")),
            Err(refusal) if words.iter().all(|word| refusal.contains(word)) => {}
            Err(refusal) => wrong.push(format!("{patch} is refused without the words {words:?}: {refusal}")),
        }
    }
    Ok(wrong)
}

#[tokio::test]
async fn each_rule_accepts_and_refuses_with_its_message() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let table: Value = serde_saphyr::from_str(include_str!("../../crates/api/tests/rules.yaml"))?;
    ensure!(table["base"] == base(), "the table's base is this test's");
    let rules = table["rules"].as_array().context("rules")?;
    ensure!(rules.len() > 20, "the table has the rules");
    let mut complaints = Vec::new();
    for rule in rules {
        let list = |key: &str| rule[key].as_array().cloned().unwrap_or_default();
        let message = rule["message"].as_str().context("a message")?;
        complaints.extend(wrong(&client, &list("accept"), &list("reject"), &[message]).await?);
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

#[tokio::test]
async fn each_bound_accepts_and_refuses_by_name() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let mut complaints = Vec::new();
    for bound in bounds::table() {
        let field = bound.path.rsplit('.').next().unwrap_or(bound.path).trim_end_matches("[]");
        let field = field.trim_end_matches("{}");
        let found = wrong(&client, &[bound.accept], &[bound.reject], &[field]).await?;
        complaints.extend(found.into_iter().map(|text| format!("{} {}: {text}", bound.path, bound.keyword)));
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

#[tokio::test]
async fn what_is_not_implemented_is_refused_by_name() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let with = |field: Value| {
        let mut target = json!({ "name": "t", "service": { "name": "a", "port": 80 } });
        merge(&mut target, &field);
        json!({ "targets": [target] })
    };
    for (field, patch) in [
        ("pods", with(json!({ "pods": { "port": 9000 } }))),
        ("grpc", with(json!({ "grpc": {} }))),
        ("via", with(json!({ "via": "Direct" }))),
        ("control", with(json!({ "control": {} }))),
    ] {
        let refusal = dry_run(&client, &patch).await?.err().unwrap_or_default();
        ensure!(refusal.contains(&format!("{field}\"")), "{field} is named in the refusal: {refusal:?}");
    }
    Ok(())
}

#[tokio::test]
async fn defaults_are_filled_in() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let dns = json!({ "name": "d", "dns": { "name": "example.com" } });
    let http = json!({ "name": "h", "service": { "name": "a", "port": 80 }, "http": {} });
    let roots = json!({ "configMap": { "name": "roots" } });
    let tls = json!({ "name": "u", "url": "https://a.example", "tls": { "caBundle": roots } });
    let stored =
        dry_run(&client, &json!({ "targets": [dns, http, tls] })).await?.map_err(anyhow::Error::msg)?;
    let spec = &stored.data["spec"];
    let expected = json!({
        "suspend": false,
        "source": { "podSelector": { "matchLabels": { "app": "web" } }, "minPods": 1, "maxPods": 10 },
        "targets": [
            { "name": "d", "dns": { "name": "example.com", "type": "A" }, "expect": "Reachable" },
            {
                "name": "h",
                "service": { "name": "a", "port": 80 },
                "http": { "method": "HEAD", "statusBelow": 500 },
                "expect": "Reachable",
            },
            {
                "name": "u",
                "url": "https://a.example",
                "tls": { "caBundle": { "configMap": { "name": "roots", "key": "ca.crt" } } },
                "expect": "Reachable",
            },
        ],
        "profile": "Lan",
        "timeouts": {},
        "interval": "10s",
        "retries": { "attempts": 2, "backoff": "200ms", "maxBackoff": "2s" },
        "failureThreshold": 3,
        "successThreshold": 1,
        "progressDeadline": "2m",
    });
    ensure!(*spec == expected, "the defaults are {expected:#}\nand not {spec:#}");
    serde_json::from_value::<ConnectivityCheck>(serde_json::to_value(&stored)?)
        .context("what the API server stores can be decoded")?;
    Ok(())
}

/// A check that is deleted again, whatever the test says.
async fn with_check<T>(
    client: &Client,
    name: &str,
    test: impl AsyncFnOnce(&Api<ConnectivityCheck>, ConnectivityCheck) -> Result<T>,
) -> Result<T> {
    let api: Api<ConnectivityCheck> = Api::namespaced(client.clone(), NAMESPACE);
    let _ = api.delete(name, &DeleteParams::default()).await;
    let object: ConnectivityCheck = serde_json::from_value(check(name, &base()))?;
    let created = api.create(&PostParams::default(), &object).await.context("cannot create the check")?;
    let result = test(&api, created).await;
    api.delete(name, &DeleteParams::default()).await.context("cannot delete the check")?;
    result
}

/// The status of a failing check, as the operator would write it.
fn failing(generation: Option<i64>) -> Result<ConnectivityCheckStatus> {
    let now = "2026-11-23T01:12:05Z".parse()?;
    let message = "catalog: NetworkPolicy shop/default-deny denies it";
    let ready = Condition::new(condition::READY, ConditionStatus::False, "PolicyDenied", message, now);
    Ok(ConnectivityCheckStatus {
        observed_generation: generation,
        conditions: vec![ready.of_generation(generation)],
        since: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now)),
        result: CheckResult::Failed,
        summary: Some(Summary {
            pods: 3,
            reporting: 3,
            targets: 1,
            pairs: 3,
            failed: 3,
            ok: "0/3".to_owned(),
            ..Summary::default()
        }),
        ..ConnectivityCheckStatus::default()
    })
}

async fn write_status(
    api: &Api<ConnectivityCheck>,
    name: &str,
    status: &ConnectivityCheckStatus,
) -> Result<()> {
    let patch = json!({
        "apiVersion": "peerwalk.dev/v1alpha1",
        "kind": "ConnectivityCheck",
        "status": status,
    });
    api.patch_status(name, &PatchParams::apply("peerwalk").force(), &Patch::Apply(patch))
        .await
        .context("cannot write the status")?;
    Ok(())
}

#[tokio::test]
async fn a_new_check_reads_as_one_nobody_has_seen() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    with_check(&client, "api-crd-default", async |api, created| {
        let status = created.status.context("a default status")?;
        ensure!(status.observed_generation == Some(-1), "kstatus sees an old generation: {status:?}");
        ensure!(status.result == CheckResult::Unknown, "the result is unknown: {status:?}");
        let ready = status.condition(condition::READY).context("a Ready condition")?;
        ensure!(ready.status == ConditionStatus::Unknown && ready.reason == "Pending", "{ready:?}");

        let unknown = ListParams::default().fields("status.result=Unknown,spec.suspend=false");
        let listed = api.list(&unknown).await.context("cannot list by field")?;
        let names: Vec<_> = listed.items.iter().filter_map(|c| c.metadata.name.as_deref()).collect();
        ensure!(names.contains(&"api-crd-default"), "a field selector finds it: {names:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_written_status_replaces_the_default_and_again_writes_nothing() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let name = "api-crd-status";
    with_check(&client, name, async |api, created| {
        let written = failing(created.metadata.generation)?;
        write_status(api, name, &written).await?;
        let first = api.get(name).await?;
        ensure!(first.status.as_ref() == Some(&written), "what is written is read: {:?}", first.status);
        write_status(api, name, &written).await?;
        let second = api.get(name).await?;
        let version = |check: &ConnectivityCheck| ObjectMeta::clone(&check.metadata).resource_version;
        ensure!(version(&first) == version(&second), "the same status again is no write");
        Ok(())
    })
    .await
}

/// The cells of the row of `name`, by column, as `kubectl get` asks for them.
async fn row(client: &Client, name: &str) -> Result<Vec<(String, i64, Value)>> {
    let mut request = Request::new(path()).list(&ListParams::default())?;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io".parse()?;
    request.headers_mut().insert("accept", table);
    let table: Value = client.request(request).await.context("cannot get the table")?;
    let rows = table["rows"].as_array().context("rows")?;
    let row = rows.iter().find(|row| row["cells"][0] == name).context("the check's row")?;
    let columns = table["columnDefinitions"].as_array().context("columns")?;
    let cells = row["cells"].as_array().context("cells")?;
    columns
        .iter()
        .zip(cells)
        .map(|(column, cell)| {
            let name = column["name"].as_str().context("a name")?.to_uppercase();
            Ok((name, column["priority"].as_i64().unwrap_or(0), cell.clone()))
        })
        .collect()
}

#[tokio::test]
async fn the_table_reads_ready_reason_ok_since_age() -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let name = "api-crd-columns";
    with_check(&client, name, async |api, created| {
        let new = row(&client, name).await?;
        let narrow: Vec<_> = new.iter().filter(|c| c.1 == 0).map(|c| c.0.as_str()).collect();
        ensure!(narrow == ["NAME", "READY", "REASON", "OK", "SINCE", "AGE"], "{narrow:?}");
        let wide: Vec<_> = new.iter().filter(|c| c.1 > 0).map(|c| c.0.as_str()).collect();
        ensure!(wide == ["SOURCE", "TARGETS", "MESSAGE"], "{wide:?}");
        let cell = |row: &[(String, i64, Value)], column: &str| {
            row.iter().find(|c| c.0 == column).map(|c| c.2.clone()).unwrap_or_default()
        };
        ensure!(cell(&new, "READY") == "Unknown" && cell(&new, "REASON") == "Pending", "{new:?}");
        ensure!(cell(&new, "SINCE").is_null(), "nothing happened yet: {new:?}");

        write_status(api, name, &failing(created.metadata.generation)?).await?;
        let failed = row(&client, name).await?;
        ensure!(cell(&failed, "READY") == "False" && cell(&failed, "REASON") == "PolicyDenied", "{failed:?}");
        ensure!(cell(&failed, "OK") == "0/3" && cell(&failed, "TARGETS") == 1, "{failed:?}");
        ensure!(cell(&failed, "SINCE").is_string(), "an age: {failed:?}");
        let message = cell(&failed, "MESSAGE");
        ensure!(message.as_str().is_some_and(|m| m.starts_with("catalog:")), "{failed:?}");
        let source = cell(&failed, "SOURCE");
        ensure!(source.as_str().is_some_and(|s| s.contains("\"app\":\"web\"")), "{failed:?}");
        Ok(())
    })
    .await
}
