//! The rights that the chart gives the operator, held against the API server's audit log: each is used, and nothing
//! that it asked for was refused.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Api, ObjectMeta};
use peerwalk_api::ConditionStatus::{False, True};
use peerwalk_e2e::nodes::{SYSTEM, printed};
use peerwalk_e2e::object::{self, NODE_1, NODE_2, to_service, with};
use peerwalk_e2e::scene::{CLIENT, SERVER, Scene, play};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const OPERATOR: &str = "system:serviceaccount:peerwalk-system:peerwalk";
/// What is used rarely is used by then.
const WITHIN: Duration = Duration::from_mins(1);

/// One verb on one resource, of one name where the rule says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    group: String,
    resource: String,
    name: Option<String>,
}

/// What rules of a role grant.
fn granted(role: &ObjectMeta, rules: Option<Vec<PolicyRule>>) -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for rule in rules.with_context(|| format!("role {:?} has no rules", role.name))? {
        let names: Vec<Option<String>> = match rule.resource_names {
            Some(names) if !names.is_empty() => names.into_iter().map(Some).collect(),
            _ => vec![None],
        };
        for verb in &rule.verbs {
            for (group, resource) in rule
                .api_groups
                .iter()
                .flatten()
                .flat_map(|group| rule.resources.iter().flatten().map(move |resource| (group, resource)))
            {
                rights.extend(names.iter().map(|name| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                }));
            }
        }
    }
    Ok(rights)
}

/// A request of the operator in the audit log: the right that it takes, and whether it was refused after it had its
/// roles. Another test removes them together with the operator, which asks to the end.
fn request(line: &str, since: &str) -> Option<(Right, bool)> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let what = entry.get("objectRef").filter(|_| entry["user"]["username"] == OPERATOR)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let resource = text(&what["resource"])?;
    let right = Right {
        verb: text(&entry["verb"])?,
        group: text(&what["apiGroup"]).unwrap_or_default(),
        resource: text(&what["subresource"]).map_or(resource.clone(), |part| format!("{resource}/{part}")),
        name: text(&what["name"]),
    };
    // An answer of 403 may also come of a namespace that ends, in which nothing can be made.
    let refused = entry["annotations"]["authorization.k8s.io/decision"] == "forbid";
    // Both are times of RFC 3339 in UTC, which sort as text.
    let later = entry["requestReceivedTimestamp"].as_str().is_some_and(|at| at > since);
    Some((right, refused && later))
}

/// Everything that makes the operator use what it uses seldom: a new root of the hub, a check's own roots, and an event
/// that repeats.
async fn use_all(scene: &Scene<'_>) -> Result<()> {
    // Pods of the old root go on verifying the hub: this disturbs no other test.
    let rotate = ["annotate", "--overwrite", "secret", "peerwalk-ca", "peerwalk.dev/rotate-hub-root=now"];
    printed(scene.nodes.cluster.kubectl().args(["-n", SYSTEM]).args(rotate))?;
    let (client, server) = (scene.name(CLIENT), scene.name(SERVER));
    let roots = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "roots", "namespace": client },
        "data": { "ca.crt": "none" },
    });
    let service = object::service(&server, "open", "open", &json!(8080));
    let objects = [
        object::pod(&client, "client", NODE_1, &["pause"]),
        object::pod(&server, "open", NODE_2, &["serve"]),
    ];
    scene.deploy(&[&objects[..], &[service, roots]].concat()).await?;
    let url = json!({
        "name": "url", "url": format!("https://open.{server}.svc:80/"),
        "tls": { "caBundle": { "configMap": { "name": "roots", "key": "ca.crt" } } },
    });
    let swings = with(to_service(&server, "open"), &json!({}));
    scene
        .apply(&[object::check(&client, "roots", &[url]), object::check(&client, "swings", &[swings])])
        .await?;
    let denial = object::deny_ingress(&server);
    for _ in 0..2 {
        scene.verdict("swings", True, "AsExpected").await?;
        scene.apply(std::slice::from_ref(&denial)).await?;
        scene.verdict("swings", False, "PolicyDenied").await?;
        scene.delete(&denial).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_right_is_used_and_no_other_is_asked_for() -> Result<()> {
    play(async |scene| {
        use_all(scene).await?;
        let client = scene.nodes.client.clone();
        let everywhere = Api::<ClusterRole>::all(client.clone()).get("peerwalk").await?;
        let at_home = Api::<Role>::namespaced(client, SYSTEM).get("peerwalk").await?;
        let made = at_home.metadata.creation_timestamp.as_ref().context("a role has its time")?.0.to_string();
        let mut rights = granted(&everywhere.metadata, everywhere.rules)?;
        rights.extend(granted(&at_home.metadata, at_home.rules)?);
        let begun = Instant::now();
        loop {
            let log = scene.nodes.cluster.audit_log()?;
            let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
            let requests: Vec<(Right, bool)> = text.lines().filter_map(|line| request(line, &made)).collect();
            let refused: BTreeSet<&Right> =
                requests.iter().filter(|(_, refused)| *refused).map(|(right, _)| right).collect();
            if !refused.is_empty() {
                bail!("the operator asked for what it may not: {refused:#?}");
            }
            let uses = |right: &Right| {
                requests.iter().any(|(used, _)| {
                    (&used.verb, &used.group, &used.resource) == (&right.verb, &right.group, &right.resource)
                        && right.name.as_ref().is_none_or(|name| used.name.as_ref() == Some(name))
                })
            };
            let unused: Vec<&Right> = rights.iter().filter(|right| !uses(right)).collect();
            if unused.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > WITHIN {
                bail!("rights that the operator has and never used: {unused:#?}");
            }
            sleep(Duration::from_millis(500)).await;
        }
    })
    .await
}
