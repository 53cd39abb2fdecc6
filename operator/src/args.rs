//! Flags and environment, turned into a typed configuration before any port is bound.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};
use peerwalk_controller::{Allow, AllowEntry};
use peerwalk_webhook::config::{
    ConfigError, ContainerResources, PullPolicy, Quantity, Resource, ResourceList,
};

/// The Peerwalk operator: injects sidecars, plans what they walk, judges what they find, and writes the
/// answer as conditions of ConnectivityChecks.
///
/// It runs in a cluster, installed by the Helm chart, which sets all of these.
#[derive(Clone, Debug, Parser)]
#[command(version, name = "peerwalk-operator")]
pub struct Args {
    /// Namespace the operator runs in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,

    /// The operator's own pod: by its name and uid it is known in the Lease.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,

    /// The uid of the operator's pod.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: String,

    /// The address of the operator's pod, where sidecars are sent while it leads.
    #[arg(long, env = "POD_IP", value_name = "ADDRESS")]
    pub pod_ip: IpAddr,

    /// The Lease of the operator's namespace whose holder judges and writes.
    #[arg(long, value_name = "NAME")]
    pub lease: String,

    /// Where sidecars attach (gRPC over TLS).
    #[arg(long, default_value = "0.0.0.0:9443", value_name = "ADDRESS:PORT")]
    pub hub_listen: SocketAddr,

    /// Where the API server calls the webhook (HTTPS).
    #[arg(long, default_value = "0.0.0.0:10250", value_name = "ADDRESS:PORT")]
    pub webhook_listen: SocketAddr,

    /// Where the kubelet asks /healthz and /readyz.
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDRESS:PORT")]
    pub http_listen: SocketAddr,

    /// Where Prometheus reads /metrics.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS:PORT")]
    pub metrics_listen: SocketAddr,

    /// Where /explain/NAMESPACE/CHECK answers. It names pods and policies of all namespaces, so it stays on
    /// loopback: kubectl port-forward reaches it, other pods do not.
    #[arg(long, default_value = "127.0.0.1:8082", value_name = "ADDRESS:PORT")]
    pub explain_listen: SocketAddr,

    /// The hub's Service, in the operator's namespace.
    #[arg(long, value_name = "NAME")]
    pub hub_service: String,

    /// The webhook's Service, in the operator's namespace.
    #[arg(long, value_name = "NAME")]
    pub webhook_service: String,

    /// The MutatingWebhookConfiguration whose caBundle is kept.
    #[arg(long, value_name = "NAME")]
    pub webhook_configuration: String,

    /// The Secret of the operator's namespace that keeps the certificate authorities.
    #[arg(long, value_name = "NAME")]
    pub secret: String,

    /// A Secret of the operator's namespace in which somebody else keeps a certificate for the webhook, as cert-manager
    /// does: tls.crt, tls.key and ca.crt. Until it is there, and while it cannot be used, the operator's own is served.
    #[arg(long, value_name = "NAME")]
    pub webhook_secret: Option<String>,

    /// Image of the sidecar.
    #[arg(long, value_name = "REFERENCE")]
    pub sidecar_image: String,

    /// When the kubelet pulls it: Always, IfNotPresent or Never.
    #[arg(long, default_value = "IfNotPresent", value_parser = |text: &str| text.parse::<PullPolicy>())]
    pub sidecar_image_pull_policy: PullPolicy,

    /// Secret, of the namespaces of the pods, with which it may be pulled. Repeatable.
    #[arg(long = "sidecar-image-pull-secret", value_name = "NAME")]
    pub sidecar_image_pull_secrets: Vec<String>,

    /// CPU that a sidecar requests, as in 10m or 0.01.
    #[arg(long, default_value = "10m", value_name = "CPU", value_parser = cpu)]
    pub sidecar_cpu_request: Quantity,

    /// Memory that a sidecar requests, as in 16Mi.
    #[arg(long, default_value = "16Mi", value_name = "MEMORY", value_parser = memory)]
    pub sidecar_memory_request: Quantity,

    /// CPU that a sidecar may use.
    #[arg(long, default_value = "100m", value_name = "CPU", value_parser = cpu)]
    pub sidecar_cpu_limit: Quantity,

    /// Memory that a sidecar may use.
    #[arg(long, default_value = "32Mi", value_name = "MEMORY", value_parser = memory)]
    pub sidecar_memory_limit: Quantity,

    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,

    /// Outside the cluster, what may be walked to: a network (192.0.2.0/24), an address, or a host
    /// (api.example.com, *.example.com). Repeatable, up to 256 times.
    #[arg(long = "allow-target", value_name = "CIDR_OR_HOST")]
    pub allow_targets: Vec<AllowEntry>,

    /// What statuses and events tell of other namespaces than the check's own: everything that proves a verdict, or
    /// no names of their policies and pods, and of nodes.
    #[arg(long, value_enum, default_value = "Full")]
    pub cross_namespace_details: CrossNamespaceDetails,

    /// Form of log lines.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,

