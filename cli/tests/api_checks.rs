//! `peerwalk status` and `peerwalk wait` as programs against a real API server, with statuses that the test writes in the
//! operator's place.

#[path = "support/ask.rs"]
mod ask;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ask::{Asked, peerwalk, peerwalk_as, start, start_as};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use peerwalk_api::ConnectivityCheck;
use peerwalk_e2e::crd;
use serde_json::{Value, json};
use tokio::time::timeout;

/// For something to come about that must.
const WITHIN: Duration = Duration::from_secs(30);

/// A namespace with a check `storefront` in it, both gone in the end.
async fn with_check(name: &str, test: impl AsyncFnOnce(&Shop) -> Result<()>) -> Result<()> {
    let Some(client) = crd::client().await? else { return Ok(()) };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    namespaces.create(&PostParams::default(), &namespace).await.context("a namespace")?;
    let checks: Api<ConnectivityCheck> = Api::namespaced(client.clone(), name);
    let check = json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
        "metadata": { "name": "storefront", "namespace": name },
        "spec": {
            "source": { "podSelector": { "matchLabels": { "app": "web" } } },
            "targets": [{ "name": "catalog", "service": { "name": "catalog", "port": "http" } }],
        },
    });
    checks.create(&PostParams::default(), &serde_json::from_value(check)?).await.context("a check")?;
    let result = test(&Shop { client, checks, namespace: name.to_owned() }).await;
    namespaces.delete(name, &DeleteParams::default()).await.context("cannot delete the namespace")?;
    result
}

struct Shop {
    client: Client,
    checks: Api<ConnectivityCheck>,
    namespace: String,
}

