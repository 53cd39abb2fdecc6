//! The live cluster as a source: with every right it gives what files of the same objects give, and without some it says
//! which are missing and takes nothing for certain that they would decide.

#[path = "support/ask.rs"]
mod ask;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Request};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt as _};
use peerwalk_cli::connect::Server;
use peerwalk_cli::live::{self, Live, remedy};
use peerwalk_cli::progress::Progress;
use peerwalk_e2e::crd;
use peerwalk_e2e::object::unscheduled;
use peerwalk_manifests::{Cluster, Reader, WorkloadName};
use peerwalk_netpol::{Caveat, Flow, Peer, PolicyIndex, Profile, Protocol, evaluate};
use serde_json::{Value, json};
use tokio::time::timeout;

const SHOP: &str = "cli-live-shop";
const LEDGER: &str = "cli-live-ledger";
/// For something to come about that must.
const WITHIN: Duration = Duration::from_secs(30);
/// The lists that stand for `kubectl get -A -o json`.
const PATHS: [&str; 8] = [
    "/api/v1/namespaces",
    "/api/v1/nodes",
    "/api/v1/pods",
    "/api/v1/services",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/apps/v1/replicasets",
    "/apis/batch/v1/jobs",
    "/apis/networking.k8s.io/v1/networkpolicies",
];

/// Puts an object into the cluster, and its status.
async fn put(client: &Client, object: &Value) -> Result<Value> {
    put_as(client, object, None).await
}

/// The same, of a kind whose plural is no plain one.
async fn put_as(client: &Client, object: &Value, plural: Option<&str>) -> Result<Value> {
    let word = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (word("apiVersion"), word("kind"));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let gvk = kube::core::GroupVersionKind::gvk(group, version, &kind);
    let mut resource = ApiResource::from_gvk(&gvk);
    if let Some(plural) = plural {
        plural.clone_into(&mut resource.plural);
    }
    let name = object["metadata"]["name"].as_str().context("a name")?;
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let apply = PatchParams::apply("peerwalk-cli-tests").force();
    let put =
        api.patch(name, &apply, &Patch::Apply(object)).await.with_context(|| format!("{kind} {name}"))?;
    if let Some(status) = object.get("status") {
        let status = json!({ "apiVersion": object["apiVersion"], "kind": kind, "status": status });
        api.patch_status(name, &apply, &Patch::Apply(status))
            .await
            .with_context(|| format!("status of {name}"))?;
    }
    Ok(serde_json::to_value(put)?)
}

fn pod(namespace: &str, name: &str, app: &str) -> Value {
    let mut pod = unscheduled(namespace, name, app);
    pod["metadata"]["labels"]["pod-template-hash"] = json!("5d4");
    pod["spec"]["containers"][0]["ports"] = json!([{ "name": "web", "containerPort": 8080 }]);
    pod
}

fn running(ip: &str) -> Value {
    json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] })
}

fn owner(of: &Value) -> Value {
    let (version, kind, metadata) = (&of["apiVersion"], &of["kind"], &of["metadata"]);
    json!({ "apiVersion": version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true })
}

fn replica_set(name: &str, app: &str, owner: Option<Value>) -> Value {
    let pod = pod(SHOP, name, app);
    let template = json!({ "metadata": { "labels": pod["metadata"]["labels"] }, "spec": pod["spec"] });
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "namespace": SHOP, "name": name },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": app } }, "template": template },
    });
    if let Some(owner) = owner {
        set["metadata"]["ownerReferences"] = json!([owner]);
    }
    set
}

/// Puts the ReplicaSet into the cluster and lets its pod run. The pod is the one that the controller makes: of one
/// made beside it either could be deleted as one too many.
async fn put_with_its_pod(client: &Client, set: &Value, ip: &str) -> Result<()> {
    put(client, set).await?;
    let name = set["metadata"]["name"].as_str().context("a name")?;
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), SHOP);
    let made = await_condition(sets, name, |set: Option<&ReplicaSet>| {
        set.and_then(|set| set.status.as_ref()).is_some_and(|status| status.replicas == 1)
    });
    timeout(WITHIN, made).await.with_context(|| format!("{name} has no pod"))??;
    let app = set["spec"]["selector"]["matchLabels"]["app"].as_str().context("a label")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SHOP);
    let of_set = pods.list(&ListParams::default().labels(&format!("app={app}"))).await?.items;
    let [pod] = of_set.as_slice() else { bail!("one pod of {name}: {of_set:?}") };
    let status = json!({ "apiVersion": "v1", "kind": "Pod", "status": running(ip) });
    let apply = PatchParams::apply("peerwalk-cli-tests").force();
    pods.patch_status(&pod.name_any(), &apply, &Patch::Apply(status)).await?;
    Ok(())
}

