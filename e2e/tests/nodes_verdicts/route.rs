//! Proxy variables and certificates, as a pod of the application has them.

use anyhow::{Result, ensure};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_e2e::object::{self, NODE_1, to_service, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play, ready};
use serde_json::{Value, json};

use crate::{apply_check, server};

/// A source pod whose container has these variables, in both spellings.
fn client_with(scene: &Scene<'_>, proxy: &str, exceptions: &str) -> Value {
    let mut pod = object::pod(&scene.name(CLIENT), "client", NODE_1, &["pause"]);
    let pairs = [("http_proxy", proxy), ("https_proxy", proxy), ("no_proxy", exceptions)];
    let variables: Vec<Value> = pairs
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), name.to_uppercase()].map(|name| (name, value)))
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    pod["spec"]["containers"][0]["env"] = json!(variables);
    pod
}

/// A forward proxy that stands for one outside the cluster, and a web server.
async fn deploy(scene: &Scene<'_>, client: Value) -> Result<Value> {
    let servers = scene.name(SERVER);
    let mut objects = vec![client, object::pod(&servers, "proxy", NODE_1, &["proxy"])];
    objects.push(object::service(&servers, "proxy", "proxy", &json!(3128)));
    objects.extend(server(scene, "near", NODE_1));
    scene.deploy(&objects).await?;
    Ok(with(to_service(&servers, "near"), &json!({ "http": { "path": "/" } })))
}

#[tokio::test]
async fn a_cluster_name_that_goes_to_a_proxy_is_told_with_the_exception_to_add() -> Result<()> {
    play(async |scene| {
        let proxy = format!("http://proxy.{}.svc:80", scene.name(SERVER));
        let target = deploy(scene, client_with(scene, &proxy, ".cluster.local")).await?;
        apply_check(scene, "reach", &[target]).await?;
        let check = scene.verdict("reach", False, "ProxyMisrouted").await?;
        let message = ready(&check).map(|ready| ready.message.clone()).unwrap_or_default();
        let explanation = scene.nodes.explain(&scene.name(CLIENT), "reach").await?;
        ensure!(message.contains("http_proxy"), "expected the variable in the message: {message}");
        ensure!(
            explanation.contains("add .svc to no_proxy of container app"),
            "expected the entry to add in the explanation: {explanation}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cluster_name_that_is_excepted_is_reached() -> Result<()> {
    play(async |scene| {
        let proxy = format!("http://proxy.{}.svc:80", scene.name(SERVER));
        let target = deploy(scene, client_with(scene, &proxy, ".svc,.cluster.local")).await?;
        apply_check(scene, "reach", &[target]).await?;
        scene.verdict("reach", True, "AsExpected").await.map(drop)
    })
    .await
}

/// `testbed listen https` has a certificate that nobody trusts; `serve` speaks no TLS at all.
#[tokio::test]
async fn certificates_and_servers_without_them_are_told_apart() -> Result<()> {
    play(async |scene| {
        let servers = scene.name(SERVER);
        let secure = object::pod(&servers, "secure", NODE_1, &["listen", "https:8443"]);
        let service = |name: &str, app: &str, target: u16| {
            let mut service = object::service(&servers, name, app, &json!(target));
            service["spec"]["ports"][0]["port"] = json!(443);
            service
        };
        let client = object::pod(&scene.name(CLIENT), "client", NODE_1, &["pause"]);
        let mut objects = vec![client, secure, service("secure", "secure", 8443)];
        objects.extend(server(scene, "near", NODE_1));
        objects.push(service("plain", "near", 8080));
        scene.deploy(&objects).await?;
        let url = |name: &str| json!({ "name": name, "url": format!("https://{name}.{servers}.svc/") });
        for (name, reason) in [("secure", "TlsUntrustedIssuer"), ("plain", "TlsHandshakeFailed")] {
            apply_check(scene, name, &[url(name)]).await?;
            scene.verdict(name, False, reason).await?;
        }
        Ok(())
    })
    .await
}
