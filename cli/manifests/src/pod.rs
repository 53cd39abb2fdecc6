//! Pods, and the templates that they are made of.

use std::net::IpAddr;

use peerwalk_netpol::{NamedPort, Pod};
use serde_json::Value;

use crate::cluster::WorkloadName;
use crate::fields::Wrong;

/// A pod, and what is known of it that policies do not see.
pub(crate) struct ReadPod {
    pub pod: Pod,
    /// Its controller.
    pub owner: Option<WorkloadName>,
    /// Whether Services lead to it.
    pub ready: bool,
}

/// Reads a pod.
pub(crate) fn pod(wrong: &mut Wrong, namespace: &str, name: &str, object: &Value) -> ReadPod {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let mut pod = templated(wrong, "", object);
    namespace.clone_into(&mut pod.namespace);
    name.clone_into(&mut pod.name);
    metadata["uid"].as_str().unwrap_or_default().clone_into(&mut pod.uid);
    pod.node = wrong.text(&object["spec"]["nodeName"], || "spec.nodeName".into()).map(str::to_owned);
    pod.finished = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
    pod.ips = addresses(wrong, status);
    ReadPod { pod, owner: controller(metadata, namespace, true), ready: is_ready(status) }
}

/// Reads what a template, or the object at its place, says of a pod.
pub(crate) fn templated(wrong: &mut Wrong, path: &str, template: &Value) -> Pod {
    let spec = &template["spec"];
    let labels = wrong.labels(&template["metadata"]["labels"], || format!("{path}metadata.labels"));
    let host_network = wrong.truth(&spec["hostNetwork"], || format!("{path}spec.hostNetwork"));
    let mut named_ports = Vec::new();
    for (field, init) in [("containers", false), ("initContainers", true)] {
        let containers = wrong.list(&spec[field], || format!("{path}spec.{field}"));
        for (index, container) in containers.iter().enumerate() {
            // Only these go on running beside the others.
            if init && container["restartPolicy"] != "Always" {
                continue;
            }
            let at = || format!("{path}spec.{field}[{index}].ports");
            let ports = wrong.list(&container["ports"], at);
            for (place, port) in ports.iter().enumerate() {
                named_ports.extend(named_port(wrong, port, init, || format!("{}[{place}]", at())));
            }
        }
    }
    Pod { labels, host_network, named_ports, ..Pod::default() }
}

/// A port without a name is nothing to policies.
fn named_port(wrong: &mut Wrong, port: &Value, init: bool, at: impl Fn() -> String) -> Option<NamedPort> {
    let name = wrong.text(&port["name"], || format!("{}.name", at())).filter(|name| !name.is_empty());
    let protocol = wrong.protocol(&port["protocol"], || format!("{}.protocol", at()));
    let number = wrong.port(&port["containerPort"], || format!("{}.containerPort", at()));
    // One that has no number keeps its name from any other port, and stands for none.
    Some(NamedPort { name: name?.to_owned(), protocol: protocol?, number: number.unwrap_or(0), init })
}

fn addresses(wrong: &mut Wrong, status: &Value) -> Vec<IpAddr> {
    let listed = wrong.list(&status["podIPs"], || "status.podIPs".into());
    let mut found = Vec::new();
    for (index, item) in listed.iter().enumerate() {
        let ip = if item.is_string() { item } else { &item["ip"] };
        found.extend(wrong.address(ip, || format!("status.podIPs[{index}].ip")));
    }
    if found.is_empty() {
        found.extend(wrong.address(&status["podIP"], || "status.podIP".into()));
    }
    found
}

/// One of which nothing is said, as in a file, is taken for ready.
fn is_ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.filter(|condition| condition["type"] == "Ready").all(|condition| condition["status"] == "True")
}

/// The owner that controls an object. Of pods, not the node that a static one belongs to.
pub(crate) fn controller(metadata: &Value, namespace: &str, of_pod: bool) -> Option<WorkloadName> {
    let owners = metadata["ownerReferences"].as_array()?;
    let owner =
        owners.iter().find(|owner| owner["controller"] == true && !(of_pod && owner["kind"] == "Node"))?;
    Some(WorkloadName {
        namespace: namespace.to_owned(),
        name: owner["name"].as_str()?.to_owned(),
        kind: owner["kind"].as_str().filter(|kind| !kind.is_empty()).unwrap_or("Pod").to_owned(),
    })
}
