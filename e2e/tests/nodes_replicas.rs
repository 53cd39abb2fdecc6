//! Two replicas: whoever leads ends, dies or is paused, and the other goes on. Nothing is said that is not so, and
//! what happened while nobody judged is told once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_api::status::Outage;
use peerwalk_cluster::Place;
use peerwalk_e2e::nodes::{Nodes, SYSTEM, printed};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, denied, to_service};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play_alone};
use serde_json::{Value, json};

/// A lease and the looks at it, on a machine that is busy.
const TAKEN_WITHIN: Duration = Duration::from_secs(40);
/// Longer than sidecars have to come back, after which Unknown would be said.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// A client with a check of a server that it reaches and of one that it must not, and a check of one that it cannot.
/// Gives the policy that closes servers.
async fn deploy(scene: &Scene<'_>) -> Result<Value> {
    let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
    let mut objects = vec![object::pod(&client, "client", NODE_1, &["pause"])];
    for (name, node) in [("open", NODE_2), ("sealed", NODE_1), ("shut", NODE_1)] {
        objects.push(object::pod(&server, name, node, &["serve"]));
        objects.push(object::service(&server, name, name, &json!(8080)));
    }
    let closed = json!({ "key": "app", "operator": "In", "values": ["sealed", "shut"] });
    let closed = json!({ "podSelector": { "matchExpressions": [closed] }, "policyTypes": ["Ingress"] });
    let closed = object::policy(&server, "closed", &closed);
    objects.push(closed.clone());
    scene.deploy(&objects).await?;
    let [open, sealed, shut] = ["open", "sealed", "shut"].map(|name| to_service(&server, name));
    scene
        .apply(&[
            object::check(&client, "good", &[open, denied(sealed)]),
            object::check(&client, "bad", &[shut]),
        ])
        .await?;
    scene.verdict("good", True, "AsExpected").await?;
    scene.verdict("bad", False, "PolicyDenied").await?;
    Ok(closed)
}

