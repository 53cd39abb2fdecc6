//! The cluster that is asked, chosen as `kubectl` chooses it.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Which cluster.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Server {
    /// The kubeconfig; without it KUBECONFIG, then ~/.kube/config, then the account of the pod that this runs in
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Which cluster, and which namespace of it.
#[derive(Clone, Debug, Default, Args)]
pub struct Connection {
    /// Which cluster.
    #[command(flatten)]
    pub server: Server,
    /// The namespace; without it that of the context
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Session {
    /// Who asks it.
    pub client: Client,
    /// The namespace where none is named.
    pub namespace: String,
}

impl Connection {
    /// As [`Server::session`].
    ///
    /// # Errors
    /// With the remedy, where there is no kubeconfig or it has no such context.
    pub async fn session(&self) -> Result<Session> {
        self.server.session(self.namespace.as_deref()).await
    }
}

impl Server {
    /// Reads the kubeconfig. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// With the remedy, where there is no kubeconfig or it has no such context.
    pub async fn session(&self, namespace: Option<&str>) -> Result<Session> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Session { client, namespace })
    }

    async fn config(&self) -> Result<Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig {} cannot be read", path.display()))?,
            None => match Kubeconfig::read() {
                Ok(kubeconfig) => kubeconfig,
                // In a pod there is no kubeconfig, and no context to choose.
                Err(_) if self.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                    return Config::incluster().context("the account of this pod cannot be used");
                }
                Err(error) => {
                    // It has its source in its words already.
                    bail!("there is no kubeconfig to read, give --kubeconfig or set KUBECONFIG ({error})")
                }
            },
        };
        Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(|| match &self.context {
            Some(context) => {
                format!("--context {context} cannot be used: `kubectl config get-contexts` lists them")
            }
            None => "the kubeconfig cannot be used: choose a context of it with --context".to_owned(),
        })
    }
}

/// Runs what asks a server to its end.
///
/// # Errors
/// Those of the future, and where the system has no room for it.
pub fn block_on<T>(asking: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the system gives no room to ask a server")?.block_on(asking)
}
