//! Denial in every form: each deny mode, in each direction, on both nodes, seen by checks of both expectations.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use peerwalk_api::status::{Confidence, Outcome};
use peerwalk_api::{ConnectivityCheck, TargetStatus};
use peerwalk_cluster::Deny;
use peerwalk_e2e::object::{self, NODE_1, NODE_2, denied, to_dns, to_hub, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play_alone};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{client, names_policy, server};

/// Targets of the source that may send everywhere, and of the one that may reach only the hub and DNS.
const INGRESS: [&str; 2] = ["sealed-near", "sealed-far"];
const EGRESS: [&str; 2] = ["open-near", "open-far"];

/// For a walk of its own, after one that shared.
const EXPLAINED_WITHIN: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(500);

/// What a row has to say: its outcome and reason.
type Said = (Outcome, Option<&'static str>);

/// What checks have to say of a denied target on the source's own node, and on the other.
struct Expected {
    mode: Deny,
    reachable: Said,
    denied_near: Said,
    /// Of ingress; an answering pod of that node shows that the path is whole.
    denied_far: Said,
    /// Of egress, to servers that another source connects to.
    denied_egress: Said,
}

/// Two sources on one node, and on each node a server that admits everybody and one that admits nobody.
async fn deploy(scene: &Scene<'_>) -> Result<()> {
    let (sources, servers) = (scene.name(CLIENT), scene.name(SERVER));
    let mut objects = vec![client(scene), object::pod(&sources, "confined", NODE_1, &["pause"])];
    for (place, node) in [("near", NODE_1), ("far", NODE_2)] {
        objects.extend(server(scene, &format!("open-{place}"), node));
        objects.extend(server(scene, &format!("sealed-{place}"), node));
    }
    let sealed = json!({ "key": "app", "operator": "In", "values": INGRESS });
    let sealed = json!({ "podSelector": { "matchExpressions": [sealed] }, "policyTypes": ["Ingress"] });
    objects.push(object::policy(&servers, "sealed", &sealed));
    let confined = json!({
        "podSelector": { "matchLabels": { "app": "confined" } },
        "policyTypes": ["Egress"],
        "egress": [to_hub(), to_dns()],
    });
    objects.push(object::policy(&sources, "confined", &confined));
    scene.deploy(&objects).await
}

/// A check from one of the sources.
fn check(scene: &Scene<'_>, name: &str, source: &str, targets: &[Value]) -> Value {
    let mut check = object::check(&scene.name(CLIENT), name, targets);
    check["spec"]["source"]["podSelector"]["matchLabels"]["app"] = json!(source);
    check
}

fn targets(scene: &Scene<'_>, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| object::to_service(&scene.name(SERVER), name)).collect()
}

fn says(row: &TargetStatus, said: Said) -> bool {
    row.outcome == said.0 && (said.1.is_none() || row.reason.as_deref() == said.1)
}

/// Waits until every row of a check says what it has to.
async fn rows(scene: &Scene<'_>, name: &str, expected: &[(&str, Said)]) -> Result<ConnectivityCheck> {
    let expected: Vec<(String, Said)> =
        expected.iter().map(|(target, said)| ((*target).to_owned(), *said)).collect();
    scene
        .rows(name, &format!("says {expected:?}"), move |rows| {
            expected.iter().all(|(target, said)| {
                rows.iter().find(|row| row.name == *target).is_some_and(|row| says(row, *said))
            })
        })
        .await
}

async fn every_direction(expected: Expected) -> Result<()> {
    play_alone(async |scene, alone| {
        alone.deny(expected.mode)?;
        deploy(scene).await?;
        let all = [EGRESS, INGRESS].concat();
        let deny = |names: &[&str]| -> Vec<Value> { targets(scene, names).into_iter().map(denied).collect() };
        scene
            .apply(&[
                check(scene, "ingress", "client", &targets(scene, &all)),
                check(scene, "ingress-denied", "client", &deny(&INGRESS)),
                check(scene, "confined", "confined", &targets(scene, &all)),
                check(scene, "confined-denied", "confined", &deny(&all)),
            ])
            .await?;
        let good = (Outcome::AsExpected, None);
        let Expected { reachable, denied_near, denied_far, denied_egress, .. } = expected;
        let [near, far] = INGRESS;
        let [open_near, open_far] = EGRESS;
        let says = [(open_near, good), (open_far, good), (near, reachable), (far, reachable)];
        let check = rows(scene, "ingress", &says).await?;
        if expected.mode != Deny::None {
            names_policy(&check, near, (&scene.name(SERVER), "sealed"))?;
        }
        rows(scene, "ingress-denied", &[(near, denied_near), (far, denied_far)]).await?;
        let says = all.clone().into_iter().map(|name| (name, reachable)).collect::<Vec<_>>();
        rows(scene, "confined", &says).await?;
        // Nothing of the other node answers the confined source, unless the hub is there: silence of that node
        // may be a broken path, and is then not proven.
        let mut says = vec![(open_near, denied_egress), (near, denied_near)];
        if expected.mode != Deny::Drop {
            says.extend([(open_far, denied_egress), (far, denied_near)]);
        }
        let check = rows(scene, "confined-denied", &says).await?;
        if expected.mode != Deny::None {
            let rows = check.status.map(|status| status.targets).unwrap_or_default();
            let failed: Vec<_> = rows.iter().filter(|row| row.outcome == Outcome::Failed).collect();
            ensure!(failed.is_empty(), "expected nothing denied to be called reachable: {failed:?}");
        }
        Ok(())
    })
    .await
}

const DENIED: Said = (Outcome::Failed, Some("PolicyDenied"));
const PROVEN: Said = (Outcome::AsExpected, Some("PolicyDenied"));

/// Every denial is proven.
const PROVEN_IN: Expected = Expected {
    mode: Deny::Drop,
    reachable: DENIED,
    denied_near: PROVEN,
    denied_far: PROVEN,
    denied_egress: PROVEN,
};

impl Expected {
    fn with(self, mode: Deny) -> Self {
        Self { mode, ..self }
    }
}

#[tokio::test]
async fn every_direction_by_silence() -> Result<()> {
    every_direction(PROVEN_IN.with(Deny::Drop)).await
}

#[tokio::test]
async fn every_direction_by_port_unreachable() -> Result<()> {
    every_direction(PROVEN_IN.with(Deny::Reject)).await
}

#[tokio::test]
async fn every_direction_by_prohibition() -> Result<()> {
    every_direction(PROVEN_IN.with(Deny::Prohibited)).await
}

/// A closed port looks the same: the target's own sidecar says that it listens.
#[tokio::test]
async fn every_direction_by_reset() -> Result<()> {
    every_direction(PROVEN_IN.with(Deny::Reset)).await
}

#[tokio::test]
async fn every_direction_without_enforcement() -> Result<()> {
    let not_enforced = (Outcome::Failed, Some("PolicyNotEnforced"));
    every_direction(Expected {
        mode: Deny::None,
        reachable: (Outcome::AsExpected, None),
        denied_near: not_enforced,
        denied_far: not_enforced,
        denied_egress: not_enforced,
    })
    .await
}

/// An answer that the target's own sidecar has seen is what it takes to be sure that a policy is not enforced.
#[tokio::test]
async fn an_answer_confirms_that_nobody_enforces_the_policy() -> Result<()> {
    play_alone(async |scene, alone| {
        alone.deny(Deny::None)?;
        let mut objects = vec![client(scene)];
        objects.extend(server(scene, "sealed", NODE_2));
        objects.push(object::deny_ingress(&scene.name(SERVER)));
        scene.deploy(&objects).await?;
        let sealed = denied(object::to_service(&scene.name(SERVER), "sealed"));
        let sealed = with(sealed, &json!({ "http": { "path": "/" } }));
        scene.apply(&[check(scene, "sealed", "client", &[sealed])]).await?;
        scene
            .rows("sealed", "is sure that the policy is not enforced", |rows| {
                rows.iter().any(|row| {
                    says(row, (Outcome::Failed, Some("PolicyNotEnforced")))
                        && row.confidence == Some(Confidence::Confirmed)
                })
            })
            .await?;
        Ok(())
    })
    .await
}

/// Every ICMP error comes from the Service's address then, whoever sent it; the endpoints show who it is.
#[tokio::test]
async fn a_denial_is_the_same_through_the_services_address() -> Result<()> {
    play_alone(async |scene, alone| {
        let namespace = scene.name(SERVER);
        let sealed =
            json!({ "podSelector": { "matchLabels": { "app": "sealed" } }, "policyTypes": ["Ingress"] });
        let mut objects = vec![client(scene), object::policy(&namespace, "sealed", &sealed)];
        // One of that node has to answer, to show that the path is whole.
        objects.extend(server(scene, "open", NODE_2));
        let [pod, mut service] = server(scene, "sealed", NODE_2);
        service["spec"]["ports"][0]["port"] = json!(443);
        objects.extend([pod, service]);
        scene.deploy(&objects).await?;
        let address = scene.service_address(&namespace, "sealed").await?;
        let url = json!({ "name": "sealed", "url": format!("https://sealed.{namespace}.svc/") });
        for (mode, seen) in [
            (Deny::Drop, "no answer from".to_owned()),
            (Deny::Reject, format!("ICMP 3/3 from {address}")),
            (Deny::Prohibited, format!("ICMP 3/13 from {address}")),
            (Deny::Reset, "refused by a TCP reset".to_owned()),
        ] {
            alone.deny(mode)?;
            let name = format!("by-{mode:?}").to_lowercase();
            scene.apply(&[check(scene, &name, "client", std::slice::from_ref(&url))]).await?;
            let proven =
                |row: &TargetStatus| says(row, DENIED) && row.confidence == Some(Confidence::Confirmed);
            let check = scene.rows(&name, "is sure of the denial", |rows| rows.iter().any(proven)).await?;
            names_policy(&check, "sealed", (&namespace, "sealed"))?;
            explained(scene, &name, &seen).await?;
        }
        Ok(())
    })
    .await
}

/// Waits until this is explained of a check: its first walk may share what that of another check found a moment before.
async fn explained(scene: &Scene<'_>, check: &str, words: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let explanation = scene.nodes.explain(&scene.name(CLIENT), check).await?;
        if explanation.contains(words) {
            return Ok(());
        }
        ensure!(begun.elapsed() < EXPLAINED_WITHIN, "expected {words:?} of {check}: {explanation}");
        sleep(LOOK).await;
    }
}
