//! Names: what cluster DNS says, and what is said when it is silent.

use anyhow::{Result, ensure};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_e2e::object::{self, NODE_1, to_hub, with};
use peerwalk_e2e::scene::{CLIENT, play, play_alone};
use serde_json::{Value, json};

use crate::{apply_check, client, server, targets};

fn name(target: &str, name: &str) -> Value {
    json!({ "name": target, "dns": { "name": name } })
}

#[tokio::test]
async fn what_name_servers_answer_is_told_apart() -> Result<()> {
    play(async |scene| {
        scene.deploy(&[client(scene)]).await?;
        for (check, host, status, reason) in [
            ("found", "kubernetes.default.svc", True, "AsExpected"),
            ("missing", "no-such-name.example.", False, "DnsNameNotFound"),
            ("empty", "nodata.example.", False, "DnsNoData"),
            ("failing", "servfail.example.", False, "DnsServerFailure"),
            ("refusing", "refused.example.", False, "DnsRefused"),
            ("slow", "slow.example.", False, "DnsSlow"),
        ] {
            apply_check(scene, check, &[name(check, host)]).await?;
            scene.verdict(check, status, reason).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn dns_that_egress_does_not_admit_is_denied() -> Result<()> {
    play(async |scene| {
        let mut objects = vec![client(scene)];
        objects.extend(server(scene, "near", NODE_1));
        scene.deploy(&objects).await?;
        let [near] = targets(scene, ["near"]);
        apply_check(scene, "reach", &[with(near, &json!({ "http": {} }))]).await?;
        apply_check(scene, "name", &[name("name", "kubernetes.default.svc")]).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        scene.verdict("name", True, "AsExpected").await?;
        let admitted = json!({ "to": [object::in_namespace(&scene.name("server"))] });
        scene.apply(&[object::deny_egress(&scene.name(CLIENT), &[to_hub(), admitted])]).await?;
        scene.verdict("name", False, "DnsDenied").await?;
        scene.verdict("reach", False, "DnsDenied").await?;
        Ok(())
    })
    .await
}

/// No ingress to cluster DNS from one namespace; pods of all others are admitted.
fn dns_but_from(namespace: &str) -> Value {
    let others = json!({ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace] });
    let spec = json!({
        "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": [{ "namespaceSelector": { "matchExpressions": [others] } }] }],
    });
    object::policy("kube-system", &format!("dns-but-from-{namespace}"), &spec)
}

#[tokio::test]
async fn dns_that_does_not_admit_the_source_is_denied() -> Result<()> {
    play_alone(async |scene, _| {
        let source = scene.name(CLIENT);
        scene.deploy(&[client(scene)]).await?;
        apply_check(scene, "name", &[name("name", "kubernetes.default.svc")]).await?;
        scene.verdict("name", True, "AsExpected").await?;
        let policy = dns_but_from(&source);
        let denied = async {
            scene.apply(std::slice::from_ref(&policy)).await?;
            scene.verdict("name", False, "DnsDenied").await?;
            scene.nodes.explain(&source, "name").await
        };
        let explanation = denied.await;
        scene.delete(&policy).await?;
        let explanation = explanation?;
        let named = format!("kube-system/dns-but-from-{source}");
        ensure!(explanation.contains(&named), "expected the policy {named}: {explanation}");
        scene.verdict("name", True, "AsExpected").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn dns_without_any_server_times_out() -> Result<()> {
    play_alone(async |scene, alone| {
        scene.deploy(&[client(scene)]).await?;
        apply_check(scene, "name", &[name("name", "kubernetes.default.svc")]).await?;
        scene.verdict("name", True, "AsExpected").await?;
        alone.scale_dns(0)?;
        scene.verdict("name", False, "DnsTimeout").await?;
        alone.scale_dns(1)?;
        scene.verdict("name", True, "AsExpected").await?;
        Ok(())
    })
    .await
}
