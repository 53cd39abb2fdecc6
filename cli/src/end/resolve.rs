//! From the name of an end to what it stands for in a cluster.

use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Service, Workload};
use peerwalk_model::Protocol;
use peerwalk_netpol::{Node, Peer, Pod};
use thiserror::Error;

use super::near::{SIMILAR, near};
use super::{End, Port};

/// What an end stands for.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// Pods, and who they are together.
    Pods(String, Vec<Arc<Pod>>),
    /// A Service, and the address that leads to it where that is none of its own.
    Service(&'a Service, Option<IpAddr>),
    /// A node.
    Node(Arc<Node>),
    /// One address: a pod's or a node's, or nobody's in the cluster.
    Address(Peer),
    /// A name whose addresses are not known here.
    Unknown(String),
}

/// Which end it is.
#[derive(Clone, Copy, Debug)]
pub enum Role<'a> {
    /// Who connects.
    From,
    /// Who is connected to, on which port, by which protocol.
    To(Option<&'a Port>, Option<Protocol>),
}

/// Nothing of this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} {named} is not among what was read{remedy}")]
pub struct NotFound {
    named: String,
    what: &'static str,
    remedy: String,
}

/// What an end stands for. Where a Service and a workload have one name, the Service is meant if it has the port: that
/// is what is connected to; who connects is always a workload.
///
/// # Errors
/// Where there is nothing of this name, with what there is.
pub fn resolve<'a>(
    cluster: &'a Cluster,
    end: &End,
    namespace: &str,
    role: Role<'_>,
) -> Result<Found<'a>, NotFound> {
    match end {
        End::Address(address) => Ok(at(cluster, *address, role)),
        End::Host(host) => Ok(host_of(cluster, host, namespace)),
        End::Object { kind: Some(kind), name, .. } if kind == "Node" => {
            let found = cluster.nodes.iter().find(|node| node.name == *name);
            found.map(|node| Found::Node(Arc::clone(node))).ok_or_else(|| no_node(cluster, name))
        }
        End::Object { kind, namespace: of, name } => {
            let namespace = of.as_deref().unwrap_or(namespace);
            object(cluster, kind.as_deref(), namespace, name, role)
        }
    }
}

fn object<'a>(
    cluster: &'a Cluster,
    kind: Option<&str>,
    namespace: &str,
    name: &str,
    role: Role<'_>,
) -> Result<Found<'a>, NotFound> {
    let service =
        cluster.services.iter().find(|service| service.namespace == namespace && service.name == name);
    let workloads = workloads(cluster, kind, namespace, name);
    let meant = service.filter(|service| match (kind, role) {
        (Some("Service"), _) => true,
        (Some(_), _) | (None, Role::From) => false,
        (None, Role::To(port, _)) => workloads.is_empty() || port.is_none_or(|port| has(service, port)),
    });
    if let Some(service) = meant {
        return Ok(Found::Service(service, None));
    }
    match workloads.as_slice() {
        [] => {}
        [workload] => return Ok(Found::Pods(workload.name.to_string(), running(&workload.pods))),
        several => {
            let pods = several.iter().flat_map(|workload| running(&workload.pods)).collect();
            return Ok(Found::Pods(format!("{namespace}/{name}"), pods));
        }
    }
    let pods = || cluster.workloads.iter().flat_map(|workload| &workload.pods);
    if kind.is_none_or(|kind| kind == "Pod")
        && let Some(pod) = pods().find(|pod| pod.namespace == namespace && pod.name == name)
    {
        return Ok(Found::Pods(format!("{namespace}/{name} (Pod)"), vec![Arc::clone(pod)]));
    }
    match service {
        Some(service) if kind.is_none() => Ok(Found::Service(service, None)),
        _ => Err(missing(cluster, "a workload, pod or Service", format!("{namespace}/{name}"), name)),
    }
}

fn has(service: &Service, port: &Port) -> bool {
    let translated = service.ports.iter().any(|of| match port {
        Port::Number(number) => of.port == *number,
        Port::Name(name) => of.name == *name,
    });
    let of_pods = || service.endpoints.iter().any(|endpoint| *port == Port::Number(endpoint.target_port));
    translated || (service.headless && of_pods())
}

