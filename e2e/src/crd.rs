//! An API server that knows `ConnectivityCheck`, for tests that need no nodes.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config};
use peerwalk_cluster::{Cluster, Home};
use serde_json::json;

/// The longest wait for the API server to serve the resource.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// A client of the cluster of the tests with the CRD of this tree installed; `None` as [`connect`] has it.
pub async fn client() -> Result<Option<Client>> {
    let Some(client) = connect().await? else { return Ok(None) };
    install(&client).await?;
    Ok(Some(client))
}

/// A client of the context in `PEERWALK_CONTEXT`, else of the cluster of `cargo xtask` in whose network this runs;
/// `None`, and a line that says so, when there is neither. Tests change the cluster, so a `KUBECONFIG` that happens to
/// be set is not enough.
///
/// # Errors
///
/// Without a cluster where `CI` is set: there a test that did not run must not look like one that passed.
#[allow(clippy::print_stderr, reason = "a skipped test says so where test output goes")]
pub async fn connect() -> Result<Option<Client>> {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let own = Home::from_env()?.kubeconfig();
    let (kubeconfig, context) = if let Some(context) = given("PEERWALK_CONTEXT") {
        let context = context.into_string().ok().context("PEERWALK_CONTEXT is no text")?;
        let kubeconfig = Kubeconfig::read()
            .with_context(|| format!("PEERWALK_CONTEXT is {context}, and your kubeconfig cannot be read"))?;
        (kubeconfig, Some(context))
    } else if given("KUBECONFIG").is_some_and(|path| path == own) {
        (Kubeconfig::read_from(&own).context("cannot read KUBECONFIG")?, None)
    } else if env::var_os("CI").is_some() {
        bail!("CI is set, and there is no cluster for this test: run the tests by `cargo xtask test`");
    } else {
        eprintln!("SKIPPED: no cluster is given; `cargo xtask test` runs everything on clusters of its own");
        return Ok(None);
    };
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.context("cannot use the kubeconfig")?;
    config.read_timeout = Some(Duration::from_mins(1));
    Ok(Some(Client::try_from(config).context("cannot make a client of the kubeconfig")?))
}

/// The cluster of `cargo xtask` in whose network this runs, and a client of it; `None`, and a line that says so, where
/// there is none: what installs the chart or changes nodes leaves clusters of others alone.
#[allow(clippy::print_stderr, reason = "a skipped test says so where test output goes")]
pub async fn own_cluster() -> Result<Option<(Client, Cluster)>> {
    let Some(client) = connect().await? else { return Ok(None) };
    let cluster = Cluster::connect()?;
    if cluster.kubeconfig().is_none() {
        eprintln!("SKIPPED: this installs Peerwalk, which only happens on a cluster of the tests' own");
        return Ok(None);
    }
    Ok(Some((client, cluster)))
}

/// Applies the CRD and waits until it is served.
pub async fn install(client: &Client) -> Result<()> {
    apply(client, &peerwalk_api::crd()).await
}

/// A kind of other people: its group, version, name, and its name in the plural.
pub type Kind<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The policies of the cluster, which an API server need not serve.
pub const CLUSTER_POLICIES: [Kind<'_>; 3] = [
    (OF_KUBERNETES, "v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies"),
    (OF_KUBERNETES, "v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies"),
    (OF_KUBERNETES, "v1alpha1", "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies"),
];
const OF_KUBERNETES: &str = "policy.networking.k8s.io";

/// Has the API server serve a kind whose objects may have anything in them, `Namespaced` or `Cluster`.
pub async fn serve(client: &Client, (group, version, kind, plural): Kind<'_>, scope: &str) -> Result<()> {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" },
        },
        "spec": {
            "group": group, "scope": scope, "names": { "kind": kind, "plural": plural },
            "versions": [{ "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    });
    apply(client, &serde_json::from_value(definition)?).await
}

async fn apply(client: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crd.metadata.name.clone().context("a CRD has a name")?;
    crds.patch(&name, &PatchParams::apply("peerwalk-e2e").force(), &Patch::Apply(crd))
        .await
        .with_context(|| format!("cannot apply the CRD {name}"))?;
    let established = await_condition(crds, &name, conditions::is_crd_established());
    tokio::time::timeout(ESTABLISHED_WITHIN, established)
        .await
        .with_context(|| format!("the CRD {name} is not established"))?
        .context("cannot watch the CRD")?;
    Ok(())
}
