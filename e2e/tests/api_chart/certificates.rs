//! The webhook's certificate from cert-manager, as an option.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::rights::line;
use super::{NAMESPACE, one, render};

const SECRET: &str = "peerwalk-webhook-tls";

fn is_of_cert_manager(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("cert-manager.io/"))
}

fn arguments(objects: &[Value]) -> Result<&Vec<Value>> {
    let pod = &one(objects, "Deployment", "peerwalk")?["spec"]["template"]["spec"];
    pod["containers"][0]["args"].as_array().context("arguments")
}

#[test]
fn without_it_nothing_of_cert_manager_is_needed() -> Result<()> {
    let objects = render(&[])?;
    ensure!(!objects.iter().any(is_of_cert_manager), "its CRDs may be missing");
    ensure!(!format!("{objects:?}").contains(SECRET), "nobody looks for its Secret");
    Ok(())
}

#[test]
fn its_certificate_is_one_of_the_webhooks_name_that_the_operator_serves() -> Result<()> {
    let objects = render(&[r#"certManager={"enabled":true}"#])?;
    let spec = &one(&objects, "Certificate", "peerwalk-webhook")?["spec"];
    // What the API server asks for, and what the operator verifies before it serves it.
    let client = &one(&objects, "MutatingWebhookConfiguration", "peerwalk")?["webhooks"][0]["clientConfig"];
    let service = client["service"]["name"].as_str().context("a Service")?;
    ensure!(spec["dnsNames"] == json!([format!("{service}.{NAMESPACE}.svc")]), "{spec}");
    ensure!(spec["usages"] == json!(["digital signature", "server auth"]), "{spec}");
    ensure!(spec["secretName"] == SECRET, "{spec}");
    ensure!(client.get("caBundle").is_none(), "the operator keeps the caBundle");
    ensure!(arguments(&objects)?.contains(&json!(format!("--webhook-secret={SECRET}"))), "it is served");
    let role = one(&objects, "Role", "peerwalk")?;
    let rules = role["rules"].as_array().context("rules")?;
    let right = format!("Role peerwalk: list watch secrets called {SECRET}");
    let of_it: Vec<String> =
        rules.iter().map(|rule| line(role, rule)).filter(|l| l.contains("tls")).collect();
    ensure!(of_it == [right], "it is read and nothing more: {of_it:?}");
    let without = one(&render(&[])?, "Role", "peerwalk")?["rules"].as_array().context("rules")?.len();
    ensure!(rules.len() == without + 1, "one right more");
    Ok(())
}

#[test]
fn the_issuer_is_the_charts_own_or_one_that_is_there() -> Result<()> {
    let objects = render(&[r#"certManager={"enabled":true}"#])?;
    let certificate = one(&objects, "Certificate", "peerwalk-webhook")?;
    ensure!(certificate["spec"]["issuerRef"] == json!({ "name": "peerwalk-webhook" }), "{certificate}");
    ensure!(one(&objects, "Issuer", "peerwalk-webhook")?["spec"] == json!({ "selfSigned": {} }));

    let theirs = r#"{"name":"platform","kind":"ClusterIssuer"}"#;
    let objects = render(&[&format!(r#"certManager={{"enabled":true,"issuerRef":{theirs}}}"#)])?;
    let certificate = one(&objects, "Certificate", "peerwalk-webhook")?;
    ensure!(certificate["spec"]["issuerRef"] == serde_json::from_str::<Value>(theirs)?, "{certificate}");
    ensure!(objects.iter().filter(|o| is_of_cert_manager(o)).count() == 1, "no issuer of ours");
    Ok(())
}
