//! An API server that knows `ConnectivityCheck`, for tests that need no nodes.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config};

/// The longest wait for the API server to serve the resource.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// A client of the cluster of the tests with the CRD of this tree installed; `None` as [`connect`] has it.
pub async fn client() -> Result<Option<Client>> {
    let Some(client) = connect().await? else { return Ok(None) };
    install(&client).await?;
    Ok(Some(client))
}

/// A client of the context in `PEERWALK_CONTEXT`, else of the cluster in `KUBECONFIG`; `None`, and a line that says
/// so, when there is neither variable.
///
/// # Errors
///
/// Without them where `CI` is set: there a test that did not run must not look like one that passed.
#[allow(clippy::print_stderr, reason = "a skipped test says so where test output goes")]
pub async fn connect() -> Result<Option<Client>> {
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (kubeconfig, context) = match (given("PEERWALK_CONTEXT"), given("KUBECONFIG")) {
        (Some(context), _) => {
            let kubeconfig = Kubeconfig::read().with_context(|| {
                format!("PEERWALK_CONTEXT is {context}, and your kubeconfig cannot be read")
            })?;
            (kubeconfig, Some(context))
        }
        (None, Some(path)) => (Kubeconfig::read_from(path).context("cannot read KUBECONFIG")?, None),
        (None, None) => {
            if env::var_os("CI").is_some() {
                bail!(
                    "CI is set, KUBECONFIG and PEERWALK_CONTEXT are not: run the tests by `cargo xtask test`"
                );
            }
            eprintln!(
                "SKIPPED: neither KUBECONFIG nor PEERWALK_CONTEXT is set; `cargo xtask test` runs everything on \
                 clusters of its own"
            );
            return Ok(None);
        }
    };
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.context("cannot use the kubeconfig")?;
    config.read_timeout = Some(Duration::from_mins(1));
    Ok(Some(Client::try_from(config).context("cannot make a client of the kubeconfig")?))
}

/// Applies the CRD and waits until it is served.
pub async fn install(client: &Client) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = peerwalk_api::crd();
    let name = crd.metadata.name.clone().context("the CRD has a name")?;
    crds.patch(&name, &PatchParams::apply("peerwalk-e2e").force(), &Patch::Apply(&crd))
        .await
        .context("cannot apply the CRD")?;
    let established = await_condition(crds, &name, conditions::is_crd_established());
    tokio::time::timeout(ESTABLISHED_WITHIN, established)
        .await
        .context("the CRD is not established")?
        .context("cannot watch the CRD")?;
    Ok(())
}