/// Waits for what other tests have deleted to be gone: it would be in one reading and not in the next.
async fn settled(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in namespaces.list(&ListParams::default()).await? {
        if namespace.metadata.deletion_timestamp.is_some() {
            let (name, uid) = (namespace.name_any(), namespace.uid().context("a uid")?);
            let gone = await_condition(namespaces.clone(), &name, conditions::is_deleted(&uid));
            timeout(WITHIN, gone).await.with_context(|| format!("{name} is not deleted"))??;
        }
    }
    Ok(())
}

/// Two namespaces with pods of every kind of owner, a Service and policies.
async fn fill(client: &Client) -> Result<()> {
    for (name, team) in [(SHOP, "front"), (LEDGER, "back")] {
        put(client, &json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "team": team } },
        }))
        .await?;
        let account = json!({ "namespace": name, "name": "default" });
        put(client, &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account })).await?;
    }
    put(client, &json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "cli-live-node", "labels": { "zone": "a" } },
        "status": { "addresses": [{ "type": "InternalIP", "address": "172.18.0.2" }] },
    }))
    .await?;
    // Of a kind that is not served, so that nobody looks after it.
    let rollout = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web", "uid": "r" } });
    put_with_its_pod(client, &replica_set("web-5d4", "web", Some(owner(&rollout))), "10.244.0.11").await?;
    put_with_its_pod(client, &replica_set("alone", "alone", None), "10.244.0.12").await?;
    let mut database = pod(LEDGER, "db", "db");
    database["status"] = running("10.244.0.21");
    put(client, &database).await?;
    put(client, &json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": LEDGER, "name": "db" },
        "spec": { "selector": { "app": "db" }, "ports": [{ "name": "sql", "port": 5432, "targetPort": "web" }] },
    }))
    .await?;
    let labels = json!({ "kubernetes.io/service-name": "db" });
    put(
        client,
        &json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "namespace": LEDGER, "name": "db-1", "labels": labels },
            "addressType": "IPv4", "ports": [{ "name": "sql", "port": 8080, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["10.244.0.21"], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "namespace": LEDGER, "name": "db" } }],
        }),
    )
    .await?;
    let front = json!({ "namespaceSelector": { "matchLabels": { "team": "front" } } });
    put(
        client,
        &json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "namespace": LEDGER, "name": "db" },
            "spec": { "podSelector": {}, "ingress": [{ "from": [front], "ports": [{ "port": "web" }] }] },
        }),
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_read_of_a_live_cluster() -> Result<()> {
    let Some(client) = crd::connect().await? else { return Ok(()) };
    settled(&client).await?;
    fill(&client).await?;
    // What is read is the whole cluster: one after the other.
    let result = async {
        with_every_right_it_is_what_files_of_the_same_objects_give(&client).await?;
        without_policies_nothing_is_certain_that_one_could_turn(&client).await?;
        with_rights_in_one_namespace_it_knows_that_one(&client).await?;
        policies_of_other_kinds_count_where_there_are_any(&client).await?;
        policies_of_the_cluster_decide(&client).await
    };
    let result = result.await;
    for name in ["ciliumnetworkpolicies.cilium.io", "clusternetworkpolicies.policy.networking.k8s.io"] {
        // Where a test failed before, there is none.
        let _ =
            Api::<CustomResourceDefinition>::all(client.clone()).delete(name, &DeleteParams::default()).await;
    }
    for namespace in [SHOP, LEDGER] {
        Api::<Namespace>::all(client.clone()).delete(namespace, &DeleteParams::default()).await?;
    }
    let node = Request::new("/api/v1/nodes").delete("cli-live-node", &DeleteParams::default())?;
    client.request::<Value>(node).await?;
    result
}

async fn read_as(user: Option<&str>, namespace: Option<&str>) -> Result<Live> {
    let kubeconfig = user.map(ask::kubeconfig_of).transpose()?;
    let context = std::env::var("PEERWALK_CONTEXT").ok().filter(|context| !context.is_empty());
    let session = Server { kubeconfig: kubeconfig.clone(), context }.session(namespace).await?;
    let live = live::read(&session, Reader::default(), &mut Progress::default()).await;
    if let Some(file) = kubeconfig {
        std::fs::remove_file(file)?;
    }
    live
}

