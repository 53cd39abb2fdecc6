//! `--from`, `--to` and `--namespace`: which pairs are wanted.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use peerwalk_manifests::{Cluster, Workload};
use peerwalk_netpol::Pod;

use crate::end::{near, near_names};
use crate::pairs::Peer;

/// Ends that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A workload; without a name all of the namespace.
    Workload {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: Option<String>,
    },
    /// Addresses outside.
    Outside,
    /// Ranges that hold an address.
    Address(IpAddr),
}

impl Wanted {
    /// Reads `shop/web`, `shop/*`, `outside`, `192.0.2.7`.
    ///
    /// # Errors
    /// Where it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "outside" {
            return Ok(Self::Outside);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.contains('/') => Ok(Self::Workload {
                namespace: namespace.to_owned(),
                name: Some(name).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned),
            }),
            _ => Err("write NAMESPACE/NAME, NAMESPACE/* for all of it, an address, or outside".to_owned()),
        }
    }

    /// Whether it is outside the cluster.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Outside | Self::Address(_))
    }

    fn holds(&self, peer: &Peer) -> bool {
        match (self, peer) {
            (Self::Workload { namespace, name }, Peer::Workload(of)) => {
                of.namespace == *namespace && name.as_ref().is_none_or(|name| of.name == *name)
            }
            (Self::Outside, Peer::Outside(_)) => true,
            (Self::Address(address), Peer::Outside(range)) => {
                address.is_ipv4() == range.first.is_ipv4() && (range.first..=range.last).contains(address)
            }
            _ => false,
        }
    }
}

/// Which pairs are wanted.
pub struct Filter<'a> {
    /// From one of these; from all, where none is named.
    pub from: &'a [Wanted],
    /// To one of these; to all, where none is named.
    pub to: &'a [Wanted],
    /// With an end in this namespace.
    pub namespace: Option<&'a str>,
}

impl Filter<'_> {
    /// Whether all that is named is there: of what is not, nothing is open, and nobody would see why.
    ///
    /// # Errors
    /// What is not, with what may be meant.
    pub fn check(&self, cluster: &Cluster) -> Result<()> {
        if let Some(namespace) = self.namespace {
            is_namespace(cluster, "--namespace", namespace)?;
        }
        for (option, wanted) in [("--from", self.from), ("--to", self.to)] {
            for wanted in wanted {
                match wanted {
                    Wanted::Workload { namespace, name: None } => is_namespace(cluster, option, namespace)?,
                    Wanted::Workload { namespace, name: Some(name) } => {
                        is_workload(cluster, option, namespace, name)?;
                    }
                    Wanted::Outside | Wanted::Address(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Whether a pair is wanted.
    pub fn holds(&self, from: &Peer, to: &Peer) -> bool {
        self.starts(from) && self.ends(to) && (self.is_home(from) || self.is_home(to))
    }

    /// Whether pairs from there may be wanted.
    pub fn starts(&self, peer: &Peer) -> bool {
        fits(self.from, peer)
    }

    /// Whether pairs to there may be wanted.
    pub fn ends(&self, peer: &Peer) -> bool {
        fits(self.to, peer)
    }

    /// Whether an end is in the namespace, or any will do.
    pub fn is_home(&self, peer: &Peer) -> bool {
        self.namespace.is_none_or(|namespace| matches!(peer, Peer::Workload(of) if of.namespace == namespace))
    }
}

fn is_namespace(cluster: &Cluster, option: &str, name: &str) -> Result<()> {
    let given = cluster.namespaces.iter().map(|namespace| namespace.name.as_str());
    let of_workloads = cluster.workloads.iter().map(|workload| workload.name.namespace.as_str());
    let known: Vec<&str> = given.chain(of_workloads).collect();
    if known.contains(&name) {
        return Ok(());
    }
    bail!(
        "{option}: namespace {name} is not among what was read{}",
        meant(&near_names(known.into_iter(), name))
    );
}

fn is_workload(cluster: &Cluster, option: &str, namespace: &str, name: &str) -> Result<()> {
    let known = || cluster.workloads.iter().map(|workload| (&*workload.name.namespace, &*workload.name.name));
    if known().any(|known| known == (namespace, name)) {
        return Ok(());
    }
    let is_of = |workload: &&Workload| {
        let named = |pod: &Arc<Pod>| (&*pod.namespace, &*pod.name) == (namespace, name);
        workload.pods.iter().any(named)
    };
    if let Some(workload) = cluster.workloads.iter().find(is_of) {
        bail!("{option}: {namespace}/{name} is a pod, and rows are about workloads: name {}", workload.name);
    }
    let service =
        cluster.services.iter().find(|service| (&*service.namespace, &*service.name) == (namespace, name));
    if let Some(service) = service {
        let behind = |workload: &&Workload| {
            let mut pods = service.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref());
            pods.any(|pod| workload.pods.iter().any(|of| of.is_same(pod)))
        };
        let behind: Vec<String> =
            cluster.workloads.iter().filter(behind).map(|workload| workload.name.to_string()).collect();
        let behind = if behind.is_empty() {
            "none stands behind it".to_owned()
        } else {
            format!("name {}", behind.join(" or "))
        };
        bail!("{option}: {namespace}/{name} is a Service, and rows are about workloads: {behind}");
    }
    bail!(
        "{option}: workload {namespace}/{name} is not among what was read{}",
        meant(&near(known(), namespace, name))
    );
}

fn meant(near: &[String]) -> String {
    if near.is_empty() {
        return "; without it, all that was read is listed".to_owned();
    }
    format!("; did you mean {}?", near.join(" or "))
}

fn fits(wanted: &[Wanted], peer: &Peer) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted.holds(peer))
}
