//! Policies that cut sidecars off from the hub of Peerwalk: checks of such pods can say nothing but `NotReporting`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use peerwalk_manifests::{Cluster, Service, WorkloadName};
use peerwalk_netpol::{Decision, DirectionDecision, Fix, Pod, PolicyRef, Protocol, Verdict};

use super::ask::{Asked, Question};
use super::{Code, Findings, Severity};

/// The port of the chart's Service, and of the pods behind it.
const PORT: u16 = 9443;
/// The name of that port.
const PORT_NAME: &str = "hub";
/// The label that the chart puts on what belongs to it, and its value.
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "peerwalk");
/// Opts namespaces and pods in (`enabled`) or out (`disabled`), as the webhook's configuration has it.
const INJECT: &str = "peerwalk.dev/inject";
/// Namespaces whose pods are never injected, beside that of the hub.
const NEVER_INJECTED: [&str; 2] = ["kube-system", "kube-node-lease"];
/// Where the chart is installed, where the input does not have it.
const NAMESPACE: &str = "peerwalk-system";

/// A workload whose sidecars cannot reach the hub.
struct CutOff<'a> {
    /// Whose pods.
    workload: &'a WorkloadName,
    decision: Decision,
    /// The input has no hub: it is taken to be where the chart puts it.
    assumed: bool,
}

/// Each policy that denies a workload's sidecars the way to the hub, with the rules to add.
pub fn check(found: &mut Findings<'_>) {
    let cluster = found.cluster;
    for cut in cut_off(cluster) {
        let certain = cut.decision.caveats.is_empty();
        let severity = if certain { Severity::Warning } else { Severity::Note };
        let cannot = if certain { "cannot" } else { "may be unable to" };
        let hub = if cut.assumed { "the hub, as the chart installs it" } else { "the hub" };
        let message = format!("sidecars of {} {cannot} reach {hub}", cut.workload);
        let remedy = remedy(&cut.decision);
        for policy in policies(&cut.decision) {
            found.add(severity, Code::CutsOffHub, (&policy, "spec"), message.clone(), remedy.clone());
        }
    }
}

/// Every workload that gets a sidecar and whose way to the hub is denied, ordered by name.
fn cut_off(cluster: &Cluster) -> Vec<CutOff<'_>> {
    let asked = Asked::of(cluster);
    let hub = Hub::of(cluster);
    let namespaces: BTreeMap<&str, Option<&str>> = cluster
        .namespaces
        .iter()
        .map(|namespace| (namespace.name.as_str(), namespace.labels.get(INJECT).map(String::as_str)))
        .collect();
    let injected = |pod: &&Arc<Pod>| {
        let of_namespace = namespaces.get(pod.namespace.as_str()).copied().flatten();
        pod.namespace != hub.namespace && is_injected(pod, of_namespace)
    };
    let denied = cluster.workloads.iter().filter_map(|workload| {
        let denials = workload.pods.iter().filter(injected).filter_map(|pod| hub.denies(&asked, pod));
        // Pods of a workload are alike, as a rule: the worst speaks for it.
        let decision = denials.min_by_key(|decision| decision.caveats.len())?;
        Some(CutOff { workload: &workload.name, decision, assumed: hub.assumed })
    });
    denied.collect()
}

fn is_injected(pod: &Pod, of_namespace: Option<&str>) -> bool {
    let of_pod = pod.labels.get(INJECT).map(String::as_str);
    let opted_in = match of_namespace {
        Some("enabled") => of_pod != Some("disabled"),
        Some("disabled") => false,
        _ => of_pod == Some("enabled"),
    };
    opted_in && !pod.host_network && !pod.finished && !NEVER_INJECTED.contains(&pod.namespace.as_str())
}

fn remedy(decision: &Decision) -> String {
    let flow = &decision.flow;
    let hub = flow.destination.as_pod();
    if decision.egress.verdict == Verdict::Denied && hub.is_some_and(|hub| hub.host_network) {
        return format!(
            "let it connect to the addresses of the nodes at port {}/TCP, where the hub is",
            flow.port
        );
    }
    let fixes: Vec<String> = decision.fixes().iter().map(fix).collect();
    fixes.join("; and ")
}

/// What to do, as the operator says it of pods that do not report.
fn fix(fix: &Fix) -> String {
    match fix {
        Fix::Add(rule) => format!("add {}", rule.to_copy()),
        Fix::Change { .. } => fix.to_string(),
    }
}

/// The policies that deny.
fn policies(decision: &Decision) -> Vec<PolicyRef> {
    let denying =
        [&decision.egress, &decision.ingress].into_iter().filter(|way| way.verdict == Verdict::Denied);
    let mut found: Vec<PolicyRef> =
        denying.flat_map(DirectionDecision::decided_by).map(|rule| rule.policy).collect();
    found.sort();
    found.dedup();
    found
}

/// Where sidecars attach.
struct Hub {
    namespace: String,
    /// The pods, with the port that connections are translated to.
    pods: Vec<(Arc<Pod>, u16)>,
    service: Option<SocketAddr>,
    assumed: bool,
}

impl Hub {
    /// The hub of the cluster, or as the chart installs it.
    fn of(cluster: &Cluster) -> Self {
        cluster.services.iter().find_map(Self::behind).unwrap_or_else(Self::of_chart)
    }

    /// The hub of a Service, if it is one: its port is called so, and its pods are labelled as the chart's.
    fn behind(service: &Service) -> Option<Self> {
        let is_hub =
            |port: &peerwalk_manifests::ServicePort| port.name == PORT_NAME && port.protocol == Protocol::Tcp;
        let place = service.ports.iter().position(is_hub)?;
        let ours = |pod: &Arc<Pod>| pod.labels.get(PART_OF.0).is_some_and(|value| value == PART_OF.1);
        let endpoints = service.endpoints.iter().filter(|endpoint| endpoint.port == place);
        let pods: Vec<(Arc<Pod>, u16)> = endpoints
            .filter_map(|endpoint| Some((endpoint.pod.clone().filter(ours)?, endpoint.target_port)))
            .collect();
        let address = service.addresses.first().map(|ip| SocketAddr::new(*ip, service.ports[place].port));
        (!pods.is_empty()).then(|| Self {
            namespace: service.namespace.clone(),
            pods,
            service: address,
            assumed: false,
        })
    }

    fn of_chart() -> Self {
        let labels =
            [("app.kubernetes.io/name", "peerwalk"), ("app.kubernetes.io/instance", "peerwalk"), PART_OF];
        let pod = Pod {
            namespace: NAMESPACE.to_owned(),
            name: "peerwalk".to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Pod::default()
        };
        Self {
            namespace: NAMESPACE.to_owned(),
            pods: vec![(Arc::new(pod), PORT)],
            service: None,
            assumed: true,
        }
    }

    /// The decision that denies a pod the way to the hub, if one does.
    fn denies(&self, asked: &Asked, pod: &Arc<Pod>) -> Option<Decision> {
        let decisions = self.pods.iter().map(|(hub, port)| {
            let question = Question {
                source: pod,
                destination: hub,
                protocol: Protocol::Tcp,
                port: *port,
                service: self.service,
            };
            asked.ask(&question)
        });
        let mut denials = decisions.filter(|decision| decision.verdict == Verdict::Denied);
        denials.next()
    }
}

#[cfg(test)]
mod tests;
