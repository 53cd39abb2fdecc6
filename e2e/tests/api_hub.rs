//! Who may attach to the hub, asked of a real API server: the operator runs under the chart's account, and the
//! sidecar comes with tokens that are good, and with every kind that is not. And what becomes of pods while
//! nobody answers as the webhook.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use peerwalk_api::ConnectivityCheck;
use peerwalk_cluster::Cluster;
use peerwalk_e2e::nodes::{SYSTEM, printed};
use peerwalk_e2e::object::unscheduled;
use peerwalk_e2e::process::{AUDIENCE, Operator};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::timeout;

#[path = "api_hub/certificates.rs"]
mod certificates;

const NAMESPACE: &str = "attach";
const HUB: &str = "127.0.0.1";
const REFUSED: &str = "the hub refuses us";
const ATTACHED: &str = "attached to the hub";
/// For the API server to have called somebody.
const WITHIN: Duration = Duration::from_secs(10);
/// One operator at a time: it has ports of its own.
static ALONE: Mutex<()> = Mutex::const_new(());
const LATER: &str = "the hub asks us to come back later";

/// A pod that runs as far as the API knows, with our container in it.
async fn pod(operator: &Operator, name: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(operator.client.clone(), NAMESPACE);
    let pod = serde_json::from_value(unscheduled(NAMESPACE, name, "client"))?;
    pods.create(&PostParams::default(), &pod).await?;
    let ip = "10.244.0.9";
    let running = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&running)).await.context("a status")
}

/// The code that a sidecar of the pod is refused with, or `attached`.
async fn refusal(operator: &Operator, pod: &Pod, token: &str) -> Result<String> {
    let line = operator.sidecar(pod, token, HUB)?.says(&[REFUSED, ATTACHED]).await?;
    Ok(line["code"].as_str().unwrap_or("attached").to_owned())
}

/// A token that the API server's own key signed: what TokenRequest makes, for any time.
fn signed(cluster: &Cluster, pod: &Pod, account_uid: &str, expires_in_s: i64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let expires = i64::try_from(now)? + expires_in_s;
    let claims = json!({
        "iss": "https://kubernetes.default.svc", "aud": [AUDIENCE], "exp": expires,
        "iat": now - 3600, "nbf": now - 3600, "sub": format!("system:serviceaccount:{NAMESPACE}:default"),
        "kubernetes.io": {
            "namespace": NAMESPACE,
            "pod": { "name": pod.metadata.name, "uid": pod.metadata.uid },
            "serviceaccount": { "name": "default", "uid": account_uid },
        },
    });
    let key = cluster.kubeconfig().context("a cluster of our own")?.with_file_name("sa.key");
    let script = r#"
        base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
        body=$(printf '{"alg":"RS256"}' | base64url).$(printf '%s' "$2" | base64url)
        printf '%s.%s' "$body" "$(printf '%s' "$body" | openssl dgst -sha256 -sign "$1" | base64url)"
    "#;
    printed(Command::new("bash").args(["-c", script, "sign"]).arg(key).arg(claims.to_string()))
}

/// A namespace with an account, whose uid this gives.
async fn namespace(client: &Client, name: &str, labels: &Value) -> Result<String> {
    let namespace = serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    // Where there are controllers, they may have been faster.
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    let apply = PatchParams::apply("peerwalk-e2e").force();
    let account = accounts.patch("default", &apply, &Patch::Apply(&account)).await?;
    account.metadata.uid.context("an account has a uid")
}

