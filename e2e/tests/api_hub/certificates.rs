//! A certificate for the webhook in a Secret of cert-manager's form: the operator takes it, by the rights that the chart
//! gives it, and the API server is told what verifies it. cert-manager is not here; a script stands for it.

use std::env;
use std::fs;
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use peerwalk_e2e::nodes::{SYSTEM, printed};
use peerwalk_e2e::process::Operator;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::ALONE;

const SECRET: &str = "peerwalk-webhook-tls";
/// For the operator to hear of a Secret and write the caBundle, with its pause between two writes.
const WITHIN: Duration = Duration::from_secs(30);

/// A kind of cert-manager's, of which the API server only has to know that it is there.
fn crd(kind: &str) -> Value {
    let (singular, plural) = (kind.to_lowercase(), format!("{}s", kind.to_lowercase()));
    let schema =
        json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.cert-manager.io") },
        "spec": {
            "group": "cert-manager.io",
            "names": { "kind": kind, "singular": singular, "plural": plural, "listKind": format!("{kind}List") },
            "scope": "Namespaced",
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
        },
    })
}

/// Puts a certificate into the Secret, by an authority that is made for it, and gives that.
async fn issue(client: &Client) -> Result<String> {
    let folder = env::temp_dir().join(format!("peerwalk-issuer-{}", process::id()));
    fs::create_dir_all(&folder)?;
    let script = r#"
        cd "$1" && ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        openssl req -x509 $ec -subj /CN=issuer -days 30 -keyout ca.key -out ca.crt
        openssl req $ec -subj /CN=webhook -keyout tls.key -out tls.csr
        echo "subjectAltName=DNS:$2" > names
        openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -days 30 -extfile names -out tls.crt
    "#;
    let name = format!("peerwalk-webhook.{SYSTEM}.svc");
    printed(Command::new("bash").args(["-ec", script, "issue"]).arg(&folder).arg(name))?;
    let read = |file: &str| fs::read_to_string(folder.join(file)).with_context(|| format!("no {file}"));
    let ca = read("ca.crt")?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET }, "type": "kubernetes.io/tls",
        "stringData": { "tls.crt": read("tls.crt")?, "tls.key": read("tls.key")?, "ca.crt": ca },
    });
    fs::remove_dir_all(&folder)?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    secrets.patch(SECRET, &PatchParams::apply("issuer").force(), &Patch::Apply(&secret)).await?;
    Ok(ca)
}

/// Waits until every webhook is verified by these authorities, in this order, and by no other.
async fn told(client: &Client, authorities: &[&str]) -> Result<()> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let expected = authorities.iter().fold(String::new(), |all, pem| all + pem.trim_end() + "\n");
    let asked = Instant::now();
    loop {
        let webhooks = api.get("peerwalk").await?.webhooks.unwrap_or_default();
        let has = |bundle: &k8s_openapi::ByteString| bundle.0 == expected.as_bytes();
        if webhooks.iter().all(|webhook| webhook.client_config.ca_bundle.as_ref().is_some_and(has)) {
            return Ok(());
        }
        if asked.elapsed() > WITHIN {
            bail!("expected within {WITHIN:?} a caBundle of {} authorities: {webhooks:?}", authorities.len());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_secret_of_cert_managers_form_is_taken_beside_the_operators_own() -> Result<()> {
    let _alone = ALONE.lock().await;
    let Some((client, _)) = peerwalk_e2e::crd::own_cluster().await? else { return Ok(()) };
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let kinds = [crd("Certificate"), crd("Issuer")];
    for kind in &kinds {
        let name = kind["metadata"]["name"].as_str().context("a name")?;
        crds.patch(name, &PatchParams::apply("peerwalk-e2e").force(), &Patch::Apply(kind)).await?;
        let served = kube::runtime::wait::conditions::is_crd_established();
        kube::runtime::wait::await_condition(crds.clone(), name, served).await?;
    }
    let Some(operator) = Operator::start_with(&["certManager.enabled=true"]).await? else { return Ok(()) };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    let own = secrets.get("peerwalk-ca").await?.data.and_then(|mut data| data.remove("webhook-ca.crt"));
    let own = String::from_utf8(own.context("the webhook's CA")?.0)?;
    told(&client, &[&own]).await.context("nothing is waited for")?;

    let first = issue(&client).await?;
    told(&client, &[&own, &first]).await.context("it is there")?;
    let second = issue(&client).await?;
    told(&client, &[&own, &second]).await.context("its authority is another one")?;
    secrets.delete(SECRET, &DeleteParams::default()).await?;
    told(&client, &[&own]).await.context("it is gone")?;

    // Helm has to know the kinds to take its objects away.
    drop(operator);
    for kind in &kinds {
        let name = kind["metadata"]["name"].as_str().context("a name")?;
        crds.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}
