//! `NetworkPolicy` as the kernel enforces it, and what is said while it comes and goes.

use std::time::Duration;

use anyhow::{Result, ensure};
use peerwalk_api::ConditionStatus::{False, True, Unknown};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, denied, to_dns, to_hub, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play, play_alone, ready};
use serde_json::json;

use crate::{apply_check, client, deploy_shop, names_policy, server, targets};

#[tokio::test]
async fn ingress_denied_on_the_other_node() -> Result<()> {
    play(async |scene| {
        deploy_shop(scene).await?;
        // Answers from the same node, so that the path to it is known to be whole.
        let namespace = scene.name(CLIENT);
        let witness = [
            object::pod(&namespace, "witness", NODE_2, &["serve"]),
            object::service(&namespace, "witness", "witness", &json!(8080)),
        ];
        scene.deploy(&witness).await?;
        let [far] = targets(scene, ["far"]);
        let witness = to_service(&namespace, "witness");
        apply_check(scene, "reach", &[far.clone(), witness.clone()]).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        let server = scene.name(SERVER);
        scene.apply(&[object::deny_ingress(&server)]).await?;
        let check = scene.verdict("reach", False, "PolicyDenied").await?;
        names_policy(&check, "far", (&server, "deny-ingress"))?;
        apply_check(scene, "denied", &[denied(far), witness]).await?;
        scene.verdict("denied", True, "AsExpected").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn denied_through_a_headless_service_and_a_named_port() -> Result<()> {
    play(async |scene| {
        deploy_shop(scene).await?;
        let namespace = scene.name(SERVER);
        let objects = [
            object::headless(&namespace, "headless", "near", 8080),
            object::service(&namespace, "named", "near", &json!("web")),
        ];
        scene.apply(&objects).await?;
        let headless = json!({ "name": "headless", "namespace": namespace, "port": 8080 });
        let headless = json!({ "name": "headless", "service": headless });
        let [named] = targets(scene, ["named"]);
        for (name, target) in [("named", named), ("headless", headless)] {
            apply_check(scene, name, &[target]).await?;
            scene.verdict(name, True, "AsExpected").await?;
        }
        scene.apply(&[object::deny_ingress(&namespace)]).await?;
        for name in ["named", "headless"] {
            let check = scene.verdict(name, False, "PolicyDenied").await?;
            names_policy(&check, name, (&namespace, "deny-ingress"))?;
        }
        Ok(())
    })
    .await
}

/// Egress is denied but to the hub and cluster DNS; on the same node the proof is complete.
async fn egress_denied(scene: &Scene<'_>, both: bool) -> Result<()> {
    deploy_shop(scene).await?;
    let [near] = targets(scene, ["near"]);
    apply_check(scene, "reach", std::slice::from_ref(&near)).await?;
    scene.verdict("reach", True, "AsExpected").await?;
    let client = scene.name(CLIENT);
    scene.apply(&[object::deny_egress(&client, &[to_hub(), to_dns()])]).await?;
    if both {
        scene.apply(&[object::deny_ingress(&scene.name(SERVER))]).await?;
    }
    apply_check(scene, "denied", &[denied(near)]).await?;
    let check = scene.verdict("reach", False, "PolicyDenied").await?;
    names_policy(&check, "near", (&client, "deny-egress"))?;
    scene.verdict("denied", True, "AsExpected").await?;
    Ok(())
}

#[tokio::test]
async fn egress_denied_with_the_hub_and_dns_admitted() -> Result<()> {
    play(async |scene| egress_denied(scene, false).await).await
}

#[tokio::test]
async fn both_directions_denied() -> Result<()> {
    play(async |scene| egress_denied(scene, true).await).await
}

/// The only replica of the hub is on the source's node, so nothing from the other node answers, and silence may as well
/// be a broken path.
#[tokio::test]
async fn what_cannot_be_proven_is_said_to_be_so() -> Result<()> {
    play_alone(async |scene, alone| {
        alone.one_operator()?;
        let hub = scene.nodes.operator().await?.spec.and_then(|spec| spec.node_name);
        let (here, there) = if hub.as_deref() == Some(NODE_1) { (NODE_1, NODE_2) } else { (NODE_2, NODE_1) };
        let namespace = scene.name(CLIENT);
        let mut objects = vec![object::pod(&namespace, "client", here, &["pause"])];
        objects.extend(server(scene, "far", there));
        objects.push(object::deny_egress(&namespace, &[to_hub(), to_dns()]));
        scene.deploy(&objects).await?;
        let [far] = targets(scene, ["far"]);
        apply_check(scene, "denied", &[denied(far)]).await?;
        scene.verdict("denied", Unknown, "NotProven").await?;
        let explanation = scene.nodes.explain(&namespace, "denied").await?;
        ensure!(
            explanation.contains("nothing shows that the path to the node"),
            "expected the explanation to say what is missing: {explanation}"
        );
        Ok(())
    })
    .await
}

/// Nothing about the network may be claimed by a pod that cannot report.
#[tokio::test]
async fn a_source_that_may_not_reach_the_hub_is_not_reporting() -> Result<()> {
    play_alone(async |scene, alone| {
        alone.strict()?;
        let namespace = scene.name(CLIENT);
        scene.apply(&[object::deny_egress(&namespace, &[])]).await?;
        let mut objects = vec![client(scene)];
        objects.extend(server(scene, "near", NODE_1));
        scene.deploy(&objects).await?;
        apply_check(scene, "reach", &targets(scene, ["near"])).await?;
        let check = scene.verdict("reach", Unknown, "NotReporting").await?;
        let message = ready(&check).map(|ready| ready.message.clone()).unwrap_or_default();
        ensure!(message.contains("deny-egress"), "expected the policy that blocks the hub: {message}");
        scene.stays("reach", Unknown, "NotReporting", Duration::from_secs(15)).await
    })
    .await
}

/// New pods are reachable until the data plane knows them: that is no lack of enforcement.
#[tokio::test]
async fn pods_younger_than_the_data_plane_are_no_violation() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let [near] = targets(scene, ["near"]);
        apply_check(scene, "denied", &[denied(near)]).await?;
        scene.apply(&[object::deny_ingress(&namespace)]).await?;
        let mut objects = vec![client(scene)];
        objects.extend(server(scene, "near", NODE_1));
        let history = scene.history("denied");
        scene.deploy(&objects).await?;
        scene.verdict("denied", True, "AsExpected").await?;
        let seen = history.seen();
        ensure!(
            seen.iter().all(|(status, _)| *status != False),
            "expected a new pod never to be a violation: {seen:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_established_connection_outlives_the_policy_that_ends_new_ones() -> Result<()> {
    play(async |scene| {
        let namespace = scene.name(SERVER);
        let service = object::service(&namespace, "line", "line", &json!(9000));
        let line = object::pod(&namespace, "line", NODE_2, &["hold"]);
        scene.deploy(&[client(scene), line, service]).await?;
        let host = format!("line.{namespace}");
        let keep = object::pod(&scene.name(CLIENT), "keep", NODE_1, &["keep", &host, "80", "45"]);
        scene.deploy(&[keep]).await?;
        apply_check(scene, "reach", &targets(scene, ["line"])).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        ensure!(scene.log(CLIENT, "keep", "app").await?.contains("open"), "expected a connection by now");
        scene.apply(&[object::deny_ingress(&namespace)]).await?;
        scene.verdict("reach", False, "PolicyDenied").await?;
        let kept = scene.pods(CLIENT).get("keep").await?.status.and_then(|status| status.phase);
        ensure!(kept.as_deref() == Some("Running"), "expected to be asked before it ends: {kept:?}");
        let pod = scene.name(CLIENT);
        let ended = scene.pod_is(&pod, "keep", "at its end", peerwalk_e2e::scene::has_succeeded).await;
        let log = scene.log(CLIENT, "keep", "app").await?;
        ended?;
        ensure!(log.contains("kept for"), "expected the connection to be kept: {log}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_that_comes_and_goes_shows_each_time() -> Result<()> {
    play(async |scene| {
        deploy_shop(scene).await?;
        let [near] = targets(scene, ["near"]);
        apply_check(scene, "reach", &[near]).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        for _ in 0..3 {
            let policy = object::deny_ingress(&scene.name(SERVER));
            scene.apply(std::slice::from_ref(&policy)).await?;
            scene.verdict("reach", False, "PolicyDenied").await?;
            scene.delete(&policy).await?;
            scene.verdict("reach", True, "AsExpected").await?;
        }
        Ok(())
    })
    .await
}

/// The hub is all that the source may reach: no name becomes an address, so nothing is tried of what the policy says of
/// the servers, and the messages say which rule that takes.
#[tokio::test]
async fn a_source_that_may_reach_only_the_hub_says_what_it_lacks() -> Result<()> {
    play(async |scene| {
        deploy_shop(scene).await?;
        let [near] = targets(scene, ["near"]);
        apply_check(scene, "reach", std::slice::from_ref(&near)).await?;
        scene.verdict("reach", True, "AsExpected").await?;
        let client = scene.name(CLIENT);
        scene.apply(&[object::deny_egress(&client, &[to_hub()])]).await?;
        apply_check(scene, "denied", &[denied(near)]).await?;
        scene.verdict("reach", False, "DnsDenied").await?;
        let check = scene.verdict("denied", Unknown, "NotProven").await?;
        let message = ready(&check).map(|ready| ready.message.clone()).unwrap_or_default();
        ensure!(
            message.contains("name servers that answer would let that decide"),
            "got the message {message:?}"
        );
        for name in ["reach", "denied"] {
            let explained = scene.nodes.explain(&client, name).await?;
            for words in
                [format!("{client}/deny-egress; no rule admits kube-system/coredns"), "port 53/UDP".into()]
            {
                ensure!(explained.contains(&words), "expected {words:?} of {name}: {explained}");
            }
        }
        Ok(())
    })
    .await
}
