//! Egress policies that forget DNS.

use std::net::Ipv4Addr;
use std::sync::Arc;

use peerwalk_model::{Direction, Protocol};
use peerwalk_netpol::{Flow, Peer, Pod, Policy, Ports, Profile, Rule, Verdict, evaluate};

use super::pods::Pods;
use super::{Code, Findings, Severity};

/// Where clusters have it.
const NAMESPACE: &str = "kube-system";
/// The port that pods ask at.
const PORT: u16 = 53;
/// The label of what answers, of CoreDNS as well.
const LABEL: (&str, &str) = ("k8s-app", "kube-dns");

const REMEDY: &str = "add an egress rule to it: {\"to\":[{\"namespaceSelector\":{\"matchLabels\":\
{\"kubernetes.io/metadata.name\":\"kube-system\"}},\"podSelector\":{\"matchLabels\":{\"k8s-app\":\"kube-dns\"}}}],\
\"ports\":[{\"port\":53,\"protocol\":\"UDP\"},{\"port\":53,\"protocol\":\"TCP\"}]}";

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    let cluster = found.cluster;
    let index = cluster.index();
    let servers: Vec<&Arc<Pod>> = pods
        .all()
        .filter(|pod| pod.namespace == NAMESPACE && pod.labels.get(LABEL.0).is_some_and(|of| of == LABEL.1))
        .collect();
    for policy in &cluster.policies {
        // One that lets nothing out forgets nothing.
        if policy.egress.as_ref().is_none_or(Vec::is_empty) {
            continue;
        }
        let namespace = &*policy.reference.namespace;
        let forgotten = pods.of(namespace, &policy.subject).find(|pod| {
            let by_rules = index
                .policies(namespace)
                .iter()
                .filter(|policy| policy.subject.matches(&pod.labels))
                .any(|policy| admits(policy));
            if servers.is_empty() {
                !by_rules
            } else {
                !servers.iter().any(|server| reaches(&index, pod, server))
            }
        });
        if let Some(pod) = forgotten {
            let message = format!(
                "pods such as {}/{} may connect somewhere, but no rule lets them ask DNS (port 53/UDP)",
                pod.namespace, pod.name
            );
            found.add(Severity::Warning, Code::NoDns, (&policy.reference, "spec.egress"), message, REMEDY);
        }
    }
}

/// Whether a policy admits the port somewhere. Where DNS is, was not read.
fn admits(policy: &Policy) -> bool {
    policy.egress.iter().flatten().any(|rule: &Rule| {
        rule.ports.is_empty()
            || rule.ports.iter().any(|port| {
                port.protocol == Protocol::Udp
                    && match &port.ports {
                        Ports::All => true,
                        Ports::Numbers(range) => range.contains(&PORT),
                        Ports::Named(name) => name.starts_with("dns"),
                    }
            })
    })
}

/// Whether the egress policies of a pod let it ask a server, at the port that it gives the name of or the usual one.
fn reaches(index: &peerwalk_netpol::PolicyIndex, pod: &Arc<Pod>, server: &Arc<Pod>) -> bool {
    let named = server.named_ports.iter().find(|port| port.name == "dns" && port.protocol == Protocol::Udp);
    let at = |pod: &Arc<Pod>| {
        let ip = pod.ips.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        Peer::pod(Arc::clone(pod), ip)
    };
    let flow = Flow {
        source: at(pod),
        destination: at(server),
        protocol: Protocol::Udp,
        port: named.map_or(PORT, |port| port.number),
        service: None,
    };
    evaluate(index, &flow, &Profile::UPSTREAM).direction(Direction::Egress).verdict == Verdict::Allowed
}