/// The same objects as text.
async fn of_files(client: &Client) -> Result<Cluster> {
    let mut reader = Reader::default();
    for path in PATHS {
        let request = Request::new(path).list(&ListParams::default())?;
        reader.text(path, client.request_text(request).await?.as_bytes());
    }
    Ok(reader.finish())
}

/// Everything of a cluster, but where it was read.
fn shown(cluster: &Cluster) -> String {
    let Cluster { namespaces, workloads, nodes, services, policies, cluster_policies, unreadable, .. } =
        cluster;
    format!(
        "{namespaces:#?}\n{workloads:#?}\n{nodes:#?}\n{services:#?}\n{policies:#?}\n{cluster_policies:#?}\n{unreadable:#?}"
    )
}

/// What is decided of the web pod's way to the database, if both are known.
fn web_to_db(cluster: &Cluster) -> Option<Vec<Caveat>> {
    let end = |ip: IpAddr| {
        let mut pods = cluster.workloads.iter().flat_map(|workload| &workload.pods);
        pods.find(|pod| pod.ips.contains(&ip)).map(|pod| Peer::pod(Arc::clone(pod), ip))
    };
    let flow = Flow {
        source: end([10, 244, 0, 11].into())?,
        destination: end([10, 244, 0, 21].into())?,
        protocol: Protocol::Tcp,
        // No rule admits it, so that other policies might.
        port: 8081,
        service: None,
    };
    let index = PolicyIndex::new(cluster.namespaces.clone(), cluster.policies.clone());
    let index = index.with_unreadable(cluster.unreadable.clone());
    Some(evaluate(&index, &flow, &Profile::default()).caveats.into_iter().collect())
}

async fn with_every_right_it_is_what_files_of_the_same_objects_give(client: &Client) -> Result<()> {
    let (live, files) = (read_as(None, None).await?, of_files(client).await?);
    ensure!(live.missing.is_empty(), "nothing is missing: {:?}", live.missing);
    let names: Vec<&WorkloadName> = live.cluster.workloads.iter().map(|workload| &workload.name).collect();
    for name in
        ["cli-live-shop/web (Rollout)", "cli-live-shop/alone (ReplicaSet)", "cli-live-ledger/db (Pod)"]
    {
        ensure!(names.iter().any(|found| found.to_string() == name), "expected {name} among {names:?}");
    }
    ensure!(
        !live.cluster.policies.is_empty() && !live.cluster.services.is_empty(),
        "{}",
        shown(&live.cluster)
    );
    let (live, files) = (shown(&live.cluster), shown(&files));
    ensure!(live == files, "of the cluster:\n{live}\nof files:\n{files}");
    Ok(())
}

async fn without_policies_nothing_is_certain_that_one_could_turn(client: &Client) -> Result<()> {
    let user = "cli-live-no-policies";
    let all_but_policies = json!([
        { "apiGroups": [""], "resources": ["namespaces", "nodes", "pods", "services"], "verbs": ["list"] },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"] },
        { "apiGroups": ["apps", "batch"], "resources": ["replicasets", "jobs"], "verbs": ["list"] },
    ]);
    ask::grant(client, user, &all_but_policies).await?;
    let live = read_as(Some(user), None).await;
    let explained = ask::peerwalk_as(user, &EXPLAIN).await;
    let linted = ask::peerwalk_as(user, &["lint"]).await;
    let listed = ask::peerwalk_as(user, &["matrix"]).await;
    ask::revoke(client, user).await?;
    let (live, explained, linted, listed) = (live?, explained?, linted?, listed?);
    let missing: Vec<&str> = live.missing.iter().map(|missing| missing.kind.as_str()).collect();
    ensure!(missing == ["NetworkPolicy"], "exactly that is missing: {:?}", live.missing);
    ensure!(web_to_db(&live.cluster) == Some(vec![Caveat::UnreadablePolicy]), "{}", shown(&live.cluster));
    ensure!(web_to_db(&read_as(None, None).await?.cluster) == Some(vec![]), "with the right it is certain");
    let role = remedy(&live.missing);
    ensure!(
        role.contains("apiGroups: [\"networking.k8s.io\"]\n  resources: [\"networkpolicies\"]"),
        "{role}"
    );
    ensure!(explained.code == 3, "{explained:?}");
    ensure!(explained.error.contains("networkpolicies.networking.k8s.io cannot be listed"), "{explained:?}");
    ensure!(linted.code == 2 && linted.error.contains("not all of the cluster may be read"), "{linted:?}");
    ensure!(listed.code == 3 && listed.error.contains("undecided: this holds only where none"), "{listed:?}");
    let listed = ask::peerwalk(&["matrix", "-n", LEDGER]).await?;
    ensure!(listed.code == 0 && listed.out.contains("cli-live-ledger/db"), "{listed:?}");
    Ok(())
}