fn workloads<'a>(cluster: &'a Cluster, kind: Option<&str>, namespace: &str, name: &str) -> Vec<&'a Workload> {
    let of = |workload: &&Workload| {
        workload.name.namespace == namespace
            && workload.name.name == name
            && kind.is_none_or(|kind| workload.name.kind == kind)
    };
    cluster.workloads.iter().filter(of).collect()
}

/// Those that have not finished; all, where none is left.
fn running(pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let running: Vec<_> = pods.iter().filter(|pod| !pod.finished).cloned().collect();
    if running.is_empty() { pods.to_vec() } else { running }
}

/// Whose address it is: a Service's, a running pod's, a node's, a finished pod's, or nobody's.
fn at<'a>(cluster: &'a Cluster, address: IpAddr, role: Role<'_>) -> Found<'a> {
    if let Some(service) = cluster.services.iter().find(|service| service.addresses.contains(&address)) {
        return Found::Service(service, None);
    }
    let leading = || cluster.services.iter().filter(|service| service.external.contains(&address));
    // Several may share such an address, and a node's may be one.
    if let Role::To(port, protocol) = role {
        let with_port = || leading().filter(|service| port.is_none_or(|port| has(service, port)));
        let speaks = |service: &&Service| {
            protocol.is_none_or(|protocol| service.ports.iter().any(|of| of.protocol == protocol))
        };
        if let Some(service) = with_port().find(speaks).or_else(|| with_port().next()) {
            return Found::Service(service, Some(address));
        }
    }
    let pods = || {
        let all = cluster.workloads.iter().flat_map(|workload| &workload.pods);
        all.filter(move |pod| pod.ips.contains(&address))
    };
    let node = cluster.nodes.iter().find(|node| node.addresses.contains(&address));
    let pod = pods().find(|pod| !pod.finished && !pod.host_network);
    let of_pod = |pod: &Arc<Pod>| Peer::pod(Arc::clone(pod), address);
    Found::Address(match (pod, node, pods().next()) {
        (Some(pod), ..) | (None, None, Some(pod)) => of_pod(pod),
        (None, Some(node), _) => Peer::node(Arc::clone(node), address),
        (None, None, None) => match (role, leading().next()) {
            (Role::To(..), Some(service)) => return Found::Service(service, Some(address)),
            _ => Peer::external(address),
        },
    })
}

/// `web`, `web.shop`, `web.shop.svc`, `web.shop.svc.cluster.local`, or a name of anywhere.
fn host_of<'a>(cluster: &'a Cluster, host: &str, namespace: &str) -> Found<'a> {
    let host = host.trim_end_matches('.');
    let mut parts = host.split('.');
    let (name, of) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(namespace));
    let known = cluster.services.iter().find(|service| service.name == name && service.namespace == of);
    match (known, parts.next()) {
        (Some(service), None | Some("svc")) => Found::Service(service, None),
        _ => Found::Unknown(host.to_owned()),
    }
}

fn no_node(cluster: &Cluster, name: &str) -> NotFound {
    let names: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).take(SIMILAR).collect();
    let remedy = if names.is_empty() {
        ", and no other node is".to_owned()
    } else {
        format!("; there are nodes such as {}", names.join(", "))
    };
    NotFound { named: name.to_owned(), what: "node", remedy }
}

fn missing(cluster: &Cluster, what: &'static str, named: String, name: &str) -> NotFound {
    let namespace = named.split_once('/').map_or("", |(namespace, _)| namespace);
    let workloads =
        cluster.workloads.iter().map(|workload| (&*workload.name.namespace, &*workload.name.name));
    let services = cluster.services.iter().map(|service| (&*service.namespace, &*service.name));
    let near = near(workloads.chain(services), namespace, name);
    let remedy = if near.is_empty() {
        "; `peerwalk matrix` lists what was read".to_owned()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    };
    NotFound { named, what, remedy }
}