    /// Which log lines: error, warn, info, debug, trace, or a filter like info,peerwalk_hub=debug.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

impl Args {
    /// Reads a command line, and holds it against what no single value shows.
    pub fn read(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let args = Self::try_parse_from(line)?;
        let count = args.allow_targets.len();
        if count > Allow::MOST {
            let text = format!(
                "--allow-target is given {count} times, at most {} entries can be sent to a sidecar: join \
                 networks into larger ones, or hosts into *.example.com\n",
                Allow::MOST
            );
            return Err(Self::command().error(ErrorKind::TooManyValues, text));
        }
        args.sidecar_resources().map_err(|error| {
            let text = format!("--sidecar-{{cpu,memory}}-{{request,limit}} do not fit together: {error}\n");
            Self::command().error(ErrorKind::ValueValidation, text)
        })?;
        Ok(args)
    }

    /// What a sidecar asks for and may use.
    pub fn sidecar_resources(&self) -> Result<ContainerResources, ConfigError> {
        let list =
            |cpu: &Quantity, memory: &Quantity| ResourceList { cpu: cpu.clone(), memory: memory.clone() };
        ContainerResources::new(
            list(&self.sidecar_cpu_request, &self.sidecar_memory_request),
            list(&self.sidecar_cpu_limit, &self.sidecar_memory_limit),
        )
    }
}

fn cpu(text: &str) -> Result<Quantity, ConfigError> {
    Quantity::parse(Resource::Cpu, text)
}

fn memory(text: &str) -> Result<Quantity, ConfigError> {
    Quantity::parse(Resource::Memory, text)
}

/// What statuses and events tell of other namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum CrossNamespaceDetails {
    /// Everything that proves a verdict.
    Full,
    /// No names of their policies and pods, and of nodes.
    Redacted,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [&str; 21] = [
        "peerwalk-operator",
        "--namespace",
        "peerwalk-system",
        "--pod-name",
        "peerwalk-1",
        "--pod-uid",
        "uid-1",
        "--pod-ip",
        "10.0.0.1",
        "--lease",
        "peerwalk",
        "--hub-service",
        "hub",
        "--webhook-service",
        "webhook",
        "--webhook-configuration",
        "peerwalk",
        "--secret",
        "ca",
        "--sidecar-image",
        "sidecar:1",
    ];

    #[test]
    fn the_command_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_wrong_target_is_named_with_the_remedy() {
        let error =
            Args::try_parse_from(LEAST.into_iter().chain(["--allow-target", "http://x"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("http://x") && text.contains("192.0.2.0/24"),
            "value and remedy are named: {text}"
        );
    }

    #[test]
    fn more_targets_than_a_sidecar_is_told_of_are_refused_by_the_flags_name() {
        let line = |count: usize| {
            let targets = (0..count).map(|n| format!("--allow-target=host-{n}.example.com"));
            LEAST.into_iter().map(str::to_owned).chain(targets).collect::<Vec<_>>()
        };
        assert_eq!(Args::read(line(256)).unwrap().allow_targets.len(), 256, "as many as there may be");
        let text = Args::read(line(257)).unwrap_err().to_string();
        assert!(text.contains("--allow-target is given 257 times, at most 256"), "{text}");
    }

    #[test]
    fn the_sidecars_resources_are_taken_and_held_against_each_other() {
        let read = |more: &[&'static str]| Args::read(LEAST.iter().chain(more).copied());
        let resources = |more| read(more).unwrap().sidecar_resources().unwrap();
        assert_eq!(resources(&[]), ContainerResources::default(), "the defaults are the library's");
        let json = resources(&["--sidecar-memory-request=64Mi", "--sidecar-memory-limit=0.25Gi"]).to_json();
        assert_eq!(json["requests"], serde_json::json!({"cpu": "10m", "memory": "64Mi"}));
        assert_eq!(json["limits"], serde_json::json!({"cpu": "100m", "memory": "0.25Gi"}));
        for (flag, words) in [
            ("--sidecar-memory-request=64Mi", "memory request 64Mi is above the limit 32Mi"),
            ("--sidecar-cpu-limit=9m", "cpu request 10m is above the limit 9m"),
            ("--sidecar-cpu-request=10x", "--sidecar-cpu-request"),
            ("--sidecar-memory-limit=0", "bytes with an optional suffix"),
        ] {
            let text = read(&[flag]).unwrap_err().to_string();
            assert!(text.contains(words), "{words} is in {text}");
        }
    }

    #[test]
    fn pull_secrets_are_taken_in_their_order() {
        let more = ["--sidecar-image-pull-secret=a", "--sidecar-image-pull-secret=b"];
        let args = Args::read(LEAST.into_iter().chain(more)).unwrap();
        assert_eq!(args.sidecar_image_pull_secrets, ["a", "b"]);
    }

    #[test]
    fn targets_are_taken_in_any_form() {
        let args =
            LEAST.into_iter().chain(["--allow-target", "10.0.0.0/8", "--allow-target", "*.example.com"]);
        assert_eq!(Args::try_parse_from(args).unwrap().allow_targets.len(), 2);
    }
}