/// Waits until another pod than this one leads.
async fn another_leads(nodes: &Nodes, before: &str) -> Result<()> {
    let asked = Instant::now();
    while nodes.holder()?.is_none_or(|holder| holder == before) {
        ensure!(asked.elapsed() < TAKEN_WITHIN, "{before} leads after {TAKEN_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Sends a signal to the operator's process of one pod. The processes of both nodes are seen from the first.
fn signal(nodes: &Nodes, signal: &str, pod: &str) -> Result<()> {
    let script = format!(
        r"for pid in $(pidof peerwalk-operator); do
             if tr '\0' '\n' < /proc/$pid/environ | grep -qx 'POD_NAME={pod}'; then kill -{signal} $pid && exit 0; fi
           done; echo 'no process of {pod}' >&2; exit 1"
    );
    let mut shell = nodes.cluster.exec(&Place::Node(1), "bash")?;
    printed(shell.args(["-c", &script])).map(drop)
}

/// Plays something that takes the lead from the leader, and asserts that nothing is said that is not so.
async fn take_over(scene: &Scene<'_>, end: impl AsyncFnOnce(&str) -> Result<()>) -> Result<()> {
    let closed = deploy(scene).await?;
    let histories = [scene.history("good"), scene.history("bad")];
    let before = scene.nodes.leader()?;
    end(&before).await?;
    let (good, bad) = tokio::join!(
        scene.stays("good", True, "AsExpected", AFTERWARDS),
        scene.stays("bad", False, "PolicyDenied", AFTERWARDS)
    );
    good?;
    bad?;
    for (history, expected) in histories.iter().zip([(True, "AsExpected"), (False, "PolicyDenied")]) {
        let seen = history.seen();
        let right = |(status, reason): &(_, String)| (*status, reason.as_str()) == expected;
        ensure!(!seen.is_empty() && seen.iter().all(right), "expected {expected:?} alone: {seen:?}");
    }
    ensure!(outages(scene, "good").await?.is_empty(), "nothing failed");
    // Whoever leads is at work.
    scene.delete(&closed).await?;
    scene.verdict("bad", True, "AsExpected").await?;
    Ok(())
}

async fn outages(scene: &Scene<'_>, check: &str) -> Result<Vec<Outage>> {
    Ok(scene.checks().get(check).await?.status.context("a check has a status")?.outages)
}

/// Deletes a pod of the operator, with its own time to end or with none.
async fn delete(nodes: &Nodes, pod: &str, parameters: DeleteParams) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(nodes.client.clone(), SYSTEM);
    pods.delete(pod, &parameters).await.with_context(|| format!("pod {pod} is not deleted"))?;
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_deleted_hands_over() -> Result<()> {
    play_alone(async |scene, _| {
        take_over(scene, async |leader| {
            delete(scene.nodes, leader, DeleteParams::default()).await?;
            another_leads(scene.nodes, leader).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_leader_that_dies_is_followed() -> Result<()> {
    play_alone(async |scene, _| {
        take_over(scene, async |leader| {
            // It has no time to let go of the lease.
            signal(scene.nodes, "KILL", leader)?;
            delete(scene.nodes, leader, DeleteParams::default().grace_period(0)).await?;
            another_leads(scene.nodes, leader).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_leader_that_is_paused_past_its_lease_writes_nothing_afterwards() -> Result<()> {
    play_alone(async |scene, _| {
        let closed = deploy(scene).await?;
        let history = scene.history("bad");
        let before = scene.nodes.leader()?;
        // The kubelet starts it anew when it has not answered for half a minute; the other leads before.
        signal(scene.nodes, "STOP", &before)?;
        let taken = another_leads(scene.nodes, &before).await;
        // What the paused one would still write is not so any more.
        let changed = async {
            taken?;
            scene.delete(&closed).await?;
            scene.verdict("bad", True, "AsExpected").await
        };
        let changed = changed.await;
        // It is resumed whatever came of that, unless the kubelet was faster.
        let resumed = signal(scene.nodes, "CONT", &before);
        changed?;
        if let Err(error) = resumed {
            let pods: Api<Pod> = Api::namespaced(scene.nodes.client.clone(), SYSTEM);
            ensure!(pods.get_opt(&before).await?.is_some(), "the paused pod is gone: {error:#}");
        }
        scene.stays("bad", True, "AsExpected", AFTERWARDS).await?;
        let seen: Vec<_> = history.seen().into_iter().map(|(status, _)| status).collect();
        ensure!(seen.first() == Some(&False) && seen.last() == Some(&True), "{seen:?}");
        let back = seen.windows(2).filter(|pair| pair[0] == True && pair[1] != True).count();
        ensure!(back == 0, "a write of the paused leader has landed: {seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_outage_while_nobody_judged_is_told_once() -> Result<()> {
    play_alone(async |scene, alone| {
        deploy(scene).await?;
        let server = scene.name(SERVER);
        let history = scene.history("good");
        alone.end_operator()?;
        let closed =
            json!({ "podSelector": { "matchLabels": { "app": "open" } }, "policyTypes": ["Ingress"] });
        let closed = object::policy(&server, "outage", &closed);
        scene.apply(std::slice::from_ref(&closed)).await?;
        // Two walks 5 s apart count, each takes some seconds, and one may have begun before.
        tokio::time::sleep(Duration::from_secs(30)).await;
        scene.delete(&closed).await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        alone.start_operator()?;
        let asked = Instant::now();
        while outages(scene, "good").await?.is_empty() {
            ensure!(asked.elapsed() < Duration::from_mins(2), "the outage is not told");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Another leader finds it in the status.
        let leader = scene.nodes.leader()?;
        delete(scene.nodes, &leader, DeleteParams::default()).await?;
        another_leads(scene.nodes, &leader).await?;
        scene.stays("good", True, "AsExpected", AFTERWARDS).await?;
        let found = outages(scene, "good").await?;
        let [outage] = found.as_slice() else { anyhow::bail!("expected one outage: {found:?}") };
        let end = outage.end.as_ref().context("it is over")?.0.as_second();
        let lasted = end - outage.start.0.as_second();
        ensure!(outage.target == "open" && (10..60).contains(&lasted), "{outage:?}");
        let seen = history.seen();
        ensure!(seen.iter().all(|(status, _)| *status == True), "nobody judged it, and it is over: {seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_the_leader_explains() -> Result<()> {
    play_alone(async |scene, _| {
        deploy(scene).await?;
        let leader = scene.nodes.leader()?;
        ensure!(
            scene.nodes.explain(&scene.name(CLIENT), "good").await?.contains("client"),
            "the leader explains"
        );
        let names = scene.nodes.operators().await?.into_iter().filter_map(|pod| pod.metadata.name);
        let standby = names.into_iter().find(|name| *name != leader).context("there is a standby")?;
        let place = Place::from_pod(SYSTEM, &standby);
        let mut client = scene.nodes.cluster.exec(&place, scene.nodes.cluster.program("testbed")?)?;
        let address = format!("http://127.0.0.1:8082/explain/{}/good", scene.name(CLIENT));
        let answer = printed(client.args(["http", &address]))?;
        ensure!(answer.starts_with("503 ") && answer.contains(&leader), "it names the leader: {answer}");
        Ok(())
    })
    .await
}
