//! Services of every form, with and without anything behind them.

use anyhow::{Result, ensure};
use peerwalk_api::ConditionStatus::{False, True, Unknown};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, play, ready};
use serde_json::json;

use crate::{apply_check, client, deploy_shop, row, server, targets};

#[tokio::test]
async fn every_form_of_service_is_reached_on_both_nodes() -> Result<()> {
    play(async |scene| {
        deploy_shop(scene).await?;
        let namespace = scene.name(SERVER);
        scene
            .apply(&[
                object::headless(&namespace, "headless", "far", 8080),
                object::service(&namespace, "named", "far", &json!("web")),
            ])
            .await?;
        let [near, far, named] = targets(scene, ["near", "far", "named"]);
        let by_name = json!({ "name": "headless", "namespace": namespace, "port": "http" });
        let asked = [
            with(near, &json!({ "http": { "path": "/status/204" } })),
            with(far, &json!({ "http": {} })),
            named,
            json!({ "name": "headless", "service": by_name }),
        ];
        apply_check(scene, "reach", &asked).await?;
        let check = scene.verdict("reach", True, "AsExpected").await?;
        let summary = check.status.and_then(|status| status.summary).unwrap_or_default();
        ensure!(summary.ok == "4/4", "expected all four pairs to be as expected: {summary:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_service_without_what_it_takes_is_told_by_its_name() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let mut objects = vec![client(scene)];
        objects.extend(server(scene, "near", NODE_1));
        objects.push(object::service(&namespace, "empty", "nobody", &json!(8080)));
        objects.push(object::service(&namespace, "closed", "near", &json!(7777)));
        scene.deploy(&objects).await?;
        let port = json!({ "service": { "name": "near", "namespace": namespace, "port": 99 } });
        for (name, target, status, reason) in [
            ("empty", to_service(&namespace, "empty"), False, "NoEndpoints"),
            ("closed", to_service(&namespace, "closed"), False, "NotListening"),
            ("port", with(json!({ "name": "port" }), &port), False, "ServicePortNotFound"),
            ("missing", to_service(&namespace, "missing"), Unknown, "TargetNotFound"),
        ] {
            apply_check(scene, name, &[target]).await?;
            let check = scene.verdict(name, status, reason).await?;
            let message = ready(&check).map(|ready| ready.message.clone()).unwrap_or_default();
            ensure!(message.starts_with(&format!("{name}: ")), "expected the target's name first: {message}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_of_its_nodes_network_is_reached_whatever_policies_say() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let mut node = object::pod(&namespace, "node", NODE_2, &["listen", "http:18090"]);
        node["spec"]["hostNetwork"] = json!(true);
        node["spec"]["containers"][0]["ports"] = json!([]);
        let objects = [
            client(scene),
            node,
            object::service(&namespace, "node", "node", &json!(18090)),
            object::deny_ingress(&namespace),
        ];
        scene.deploy(&objects).await?;
        apply_check(scene, "reach", &targets(scene, ["node"])).await?;
        let check = scene.verdict("reach", True, "AsExpected").await?;
        ensure!(
            row(&check, "node")?.reason.is_none(),
            "expected no policy to be held against a pod that policies do not select: {check:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_may_never_be_dialled_is_not_dialled() -> Result<()> {
    play(async |scene| {
        let mut objects = vec![client(scene)];
        objects.extend(server(scene, "near", NODE_1));
        scene.deploy(&objects).await?;
        let [near] = targets(scene, ["near"]);
        let behind_a_name = with(near, &json!({ "hostname": "ip-169-254-169-254.example" }));
        for (name, target) in [
            ("outside", json!({ "name": "outside", "url": "http://198.51.100.10:8080/" })),
            ("metadata", json!({ "name": "metadata", "url": "http://169.254.169.254/latest" })),
            ("hidden", behind_a_name),
        ] {
            apply_check(scene, name, &[target]).await?;
            let check = scene.verdict(name, False, "TargetNotAllowed").await?;
            let conditions = check.status.map(|status| status.conditions).unwrap_or_default();
            ensure!(
                conditions.iter().any(|c| c.type_ == "Stalled" && c.status == True),
                "expected {name} to be Stalled, as waiting does not help: {conditions:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_redirect_in_the_pod_that_accepts_everything_is_found() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(CLIENT);
        let mut objects = vec![object::pod(&namespace, "client", NODE_1, &["listen", "echo:15001"])];
        objects.extend(server(scene, "far", NODE_2));
        scene.deploy(&objects).await?;
        let place = peerwalk_cluster::Place::from_pod(&namespace, "client");
        let rules = "add table ip mesh\n\
            add chain ip mesh output { type nat hook output priority -100; }\n\
            add rule ip mesh output tcp dport { 80, 8080 } redirect to :15001\n";
        let mut nft = scene.nodes.cluster.exec(&place, "bash")?;
        nft.args(["-c", &format!("nft -f - <<'END'\n{rules}END\n")]);
        peerwalk_e2e::nodes::printed(&mut nft)?;
        let [far] = targets(scene, ["far"]);
        apply_check(scene, "connection", std::slice::from_ref(&far)).await?;
        let request = with(far, &json!({ "http": {} }));
        apply_check(scene, "request", &[request]).await?;
        scene.verdict("connection", Unknown, "InterceptedLocally").await?;
        scene.verdict("request", False, "InterceptedLocally").await?;
        Ok(())
    })
    .await
}