async fn with_rights_in_one_namespace_it_knows_that_one(client: &Client) -> Result<()> {
    let user = "cli-live-one-namespace";
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list"] },
        { "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"] },
    ]);
    ask::grant_in(client, LEDGER, user, &rules).await?;
    let live = read_as(Some(user), Some(LEDGER)).await?;
    for kind in ["Namespace", "Node", "Pod", "Service", "EndpointSlice", "ReplicaSet", "Job", "NetworkPolicy"]
    {
        ensure!(!live.has_all(kind), "{kind} is not whole: {:?}", live.missing);
    }
    let only: Vec<&str> = live.missing.iter().filter_map(|missing| missing.only.as_deref()).collect();
    ensure!(only == [LEDGER; 3], "three kinds are read there: {:?}", live.missing);
    let names: Vec<String> = live.cluster.workloads.iter().map(|w| w.name.to_string()).collect();
    ensure!(names == ["cli-live-ledger/db (Pod)"], "{names:?}");
    // It selects by labels of namespaces, which are not known.
    ensure!(live.cluster.policies.is_empty(), "{}", shown(&live.cluster));
    let unreadable: Vec<String> = live.cluster.unreadable.iter().map(ToString::to_string).collect();
    ensure!(unreadable == ["NetworkPolicy cli-live-ledger/db"], "{unreadable:?}");
    Ok(())
}

/// The way of the web pods to the database.
const EXPLAIN: [&str; 7] =
    ["explain", "--from", "cli-live-shop/web", "--to", "cli-live-ledger/db:5432", "-o", "json"];

/// Explains the way until the answer is as expected: what is served is told a moment after it is.
async fn explained(verdict: &str) -> Result<Value> {
    let asking = async {
        loop {
            let asked = ask::peerwalk(&EXPLAIN).await?;
            let report: Value =
                serde_json::from_str(&asked.out).with_context(|| format!("no JSON: {asked:?}"))?;
            if report["verdict"] == verdict {
                return Ok(report);
            }
        }
    };
    timeout(WITHIN, asking).await.with_context(|| format!("never {verdict}"))?
}

async fn policies_of_other_kinds_count_where_there_are_any(client: &Client) -> Result<()> {
    let kind = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies");
    crd::serve(client, kind, "Namespaced").await?;
    let live = read_as(None, None).await?;
    ensure!(live.cluster.unreadable.is_empty(), "none is there: {:?}", live.cluster.unreadable);
    explained("Allowed").await?;
    let resource = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": SHOP, "name": "one" }, "spec": {},
    });
    put_as(client, &resource, Some("ciliumnetworkpolicies")).await?;
    let report = explained("Undecided").await?;
    ensure!(!report["caveats"].as_array().context("caveats")?.is_empty(), "why: {report}");
    let path = format!("/apis/cilium.io/v2/namespaces/{SHOP}/ciliumnetworkpolicies");
    client.request::<Value>(Request::new(path).delete("one", &DeleteParams::default())?).await?;
    explained("Allowed").await?;
    Ok(())
}

async fn policies_of_the_cluster_decide(client: &Client) -> Result<()> {
    crd::serve(client, crd::CLUSTER_POLICIES[0], "Cluster").await?;
    let front = json!({ "namespaces": { "matchLabels": { "team": "front" } } });
    let policy = json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": { "name": "no-front" },
        "spec": {
            "tier": "Admin", "priority": 1, "subject": { "namespaces": { "matchLabels": { "team": "back" } } },
            "ingress": [{ "action": "Deny", "from": [front] }],
        },
    });
    put_as(client, &policy, Some("clusternetworkpolicies")).await?;
    let report = explained("Denied").await?;
    ensure!(report.to_string().contains("no-front"), "the policy is named: {report}");
    Ok(())
}
