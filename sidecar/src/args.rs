//! What `run` is told by the injected container's environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use peerwalk_model::PodRef;

/// Arguments of `run`. The webhook sets the variables.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The hub's Service as name:port; the name is the one its certificate is verified for.
    #[arg(long, env = "PEERWALK_HUB", value_parser = parse_hub)]
    pub hub: HubName,
    /// The hub's address, dialled first so that a pod without DNS can report; without it, the name is resolved.
    #[arg(long, env = "PEERWALK_HUB_ADDRESS")]
    pub hub_address: Option<SocketAddr>,
    /// The only root trusted to sign the hub's certificate, PEM.
    #[arg(long, env = "PEERWALK_HUB_ROOT", hide_env_values = true)]
    pub hub_root: String,
    /// The projected token of our own audience.
    #[arg(
        long,
        env = "PEERWALK_TOKEN_FILE",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )]
    pub token_file: PathBuf,
    /// Namespace of the pod.
    #[arg(long, env = "PEERWALK_POD_NAMESPACE")]
    pub pod_namespace: String,
    /// Name of the pod.
    #[arg(long, env = "PEERWALK_POD_NAME")]
    pub pod_name: String,
    /// metadata.uid of the pod.
    #[arg(long, env = "PEERWALK_POD_UID")]
    pub pod_uid: String,
    /// Addresses of the pod. The kubelet may not know them yet when the container starts.
    #[arg(long, env = "PEERWALK_POD_IPS", default_value = "", value_parser = parse_addresses)]
    pub pod_ips: Addresses,
    /// The proxy variables of the application's containers, JSON.
    #[arg(long, env = "PEERWALK_PROXY_ENV", default_value = "[]", hide_env_values = true)]
    pub proxy_env: String,
}

impl RunArgs {
    /// The pod this container is part of.
    pub fn pod(&self) -> PodRef {
        PodRef {
            namespace: self.pod_namespace.clone(),
            name: self.pod_name.clone(),
            uid: self.pod_uid.clone(),
        }
    }
}

/// The hub's Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// Its DNS name.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A list of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<IpAddr>);

fn parse_hub(text: &str) -> Result<HubName, String> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let (host, port) = parts.ok_or("expected name:port, such as peerwalk-hub.peerwalk-system.svc:9443")?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    Ok(HubName { host: host.to_owned(), port })
}

fn parse_addresses(text: &str) -> Result<Addresses, String> {
    let one = |text: &str| text.trim().parse().map_err(|_| format!("{text:?} is no IP address"));
    text.split(',').filter(|part| !part.trim().is_empty()).map(one).collect::<Result<_, _>>().map(Addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_a_name_and_a_port() {
        let hub = HubName { host: "peerwalk-hub.peerwalk-system.svc".into(), port: 9443 };
        assert_eq!(parse_hub("peerwalk-hub.peerwalk-system.svc:9443"), Ok(hub));
        for wrong in ["", "name", ":9443", "name:", "name:70000"] {
            assert!(parse_hub(wrong).is_err(), "{wrong:?} is refused");
        }
    }

    #[test]
    fn addresses_are_those_of_the_downward_api() {
        let both = Addresses(vec!["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!(parse_addresses("10.1.2.3,fd00::1"), Ok(both));
        assert_eq!(parse_addresses(""), Ok(Addresses::default()), "not known yet");
        assert!(parse_addresses("10.1.2.3,web").is_err());
    }
}
