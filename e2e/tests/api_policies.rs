//! Policies of the cluster as a real operator has them: found by discovery, watched with the rights that the chart gives,
//! and deciding from when they are made until they are deleted.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GetParams, Patch, PatchParams, Request};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use peerwalk_e2e::crd::{self, CLUSTER_POLICIES};
use peerwalk_e2e::object::unscheduled;
use peerwalk_e2e::process::Operator;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const NAMESPACE: &str = "policies";
/// For the operator to have heard of something.
const WITHIN: Duration = Duration::from_secs(30);

fn resource((group, version, kind, plural): crd::Kind<'_>) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Puts an object into the namespace, and its status.
async fn put(client: &Client, resource: &ApiResource, object: &Value) -> Result<()> {
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let name = object["metadata"]["name"].as_str().context("a name")?;
    let apply = PatchParams::apply("peerwalk-e2e").force();
    api.patch(name, &apply, &Patch::Apply(object))
        .await
        .with_context(|| format!("{} {name}", resource.kind))?;
    if let Some(status) = object.get("status") {
        let status = json!({ "apiVersion": resource.api_version, "kind": resource.kind, "status": status });
        api.patch_status(name, &apply, &Patch::Apply(status))
            .await
            .with_context(|| format!("{name}'s status"))?;
    }
    Ok(())
}

fn of_core(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind))
}

/// A client pod, a database pod behind a Service, and a check of the way between them.
async fn fill(client: &Client) -> Result<()> {
    let in_namespace = |name: &str| json!({ "namespace": NAMESPACE, "name": name });
    put(client, &of_core("Namespace"), &json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE, "labels": { "team": "back" } },
    }))
    .await?;
    let account =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": in_namespace("default") });
    put(client, &of_core("ServiceAccount"), &account).await?;
    for (name, ip) in [("client", "10.244.0.9"), ("db", "10.244.0.10")] {
        let mut pod = unscheduled(NAMESPACE, name, name);
        pod["status"] = json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] });
        put(client, &of_core("Pod"), &pod).await?;
    }
    put(
        client,
        &of_core("Service"),
        &json!({
            "apiVersion": "v1", "kind": "Service", "metadata": in_namespace("db"),
            "spec": { "ports": [{ "name": "sql", "port": 5432 }] },
        }),
    )
    .await?;
    let slices = ApiResource::from_gvk(&GroupVersionKind::gvk("discovery.k8s.io", "v1", "EndpointSlice"));
    let mut metadata = in_namespace("db-1");
    metadata["labels"] = json!({ "kubernetes.io/service-name": "db" });
    put(client, &slices, &json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
        "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
        "endpoints": [{ "addresses": ["10.244.0.10"], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": NAMESPACE, "name": "db" } }],
    }))
    .await?;
    let checks =
        ApiResource::from_gvk(&GroupVersionKind::gvk("peerwalk.dev", "v1alpha1", "ConnectivityCheck"));
    put(client, &checks, &json!({
        "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck", "metadata": in_namespace("db"),
        "spec": {
            "source": { "podSelector": { "matchLabels": { "app": "client" } } },
            "targets": [{ "name": "db", "service": { "name": "db", "port": 5432 } }],
        },
    }))
    .await
}

/// Asks the operator until the present decision of the way is as expected, and gives it.
async fn decided(verdict: &str) -> Result<Value> {
    let explain = Client::try_from(Config::new("http://127.0.0.1:8082".parse()?))?;
    let mut last = String::new();
    let asking = async {
        loop {
            let mut request = Request::new("/explain").get("db", &GetParams::default())?;
            *request.uri_mut() = format!("/explain/{NAMESPACE}/db?output=json").parse()?;
            // Before it has judged for the first time it knows no such check.
            if let Ok(text) = explain.request_text(request).await {
                let known: Value = serde_json::from_str(&text).context("no JSON")?;
                let history = &known["sources"][0]["endpoints"][0]["history"];
                let decision = history.as_array().and_then(|all| all.last()).map(|last| &last["decision"]);
                let settled = known["unreadablePolicyKinds"] == json!([]);
                if let Some(decision) = decision.filter(|decision| settled && decision["verdict"] == verdict)
                {
                    return anyhow::Ok(decision.clone());
                }
                last = text;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let answer = timeout(WITHIN, asking).await;
    answer.with_context(|| format!("never {verdict}, but: {last}"))?
}

/// A policy of each kind that lets nobody in, in turn.
async fn each_kind_decides(client: &Client) -> Result<()> {
    let rule = json!([{ "name": "nobody", "action": "Deny", "from": [{ "namespaces": {} }] }]);
    let subject = json!({ "namespaces": { "matchLabels": { "team": "back" } } });
    let specs = [
        json!({ "tier": "Admin", "priority": 1, "subject": subject, "ingress": rule }),
        json!({ "priority": 1, "subject": subject, "ingress": rule }),
        json!({ "subject": subject, "ingress": rule }),
    ];
    for (kind, spec) in CLUSTER_POLICIES.into_iter().zip(specs) {
        let resource = resource(kind);
        let policy = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": { "name": "default" }, "spec": spec,
        });
        decided("allowed").await.with_context(|| format!("before there is a {}", resource.kind))?;
        put(client, &resource, &policy).await?;
        let decision = decided("denied").await.with_context(|| format!("by {}", resource.kind))?;
        let ingress = decision["ingress"].to_string();
        ensure!(ingress.contains(&resource.kind), "the {} is named: {decision}", resource.kind);
        let policies: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        policies.delete("default", &DeleteParams::default()).await?;
    }
    decided("allowed").await.context("when all are gone")?;
    Ok(())
}

#[tokio::test]
async fn policies_of_the_cluster_decide_while_they_are_there() -> Result<()> {
    let Some((client, _)) = crd::own_cluster().await? else { return Ok(()) };
    for kind in CLUSTER_POLICIES {
        crd::serve(&client, kind, "Cluster").await?;
    }
    let result = async {
        let operator = Operator::start().await?.context("the cluster is our own")?;
        fill(&operator.client).await?;
        each_kind_decides(&operator.client).await
    };
    let result = result.await;
    // Other tests ask what is served.
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (group, _, _, plural) in CLUSTER_POLICIES {
        crds.delete(&format!("{plural}.{group}"), &DeleteParams::default()).await?;
    }
    Api::<Namespace>::all(client).delete(NAMESPACE, &DeleteParams::default()).await?;
    result
}