#[tokio::test]
async fn who_may_attach() -> Result<()> {
    let _alone = ALONE.lock().await;
    let Some(operator) = Operator::start().await? else { return Ok(()) };
    let account = namespace(&operator.client, NAMESPACE, &json!({})).await?;
    let check = json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
        "metadata": { "name": "web", "namespace": NAMESPACE },
        "spec": {
            "source": { "podSelector": { "matchLabels": { "app": "client" } } },
            "targets": [{ "name": "self", "dns": { "name": "localhost" } }],
        },
    });
    let checks: Api<ConnectivityCheck> = Api::namespaced(operator.client.clone(), NAMESPACE);
    checks.create(&PostParams::default(), &serde_json::from_value(check)?).await?;
    let (web, other) = (pod(&operator, "web").await?, pod(&operator, "other").await?);

    let good = operator.token(NAMESPACE, AUDIENCE, Some(&web)).await?;
    let mut attached = operator.sidecar(&web, &good, HUB)?;
    attached.says(&["new plan"]).await.context("a token of ours, bound to the pod, attaches it")?;

    let table = [
        (
            "for the API server",
            operator.token(NAMESPACE, "https://kubernetes.default.svc", Some(&other)).await?,
            "Token",
        ),
        ("bound to no pod", operator.token(NAMESPACE, AUDIENCE, None).await?, "Token"),
        ("another pod's", good.clone(), "Pod"),
        ("expired", signed(&operator.cluster, &other, &account, -60)?, "Token"),
        ("none at all", "e30.e30.e30".to_owned(), "Token"),
        // What the expired one is compared with: signed in the same way, and good.
        ("not expired", signed(&operator.cluster, &other, &account, 600)?, "attached"),
    ];
    for (case, token, expected) in table {
        let found = refusal(&operator, &other, &token).await.context(case)?;
        ensure!(found == expected, "expected a token that is {case} to lead to {expected}: {found}");
    }

    // A pod that is deleted loses its stream, and its token lets nobody in again.
    let pods: Api<Pod> = Api::namespaced(operator.client.clone(), NAMESPACE);
    pods.delete("web", &DeleteParams::default().grace_period(0)).await?;
    let endings = ["the hub ended the stream", REFUSED, LATER];
    attached.says(&endings).await.context("the stream of a pod ends with it")?;
    drop(attached);
    let line = operator.sidecar(&web, &good, HUB)?.says(&[REFUSED, LATER, ATTACHED]).await?;
    ensure!(line["message"] != ATTACHED, "expected the token of a deleted pod to let nobody in: {line}");
    let namespaces: Api<Namespace> = Api::all(operator.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    Ok(())
}

/// Whether the API server puts our container into a pod of the namespace, which it does not keep.
async fn is_injected(client: &Client, namespace: &str) -> Result<bool> {
    let container = json!({ "name": "app", "image": "none" });
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [container] } });
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let made = pods.create(&dry_run, &serde_json::from_value(pod)?).await.context("the pod is admitted")?;
    Ok(made.spec.is_some_and(|spec| spec.init_containers.is_some()))
}

#[tokio::test]
async fn pods_are_made_while_the_webhook_is_away_or_hangs() -> Result<()> {
    const INJECTED: &str = "fails-open";
    let _alone = ALONE.lock().await;
    let Some(operator) = Operator::start().await? else { return Ok(()) };
    let labels = json!({ "peerwalk.dev/inject": "enabled" });
    namespace(&operator.client, INJECTED, &labels).await?;
    ensure!(!is_injected(&operator.client, INJECTED).await?, "nobody is at the Service's address here");

    // Somebody who takes the connection and says nothing.
    let services: Api<Service> = Api::namespaced(operator.client.clone(), SYSTEM);
    let service = services.get("peerwalk-webhook").await?.spec.and_then(|spec| spec.cluster_ip);
    let address = service.context("the webhook's Service has an address")?;
    let on_lo = |what: &str| printed(Command::new("ip").args(["address", what, &address, "dev", "lo"]));
    on_lo("add")?;
    let silent = TcpListener::bind((address.as_str(), 443)).await?;
    let injected = is_injected(&operator.client, INJECTED).await;
    let called = timeout(WITHIN, silent.accept()).await;
    on_lo("del")?;
    ensure!(!injected?, "nobody answered the API server");
    called.context("expected the API server to call the webhook")??;
    let namespaces: Api<Namespace> = Api::all(operator.client.clone());
    namespaces.delete(INJECTED, &DeleteParams::default()).await?;
    Ok(())
}