impl Shop {
    /// Writes a status as the operator does, Ready as given.
    async fn says(&self, check: &str, generation: i64, ready: &str, at: &str) -> Result<()> {
        let (reason, result) = match ready {
            "True" => ("AsExpected", "AsExpected"),
            "False" => ("PolicyDenied", "Failed"),
            _ => ("Probing", "Unknown"),
        };
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "lastTransitionTime": at,
                "observedGeneration": generation, "message": format!("{type_} in words"),
            })
        };
        let status = json!({
            "observedGeneration": generation,
            "since": at,
            "result": result,
            "conditions": [
                condition("Ready", ready, reason),
                condition("Covered", "True", "AllReporting"),
                condition("Reconciling", "False", "Settled"),
                condition("Stalled", "False", "Progressing"),
            ],
            "summary": {
                "pods": 1, "reporting": 1, "targets": 1, "pairs": 1, "asExpected": 0, "failed": 1, "unknown": 0,
                "ok": "0/1",
            },
        });
        let patch =
            json!({ "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck", "status": status });
        let apply = PatchParams::apply("peerwalk").force();
        self.checks.patch_status(check, &apply, &Patch::Apply(patch)).await.context("a status")?;
        Ok(())
    }

    async fn wait(&self, more: &[&str]) -> Result<Asked> {
        let check = format!("{}/storefront", self.namespace);
        peerwalk(&[&["wait", &check, "--for", "ready"], more].concat()).await
    }

    /// The copy that is walked anew, once it is there.
    async fn copy(&self) -> Result<String> {
        let looking = async {
            loop {
                let list = self.checks.list_metadata(&ListParams::default()).await?;
                let names = list.items.into_iter().filter_map(|check| check.metadata.name);
                if let Some(copy) = names.into_iter().find(|name| name.starts_with("storefront-fresh-")) {
                    return Ok(copy);
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(WITHIN, looking).await.context("no copy of the check is made")?
    }

    /// How many checks there are.
    async fn count(&self) -> Result<usize> {
        Ok(self.checks.list_metadata(&ListParams::default()).await?.items.len())
    }
}

const THEN: &str = "2026-11-23T01:00:00Z";
const LATER: &str = "2026-11-23T01:00:09Z";

#[tokio::test]
async fn a_check_is_waited_for_until_it_says_so_of_its_present_generation() -> Result<()> {
    with_check("cli-wait", async |shop| {
        let asked = shop.wait(&["--timeout", "1s"]).await?;
        ensure!(asked.code == 2 && asked.out.contains("no operator has judged"), "nobody judged: {asked:?}");

        shop.says("storefront", 1, "True", THEN).await?;
        let asked = shop.wait(&[]).await?;
        ensure!(asked.code == 0 && asked.out.contains("ready: Ready in words"), "ready: {asked:?}");

        shop.says("storefront", 1, "False", THEN).await?;
        let asked = shop.wait(&[]).await?;
        ensure!(
            asked.code == 1 && asked.out.contains("failed: PolicyDenied: Ready in words"),
            "failed: {asked:?}"
        );

        shop.says("storefront", 1, "Unknown", THEN).await?;
        let asked = shop.wait(&["--timeout", "1s"]).await?;
        ensure!(asked.code == 2 && asked.out.contains("Probing"), "unknown: {asked:?}");
        ensure!(asked.error.contains("waiting: Probing: Ready in words"), "what is waited for: {asked:?}");

        // Another generation, of which nothing is said while the old status stands.
        let patch = json!({ "spec": { "interval": "30s" } });
        shop.says("storefront", 1, "True", THEN).await?;
        shop.checks.patch("storefront", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let check = format!("{}/storefront", shop.namespace);
        let mut waiting = start(&["wait", &check, "--timeout", "30s"])?;
        waiting.says("generation 2 has not been judged").await?;
        shop.says("storefront", 2, "True", LATER).await?;
        let asked = waiting.ended().await?;
        ensure!(asked.code == 0, "ready again: {asked:?}");

        let asked = peerwalk(&["wait", "none", "-n", &shop.namespace, "--timeout", "5s"]).await?;
        ensure!(asked.code == 2 && asked.error.contains("there is no ConnectivityCheck"), "{asked:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn fresh_is_what_a_copy_says_that_is_gone_afterwards() -> Result<()> {
    with_check("cli-fresh", async |shop| {
        shop.says("storefront", 1, "True", THEN).await?;
        let check = format!("{}/storefront", shop.namespace);
        for (ready, code) in [("True", 0), ("False", 1)] {
            let waiting = start(&["wait", &check, "--fresh", "--timeout", "30s"])?;
            let copy = shop.copy().await?;
            shop.says(&copy, 1, ready, LATER).await?;
            let asked = waiting.ended().await?;
            ensure!(asked.code == code, "the copy is {ready}: {asked:?}");
            ensure!(shop.count().await? == 1, "the copy is gone");
        }
        let asked = shop.wait(&["--fresh", "--timeout", "2s"]).await?;
        ensure!(asked.code == 2, "the old word does not count: {asked:?}");
        ensure!(shop.count().await? == 1, "the copy is gone after a time-out too");

        let mut waiting = start(&["wait", &check, "--fresh", "--timeout", "60s"])?;
        waiting.says("waiting:").await?;
        waiting.terminate()?;
        let asked = waiting.ended().await?;
        ensure!(asked.code == 2 && asked.out.contains("interrupted"), "{asked:?}");
        ensure!(shop.count().await? == 1, "the copy is gone after a signal too");
        Ok(())
    })
    .await
}

/// A role that may read checks, for a user without any other right.
async fn reader(client: &Client, user: &str) -> Result<()> {
    let rules = json!([{ "apiGroups": ["peerwalk.dev"], "resources": ["connectivitychecks"], "verbs": ["get", "list", "watch"] }]);
    ask::grant(client, user, &rules).await
}

#[tokio::test]
async fn without_the_right_to_make_a_copy_a_change_counts_and_nothing_else() -> Result<()> {
    with_check("cli-reader", async |shop| {
        let user = "cli-reader";
        reader(&shop.client, user).await?;
        let check = format!("{}/storefront", shop.namespace);
        shop.says("storefront", 1, "True", THEN).await?;
        let mut waiting = start_as(user, &["wait", &check, "--fresh", "--timeout", "30s"])?;
        waiting.says("as it was before this began").await?;
        shop.says("storefront", 1, "Unknown", LATER).await?;
        waiting.says("waiting: Probing").await?;
        shop.says("storefront", 1, "True", "2026-11-23T01:00:12Z").await?;
        let asked = waiting.ended().await?;
        ensure!(asked.code == 0, "it became ready meanwhile: {asked:?}");

        let asked = peerwalk_as("cli-nobody", &["wait", &check, "--timeout", "5s"]).await?;
        ensure!(
            asked.code == 2 && asked.error.contains("kubectl auth can-i get connectivitychecks"),
            "{asked:?}"
        );
        ask::revoke(&shop.client, user).await
    })
    .await
}

#[tokio::test]
async fn checks_are_shown_one_a_line_and_one_with_everything() -> Result<()> {
    with_check("cli-status", async |shop| {
        shop.says("storefront", 1, "False", THEN).await?;
        let asked = peerwalk(&["status", "-n", &shop.namespace]).await?;
        let line = asked.out.lines().nth(1).unwrap_or_default().to_owned();
        for word in ["storefront", "False", "PolicyDenied", "0/1", "Ready in words"] {
            ensure!(line.contains(word), "expected {word}: {asked:?}");
        }
        ensure!(!asked.out.contains('\u{1b}'), "no colours where nobody sees them: {asked:?}");

        let asked = peerwalk(&["status", "-A"]).await?;
        ensure!(asked.out.starts_with("NAMESPACE") && asked.out.contains("cli-status"), "{asked:?}");

        let asked = peerwalk(&["status", "storefront", "-n", &shop.namespace]).await?;
        for words in [
            "Ready False PolicyDenied, since 2026-11-23T01:00:00Z",
            "To do: If the connection is wanted",
            "Covered",
        ] {
            ensure!(asked.out.contains(words), "expected {words}: {asked:?}");
        }
        for format in ["json", "yaml"] {
            let asked = peerwalk(&["status", "-n", &shop.namespace, "-o", format]).await?;
            let read: Value = serde_saphyr::from_str(&asked.out)?;
            let check = &read["checks"][0];
            ensure!(check["name"] == "storefront" && check["current"] == true, "{format}: {asked:?}");
            ensure!(check["status"]["conditions"][0]["reason"] == "PolicyDenied", "{format}: {asked:?}");
        }
        Ok(())
    })
    .await
}
